/**
 * A log on a server, used as one of this process: the same recorder, runs, failure modes and spool. What is recorded goes through
 * the client's own privacy policy first; the server sees no more than that leaves.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { macKey } from '#crypto'
import type { RunOptions } from '../capture/members.ts'
import { type ObserveOptions, observe } from '../capture/observe.ts'
import { Recorder, type RecorderOptions } from '../capture/recorder.ts'
import type { Run } from '../capture/run.ts'
import type { DraftOptions, Sink } from '../capture/sink.ts'
import { Spool } from '../capture/spool.ts'
import { localKey } from '../capture/spool-key.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { makePrivateDirectory, writeFileAtomic } from '../keys/files.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy, type PrivacyRules } from '../privacy/policy.ts'
import { createRedactor, type RedactionOptions } from '../privacy/redactor.ts'
import type { AgentEvent } from '../record/schema.ts'
import { type ClientDraft, Drafter } from './drafts.ts'
import { Http, type HttpOptions, ServerError } from './http.ts'
import { Reading } from './reading.ts'
import type { ClientReceipt, Whoami } from './types.ts'

export interface ClientOptions extends HttpOptions {
  /**
   * Folder of this client: its spool, its keys, and the log's origin, so that it can begin while the server is away. Without one,
   * what the server does not take waits in memory only.
   */
  readonly home?: string
  /** What may leave this process. Default: fingerprints of parts. */
  readonly privacy?: PrivacyRules
  /** What is replaced in texts that do leave. */
  readonly redaction?: RedactionOptions
  /** How runs are recorded: `onFailure`, `timeoutMs`, `prices`, … */
  readonly capture?: Omit<RecorderOptions, 'spool'>
  /** Most bytes of the spool. Default 1 GiB. */
  readonly spoolMaxBytes?: number
  readonly clock?: () => number
}

/** Events of one request, and about its bytes: the server's own limits are larger. */
const BATCH_BYTES = 4 * 1024 * 1024

/**
 * @throws IndelibleError `ERR_SERVER_UNREACHABLE` if the server is away and `home` does not know it yet, `ERR_SERVER_REFUSED` for a
 * key that does not count, `ERR_KEY_MISMATCH` if `home` is of another log
 */
export async function openClient(options: ClientOptions): Promise<Client> {
  const http = new Http(options)
  const { home } = options
  const known = home === undefined ? null : readOrigin(home)
  let origin: string
  try {
    ;({ origin } = await http.json<Whoami>('/v1/whoami', known === null ? {} : { retries: 0 }))
  } catch (error) {
    // A server that is away is no reason not to begin: that is what the spool is for.
    const isAway = isIndelibleError(error, 'ERR_SERVER_UNREACHABLE', 'ERR_OVERLOADED', 'ERR_CLOSED')
    if (!isAway || known === null) throw error
    origin = known
  }
  if (known !== null && known !== origin) {
    throw new IndelibleError('ERR_KEY_MISMATCH', `the folder is of ${known}, the server's log is ${origin}`)
  }
  if (home !== undefined && known === null) {
    makePrivateDirectory(home)
    writeFileAtomic(join(home, 'client.json'), `${JSON.stringify({ origin })}\n`)
  }
  return new Client(http, origin, options)
}

export class Client extends Reading implements Sink<ClientDraft, ClientReceipt> {
  readonly origin: string
  readonly #http: Http
  readonly #drafter: Drafter
  readonly #capture: RecorderOptions
  #recorder: Recorder | null = null
  readonly #pending = new Set<Promise<unknown>>()
  #isClosed = false

