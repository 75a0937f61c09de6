/** What could not be kept: counted while it happens, stated in the log as soon as that takes entries again. */
import { newId } from '../record/id.ts'
import { formatTime } from '../record/time.ts'
import type { Sink } from './sink.ts'
import type { Loss } from './spool-segment.ts'

/** A statement that is on its way keeps its id: made twice, it is one. */
interface Statement {
  readonly id: string
  readonly cause: 'dropped' | 'refused'
  /** Of the error, where the log refused the events. */
  readonly code?: string
  readonly loss: Loss
}

export class Losses {
  readonly #sink: Sink
  /** By cause and code; at most one for each of them gathers. */
  readonly #gathering = new Map<string, Omit<Statement, 'id'>>()
  #statements: Statement[] = []
  #total = 0
  #recording: Promise<void> | null = null

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** Events lost since the start. */
  get total(): number {
    return this.#total
  }

  /** All that was dropped and is not in the log, as one. */
  get pending(): Loss | null {
    const losses = [...this.#statements, ...this.#gathering.values()].map(({ loss }) => loss)
    return losses.reduce<Loss | null>((sum, loss) => (sum ? add(sum, loss) : loss), null)
  }

  /** An event was dropped. */
  add(_draft: { readonly id: string }): void {
    this.#gather('dropped', undefined)
  }

  /** The log will not take an event, for a reason that lies in it. */
  addRefused(_draft: { readonly id: string }, code: string): void {
    this.#gather('refused', code)
  }

  /** A loss that a segment of the spool tells of. */
  addLoss(loss: Loss): void {
    this.#merge('dropped', undefined, loss)
  }

  /** Somebody else will state it. */
  handedOn(_loss: Loss): void {
    this.#gathering.clear()
    this.#statements = []
  }

  /** States what is pending, if the log takes it; otherwise it stays pending. */
  record(): Promise<void> {
    this.#recording ??= this.#record().finally(() => {
      this.#recording = null
    })
    return this.#recording
  }

  async #record(): Promise<void> {
    for (const gathered of this.#gathering.values()) this.#statements.push({ id: newId(Date.now()), ...gathered })
    this.#gathering.clear()
    while (this.#statements.length > 0) {
      const { id, cause, code, loss } = this.#statements[0]!
      try {
        await this.#sink.recordGap({ cause, ...(code !== undefined && { code }), ...loss }, id)
      } catch {
        return
      }
      this.#statements.shift()
    }
  }

  #gather(cause: Statement['cause'], code: string | undefined): void {
    this.#total++
    const now = formatTime(Date.now())
    this.#merge(cause, code, { events: 1, from: now, to: now })
  }

  #merge(cause: Statement['cause'], code: string | undefined, loss: Loss): void {
    const key = `${cause} ${code}`
    const known = this.#gathering.get(key)
    const sum = known ? add(known.loss, loss) : loss
    this.#gathering.set(key, { cause, ...(code !== undefined && { code }), loss: sum })
  }
}

function add(a: Loss, b: Loss): Loss {
  return { events: a.events + b.events, from: [a.from, b.from].sort()[0]!, to: [a.to, b.to].sort()[1]! }
}
