/**
 * Anchors the latest checkpoint of a log: each anchor on its schedule, or after so many new entries. It reads the log like
 * anybody else, through a handle of its own, and holds no lock of it: whoever records never waits for an anchor.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '../bytes.ts'
import { type AnchorConfig, durationSeconds } from '../config/anchors-section.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { IndelibleError, isIndelibleError, SplitViewError } from '../errors.ts'
import { makePrivateDirectory, withFileLock, writeFileAtomic } from '../keys/files.ts'
import { type Checkpoint, parseCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, parseNote, parseVkey, type VerifierKey } from '../note/signed-note.ts'
import type { Head, LogStore } from '../store/store.ts'
import { openStoreAt } from '../store/stores.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'
import { KeyHistory } from '../verify/key-history.ts'
import { formatSplitView } from '../verify/split-view.ts'
import type { Anchor, AnchoredCheckpoint, AnchorUse } from './anchor.ts'
import { openAnchor } from './kinds.ts'
import { AnchorReceipts, anchorsDirectory } from './receipts.ts'
import { rereadEntries } from './reread.ts'
import { type AnchorState, dueAt, readAnchorState, writeAnchorState } from './state.ts'

export interface RunnerOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly fetch?: typeof fetch
  /** Wall clock, ms since 1970. */
  readonly clock?: () => number
}

/** What became of one anchor in one run. */
export interface AnchorOutcome {
  readonly name: string
  readonly kind: string
  /** `waiting`: not due yet. */
  readonly result: 'anchored' | 'failed' | 'waiting'
  /** Entries vouched for now. */
  readonly size: number
  readonly error?: { readonly code: string; readonly message: string }
  readonly warnings?: readonly string[]
  /** Whether this error is another one than the time before. */
  readonly isNews?: boolean
}

export interface RunOptions {
  /** Only these. Default all. */
  readonly names?: readonly string[]
  /** Whether they are asked although they are not due. */
  readonly force?: boolean
}

/** How long after its time an anchor that does not listen is given up, ms. */
const GRACE_MS = 2000

export class AnchorRunner implements AsyncDisposable {
  readonly directory: string
  readonly #home: string
  readonly #config: Config
  readonly #store: LogStore
  readonly #receipts: AnchorReceipts
  readonly #use: AnchorUse
  readonly #anchors = new Map<string, Anchor>()
  readonly #probed = new Set<string>()

  private constructor(home: string, config: Config, store: LogStore, use: AnchorUse) {
    this.#home = home
    this.#config = config
    this.#store = store
    this.#use = use
    this.directory = anchorsDirectory(home, config)
    this.#receipts = new AnchorReceipts(this.directory)
  }

  /** @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID`, `ERR_STORE_…` */
  static async open(home: string, options: RunnerOptions = {}): Promise<AnchorRunner> {
    const { env = process.env, fetch = globalThis.fetch, clock = Date.now } = options
    const config = loadConfig(home, env)
    const { origin, store } = config.log
    const use = { directory: home, origin, env, fetch, clock }
    return new AnchorRunner(home, config, await openStoreAt(store, { home, origin, readOnly: true }), use)
  }

  /** Whether some anchor counts entries, so that the log has to be looked at often. */
  get countsEntries(): boolean {
    return this.#config.anchors.list.some(({ every_entries: count }) => count !== undefined)
  }

