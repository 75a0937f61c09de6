/** Interrupts of LangGraph: a graph stops to ask somebody, and a later call brings what they said. */
import { fields, text } from './fields.ts'
import type { Run } from './run.ts'
import type { ApprovalEvent } from './run-facts.ts'

interface Asked {
  readonly id: string
  readonly name: string
  readonly args: unknown
}

/** Tool calls of one run that are remembered, to know which of them a person is asked about. */
const MAX_ASKED = 256

export class Interrupts {
  readonly thread: string | undefined
  /** By id of the interrupt; `null` for one that asks something else than whether tools may run. */
  readonly #waiting = new Map<string, readonly ApprovalEvent[] | null>()
  #asked: Asked[] = []

  constructor(thread: string | undefined) {
    this.thread = thread
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /** The model asked for these. */
  asked(calls: readonly Asked[]): void {
    this.#asked = [...this.#asked, ...calls].slice(-MAX_ASKED)
  }

  /** Whether `error` is an interrupt; then records what is asked. The same one comes from every graph that it goes through. */
  add(run: Run, error: unknown): boolean {
    const { name, interrupts } = fields(error)
    if (name !== 'GraphInterrupt' && name !== 'NodeInterrupt') return false
    for (const interrupt of Array.isArray(interrupts) ? interrupts : []) {
      const { id, value } = fields(interrupt)
      const key = text(id) ?? `interrupt-${this.#waiting.size + 1}`
      if (this.#waiting.has(key)) continue
      const events = this.#approvalsOf(key, value)
      this.#waiting.set(key, events)
      for (const event of events ?? []) void run.approvalRequested(event)
      if (events) continue
      const parts = { input: { value: value ?? null } }
      void run.record({ type: 'x.langgraph.interrupt', outcome: 'pending', call: key, parts })
    }
    return true
  }

  /** `inputs` is what the graph goes on with: `Command({resume})`, one answer or one for each interrupt. */
  answered(run: Run, inputs: unknown, by: string | undefined): void {
    const { resume } = fields(inputs)
    if (resume === undefined) return
    const byId = fields(resume)
    for (const [id, events] of this.#waiting) {
      const answer = id in byId ? byId[id] : resume
      const { decisions } = fields(answer)
      for (const [i, event] of (events ?? []).entries()) {
        const { type, message, editedAction } = fields(Array.isArray(decisions) ? decisions[i] : undefined)
        // Whatever is not plainly a yes is none.
        const approved = type === 'approve' || type === 'edit'
        const reason = text(message) ?? (editedAction === undefined ? undefined : { edited: editedAction })
        void run.approvalDecided(event, { approved, by: by ?? 'unknown', ...(reason !== undefined && { reason }) })
      }
      if (events) continue
      const actor = by === undefined ? {} : { actor: { type: 'user' as const, id: by } }
      const parts = { output: { value: answer ?? null } }
      void run.record({ type: 'x.langgraph.resume', outcome: 'success', call: id, ...actor, parts })
    }
  }

  /** `humanInTheLoopMiddleware` names the tools that it asks about. */
  #approvalsOf(id: string, value: unknown): ApprovalEvent[] | null {
    const { actionRequests } = fields(value)
    if (!Array.isArray(actionRequests)) return null
    return actionRequests.map((request, i) => {
      const { name, args, description } = fields(request)
      const tool = text(name) ?? 'unknown'
      const json = JSON.stringify(args)
      const known = this.#asked.findLast((asked) => asked.name === tool && JSON.stringify(asked.args) === json)
      const reason = text(description)
      return { call: known?.id ?? `${id}-${i}`, tool, args, ...(reason !== undefined && { reason }) }
    })
  }
}
