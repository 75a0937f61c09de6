/** Where a scene is played: a log in memory, tools that count, a policy, a person, and a way to make recording fail. */
import { setTimeout as sleep } from 'node:timers/promises'
import { macKey } from '#crypto'
import type { ApproveHook, PolicyHook } from '../capture/gate.ts'
import { Recorder } from '../capture/recorder.ts'
import type { DraftOptions, EventDraft, FailureMode, Sink } from '../capture/sink.ts'
import { IndelibleError } from '../errors.ts'
import { MemoryKeys } from '../keys/memory-keys.ts'
import { Log } from '../log/log.ts'
import { PrivacyPolicy } from '../privacy/policy.ts'
import { parseDisclosure } from '../record/disclosure.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import type { AgentEvent } from '../record/schema.ts'
import { MemoryStore } from '../store/memory.ts'
import { APPROVER, TOOL_RESULTS, type ToolName } from './adapter-script.ts'

/** What a harness plays a scene with. */
export interface Stage {
  /** To attach the adapter to. */
  readonly recorder: Recorder
  readonly onFailure: FailureMode
  /** The tools of the script, to be given to the framework. The signal is the framework's, where it hands one to tools. */
  readonly tools: Readonly<Record<ToolName, (args: unknown, signal?: AbortSignal) => Promise<string>>>
  /** Denies `delete_all`, has a person asked about `send_mail`, allows the rest. */
  readonly policy: PolicyHook
  /** The person says yes. */
  readonly approve: ApproveHook
  /** Aborted while the tool `wait` runs. */
  readonly signal: AbortSignal
}

const ORIGIN = 'adapter.example/log'

export class TestStage implements Stage {
  readonly recorder: Recorder
  readonly onFailure: FailureMode
  readonly tools: Stage['tools']
  readonly policy: PolicyHook
  readonly approve: ApproveHook
  /** Calls of each tool that really happened. */
  readonly ran: ToolName[] = []
  readonly #abort = new AbortController()
  /** A member of its own: harnesses take stages apart. */
  readonly signal: AbortSignal = this.#abort.signal
  readonly #log: Log
  readonly #store: MemoryStore
  readonly #sink: FailingSink

  static async open(onFailure: FailureMode): Promise<TestStage> {
    const store = new MemoryStore()
    const keys = new MemoryKeys(ORIGIN, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
    const privacy = new PrivacyPolicy({ mode: 'full' }, ORIGIN, macKey(new Uint8Array(32)))
    return new TestStage(await Log.open({ store, keys, privacy }), store, onFailure)
  }

  private constructor(log: Log, store: MemoryStore, onFailure: FailureMode) {
    this.#log = log
    this.#store = store
    this.#sink = new FailingSink(log)
    this.onFailure = onFailure
    this.recorder = new Recorder(this.#sink, { onFailure, retryMs: 20 })
    this.policy = ({ tool }) => (tool === 'delete_all' ? 'deny' : tool === 'send_mail' ? 'review' : 'allow')
    this.approve = async () => sleep(1, { approved: true, by: APPROVER })
    const names = Object.keys(TOOL_RESULTS) as ToolName[]
    this.tools = Object.fromEntries(
      names.map((name) => [name, (_: unknown, signal?: AbortSignal) => this.#run(name, signal)]),
    ) as Stage['tools']
  }

  async #run(name: ToolName, signal: AbortSignal = this.signal): Promise<string> {
    this.ran.push(name)
    if (name === 'charge') throw new RangeError('card declined')
    if (name === 'wait') {
      setTimeout(() => this.#abort.abort(), 5)
      await sleep(30_000, null, { signal })
    }
    // Tools that run at once must overlap.
    await sleep(2)
    return TOOL_RESULTS[name]
  }

  /** From now on the log takes no event that `which` names. */
  fail(which: (event: AgentEvent) => boolean): void {
    this.#sink.fails = which
  }

  recover(): void {
    this.#sink.fails = null
  }

  /** The agent's entries, with the values of their parts. */
  async records(): Promise<{ record: ReadRecord; parts: Record<string, unknown> }[]> {
    await this.recorder.flush()
    const size = (await this.#store.head())?.size ?? 0
    const all: { record: ReadRecord; parts: Record<string, unknown> }[] = []
    for await (const rows of this.#store.entries(0, size)) {
      for (const { index, entry } of rows) {
        const record = parseEntry(entry)
        if (record.type.startsWith('audit.')) continue
        const parts: Record<string, unknown> = {}
        for (const name of Object.keys(record.parts ?? {})) {
          parts[name] = parseDisclosure((await this.#store.payload(index, name))!).value
        }
        all.push({ record, parts })
      }
    }
    return all
  }

  async close(): Promise<void> {
    this.recover()
    await this.recorder.close()
    await this.#log.close()
  }
}

/** A log that refuses what it is told to. */
class FailingSink implements Sink {
  readonly #log: Log
  fails: ((event: AgentEvent) => boolean) | null = null

  constructor(log: Log) {
    this.#log = log
  }

  get origin(): string {
    return this.#log.origin
  }

  draft(event: AgentEvent, options?: DraftOptions): EventDraft {
    return this.#log.draft(event, options)
  }

  async append(drafts: readonly EventDraft[]) {
    const fails = this.fails
    if (fails && drafts.some((draft) => fails(draft.toEvent()))) {
      throw new IndelibleError('ERR_STORE_FAILED', 'append was made to fail')
    }
    return this.#log.append(drafts as Parameters<Log['append']>[0])
  }

  recordGap(audit: Readonly<Record<string, unknown>>, id?: string) {
    return this.#log.recordGap(audit, id)
  }

  async record(event: AgentEvent, options?: DraftOptions) {
    return (await this.recordMany([event], options))[0]!
  }

  recordMany(events: readonly AgentEvent[], options?: DraftOptions) {
    return this.append(events.map((event) => this.draft(event, options)))
  }

  flush(): Promise<void> {
    return this.#log.flush()
  }
}