  /** When the next anchor is due by the clock, ms since 1970; infinite if there is none. */
  nextDue(): number {
    const { anchors } = this.#config
    return Math.min(...anchors.list.map((config) => this.#dueAt(config, this.#receipts.last(config.name))))
  }

  /**
   * Asks the anchors that are due. What goes wrong with one is its outcome, and kept for `status`; the others go on.
   *
   * @returns `null` if another process is at it
   * @throws IndelibleError `ERR_STORE_…` if the log cannot be read; `ERR_CONFIG_INVALID` for a name that there is none of
   */
  async run(options: RunOptions = {}): Promise<AnchorOutcome[] | null> {
    const { list } = this.#config.anchors
    const unknown = options.names?.find((name) => !list.some((one) => one.name === name))
    if (unknown !== undefined) throw new IndelibleError('ERR_CONFIG_INVALID', `there is no anchor ${unknown}`)
    const chosen = list.filter(({ name }) => options.names?.includes(name) ?? true)
    if (chosen.length === 0) return []
    makePrivateDirectory(this.directory)
    const timeoutMs = options.force ? 10_000 : 0
    const foreignMs = durationSeconds(this.#config.anchors.timeout) * 1000 + 60_000
    try {
      const lock = join(this.directory, 'runner.lock')
      return await withFileLock(lock, () => this.#runLocked(chosen, options.force ?? false), { timeoutMs, foreignMs })
    } catch (error) {
      if (isIndelibleError(error, 'ERR_STORE_BUSY') && !options.force) return null
      throw error
    }
  }

  async #runLocked(chosen: readonly AnchorConfig[], force: boolean): Promise<AnchorOutcome[]> {
    const head = await this.#store.head()
    if (!head) throw new IndelibleError('ERR_STORE_CORRUPT', 'log is empty, and none begins so: nothing was anchored')
    const due = chosen.filter((config) => force || this.#isDue(config, head.size))
    const outcomes = due.length === 0 ? [] : await this.#anchorAll(due, head)
    return chosen.map((config) => {
      const size = this.#receipts.last(config.name)?.size ?? 0
      const waiting = { name: config.name, kind: config.kind, result: 'waiting', size } as const
      return outcomes.find(({ name }) => name === config.name) ?? waiting
    })
  }

  #isDue(config: AnchorConfig, size: number): boolean {
    const last = this.#receipts.last(config.name)
    const now = this.#use.clock()
    const at = this.#dueAt(config, last)
    // A receipt from the future was dated by a clock that was wrong.
    if (now >= at || (last && Date.parse(last.received) > now + 60_000)) return true
    const { failures } = readAnchorState(this.directory, config.name)
    return failures === 0 && config.every_entries !== undefined && size - (last?.size ?? 0) >= config.every_entries
  }

  #dueAt(config: AnchorConfig, last: AnchorReceipt | null): number {
    const state = readAnchorState(this.directory, config.name)
    return dueAt(config, this.#config.anchors, last?.received ?? null, state)
  }

  async #anchorAll(due: readonly AnchorConfig[], head: Head): Promise<AnchorOutcome[]> {
    let checked: { checkpoint: AnchoredCheckpoint; vkey: string }
    try {
      checked = await this.#reread(due, head)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return due.map((config) => this.#failed(config, error))
    }
    const { checkpoint, vkey } = checked
    return Promise.all(
      due.map(async (config) => {
        try {
          return await this.#anchorOne(config, checkpoint, head.minIndex, vkey)
        } catch (error) {
          return this.#failed(config, await this.#unlessOvertaken(asIndelibleError(error), checkpoint.size))
        }
      }),
    )
  }

  /** The head's checkpoint, if it is signed by this log, and is of the entries that are there. */
  async #reread(due: readonly AnchorConfig[], head: Head): Promise<{ checkpoint: AnchoredCheckpoint; vkey: string }> {
    const { origin } = this.#use
    const keys = new KeyHistory(origin, this.#keys(due))
    const stated = claimed(head.checkpoint, origin)
    const lasts = due.map(({ name }) => this.#receipts.last(name))
    const most = Math.max(...lasts.map((last) => last?.size ?? 0))
    if (most > stated.size) {
      const message = `log has ${stated.size} entries, and ${most} of it were anchored: its end is gone`
      throw new IndelibleError('ERR_ROLLED_BACK', message)
    }
    // From what was anchored last by the one that is furthest behind.
    const least = lasts.toSorted((a, b) => (a?.size ?? 0) - (b?.size ?? 0))[0]
    const from = least ? { size: least.size, root: fromBase64(least.root) } : null
    await rereadEntries(this.#store, {
      from,
      to: stated,
      minIndex: head.minIndex,
      onRotation: (index, statement) => keys.rotate(index, statement),
    })
    const { key } = keys.open(head.checkpoint)
    return {
      checkpoint: { origin, size: stated.size, root: stated.root, note: head.checkpoint },
      vkey: formatVkey(key),
    }
  }

  /** The key that the home hands out, and those that signed what was anchored last: a rotation leads on from them. */
  #keys(due: readonly AnchorConfig[]): VerifierKey[] {
    const path = join(this.#home, 'log.vkey')
    const vkeys = due.map(({ name }) => readAnchorState(this.directory, name).vkey)
    if (existsSync(path)) vkeys.push(readFileSync(path, 'utf8').trim())
    return [...new Set(vkeys.filter((vkey) => vkey !== null))].map(parseVkey)
  }

  async #anchorOne(
    config: AnchorConfig,
    checkpoint: AnchoredCheckpoint,
    minIndex: number,
    vkey: string,
  ): Promise<AnchorOutcome> {
    const { name, kind } = config
    const anchor = await this.#open(config)
    const timeoutMs = durationSeconds(this.#config.anchors.timeout) * 1000
    const signal = AbortSignal.timeout(timeoutMs)
    const previous = this.#receipts.last(name)
    const work = async () => {
      if (!this.#probed.has(name)) await anchor.probe?.(signal)
      this.#probed.add(name)
      return anchor.anchor({ checkpoint, tree: this.#store, minIndex, previous, signal })
    }
    const result = await within(work(), timeoutMs + GRACE_MS, name)
    const { origin, size, root, note } = checkpoint
    this.#receipts.add({
      anchor: name,
      kind,
      origin,
      size,
      root: toBase64(root),
      checkpoint: result.note ?? note,
      received: new Date(this.#use.clock()).toISOString(),
      proof: result.proof ?? {},
    })
    const warnings = [...(result.warnings ?? [])]
    this.#keep(name, { failures: 0, error: null, warnings, vkey })
    return { name, kind, result: 'anchored', size, ...(warnings.length > 0 && { warnings }) }
  }

  /** A replica that anchors too may have been faster with a checkpoint that is larger than the one at hand. */
  async #unlessOvertaken(error: IndelibleError, size: number): Promise<IndelibleError> {
    if (error.code !== 'ERR_ROLLED_BACK') return error
    const head = await this.#store.head()
    if (!head || head.size <= size) return error
    return new IndelibleError('ERR_ANCHOR_FAILED', 'a larger checkpoint was anchored meanwhile', { cause: error })
  }

  async #open(config: AnchorConfig): Promise<Anchor> {
    const known = this.#anchors.get(config.name)
    if (known) return known
    const anchor = await openAnchor(config, this.#use)
    this.#anchors.set(config.name, anchor)
    return anchor
  }

  #failed({ name, kind }: AnchorConfig, error: IndelibleError): AnchorOutcome {
    const before = readAnchorState(this.directory, name)
    const { code, message } = error
    if (error instanceof SplitViewError) {
      writeFileAtomic(join(this.directory, `${name}.split-view.json`), formatSplitView(error.evidence))
    }
    this.#keep(name, { ...before, failures: before.failures + 1, error: { code, message }, warnings: [] })
    const size = this.#receipts.last(name)?.size ?? 0
    return { name, kind, result: 'failed', size, error: { code, message }, isNews: before.error?.code !== code }
  }

  #keep(name: string, state: Omit<AnchorState, 'attempted'>): void {
    writeAnchorState(this.directory, name, { ...state, attempted: new Date(this.#use.clock()).toISOString() })
  }

  async close(): Promise<void> {
    for (const anchor of this.#anchors.values()) await anchor.close?.()
    await this.#store.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** What the head's checkpoint says, before it is known whether its key counts. */
function claimed(note: string, origin: string): Checkpoint {
  const checkpoint = parseCheckpoint(parseNote(note).text)
  if (checkpoint.origin === origin) return checkpoint
  throw new IndelibleError('ERR_CHECKPOINT_INVALID', 'latest checkpoint is of another log: nothing was anchored')
}

/** What goes wrong with one anchor must not stop the others; a bug in one neither, but it is named. */
function asIndelibleError(error: unknown): IndelibleError {
  if (isIndelibleError(error)) return error
  const { code, name } = error as NodeJS.ErrnoException
  return new IndelibleError('ERR_ANCHOR_FAILED', `anchor failed: ${code ?? name}`, { cause: error })
}

async function within<T>(work: Promise<T>, ms: number, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const give = () => reject(new IndelibleError('ERR_ANCHOR_FAILED', `anchor ${name} did not end in time`))
    timer = setTimeout(give, ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