  /** Made by {@link openClient}. */
  constructor(http: Http, origin: string, options: ClientOptions) {
    super(http)
    this.#http = http
    this.origin = origin
    const { home, clock = Date.now, privacy = DEFAULT_PRIVACY, redaction, capture, spoolMaxBytes = 2 ** 30 } = options
    const keys = home === undefined ? null : join(home, 'keys')
    if (keys !== null) makePrivateDirectory(keys)
    // Without a folder, fingerprints of this process compare with each other only.
    const fingerprintKey = keys === null ? randomBytes(32) : localKey(keys, 'fingerprint.key')
    this.#drafter = new Drafter(
      new PrivacyPolicy(privacy, origin, macKey(fingerprintKey), createRedactor(redaction)),
      clock,
    )
    const spool = () =>
      home === undefined || keys === null
        ? null
        : new Spool({
            directory: join(home, 'spool'),
            key: localKey(keys, 'spool.key'),
            origin,
            maxBytes: spoolMaxBytes,
          })
    this.#capture = { clock, ...capture, spool }
    // What earlier processes could not send, somebody has to.
    if (home !== undefined && existsSync(join(home, 'spool'))) this.recorder.resume()
  }

  get policyMark(): string {
    return this.#drafter.mark
  }

  draft(event: AgentEvent, { assurance = 'observed' }: DraftOptions = {}): ClientDraft {
    const draft = this.#drafter.draft(event, assurance)
    if (draft.ready) this.#track(draft.ready)
    return draft
  }

  restore(event: AgentEvent): ClientDraft {
    return this.#drafter.restore(event)
  }

  /**
   * Makes drafts durable in the server's log: all of them, in this order, or none; a very large call goes in pieces of which each is
   * all or nothing. Asked again with the same drafts, nothing is recorded twice.
   * @throws IndelibleError `ERR_SERVER_UNREACHABLE` (they may be recorded, or not: append them again), {@link ServerError}
   */
  async append(drafts: readonly ClientDraft[]): Promise<ClientReceipt[]> {
    if (this.#isClosed) throw new IndelibleError('ERR_CLOSED', 'client is closed')
    await Promise.all(drafts.flatMap(({ ready }) => ready ?? []))
    const receipts: ClientReceipt[] = []
    for (let from = 0; from < drafts.length; ) {
      let to = from + 1
      let bytes = drafts[from]!.bytes
      while (to < drafts.length && bytes + drafts[to]!.bytes <= BATCH_BYTES) bytes += drafts[to++]!.bytes
      receipts.push(...(await this.#post(drafts.slice(from, to))))
      from = to
    }
    return receipts
  }

  async record(event: AgentEvent, options?: DraftOptions): Promise<ClientReceipt> {
    return (await this.append([this.draft(event, options)]))[0]!
  }

  async recordMany(events: readonly AgentEvent[], options?: DraftOptions): Promise<ClientReceipt[]> {
    return this.append(events.map((event) => this.draft(event, options)))
  }

  async recordGap(audit: Readonly<Record<string, unknown>>, id?: string): Promise<ClientReceipt> {
    const body = { audit, ...(id !== undefined && { id }) }
    return this.#track(this.#http.json('/v1/gaps', { method: 'POST', body, isIdempotent: id !== undefined }))
  }

  /** What records runs, with a failure mode and, where there is a folder, a spool. */
  get recorder(): Recorder {
    this.#recorder ??= new Recorder(this, this.#capture)
    return this.#recorder
  }

  /** Begins a run of an agent: see {@link Recorder.run}. */
  run(options: RunOptions): Run
  run<T>(options: RunOptions, work: (run: Run) => T | Promise<T>): Promise<T>
  run<T>(options: RunOptions, work?: (run: Run) => T | Promise<T>): Run | Promise<T> {
    return work ? this.recorder.run(options, work) : this.recorder.run(options)
  }

  /** Records what goes through a stream of agent events, and passes it on unchanged. */
  observe<T>(stream: AsyncIterable<T>, options?: ObserveOptions<T>): AsyncIterable<T> {
    return observe(this.recorder, stream, options)
  }

  async flush(): Promise<void> {
    await this.#recorder?.flush()
    await Promise.allSettled(this.#pending)
  }

  /** {@link flush}, and an end. What the server did not take stays in the spool for the next client of the folder. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.#recorder?.close()
    await Promise.allSettled(this.#pending)
    this.#isClosed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #post(drafts: readonly ClientDraft[]): Promise<ClientReceipt[]> {
    const body = drafts.map((draft) => draft.toEvent())
    const asked = { method: 'POST', body, query: { atomic: true }, isIdempotent: true } as const
    try {
      const { results } = await this.#track(this.#http.json<{ results: ClientReceipt[] }>('/v1/events', asked))
      return results
    } catch (error) {
      if (!(error instanceof ServerError) || error.status !== 413) throw error
      // The server's limits are its own. Each half is all or nothing, and repeating the first is safe.
      if (drafts.length === 1)
        throw new IndelibleError('ERR_ENTRY_TOO_LARGE', 'event is larger than the server takes', { cause: error })
      const middle = Math.ceil(drafts.length / 2)
      return [...(await this.#post(drafts.slice(0, middle))), ...(await this.#post(drafts.slice(middle)))]
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work)
    return work.finally(() => this.#pending.delete(work))
  }
}

function readOrigin(home: string): string | null {
  const path = join(home, 'client.json')
  if (!existsSync(path)) return null
  const { origin } = JSON.parse(readFileSync(path, 'utf8')) as { origin?: unknown }
  if (typeof origin !== 'string') throw new IndelibleError('ERR_CONFIG_INVALID', `${path} names no origin`)
  return origin
}
