/**
 * The directory log: the server's own, whose entries commit to where each tenant's log stood. It seals logs that are idle, and
 * shows one that is missing, was rolled back or was made anew. Anchored, it anchors them all.
 */
import { join } from 'node:path'
import { fromBase64, isEqual, toBase64 } from '../bytes.ts'
import { loadConfig } from '../config/config.ts'
import { isIndelibleError } from '../errors.ts'
import { openLog } from '../log/home.ts'
import { openStore } from '../log/home-store.ts'
import type { Log } from '../log/log.ts'
import { parseEntry } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import { frontierNodes } from '../tree/frontier.ts'
import { foldRange } from '../tree/node.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { ServerState, TenantRow } from './state.ts'

/** Where a log stood. */
interface Standing {
  readonly size: number
  /** Base64. */
  readonly root: string
}

export interface DirectoryFinding {
  /** `log_missing`: gone. `log_rolled_back`: shorter than it was. `log_forked`: other entries than it had. `log_unreadable`. */
  readonly code: 'log_missing' | 'log_rolled_back' | 'log_forked' | 'log_unreadable'
  readonly origin: string
  /** Entries that the directory knows of, and that there are. */
  readonly expected: number
  readonly found: number | null
}

export interface DirectoryReport {
  /** Logs that the directory knows. */
  readonly logs: number
  readonly findings: readonly DirectoryFinding[]
}

/** Logs of one entry: an entry has at most 65,535 bytes. */
const LOGS_OF_AN_ENTRY = 400

export const originOf = ({ folder }: Pick<TenantRow, 'folder'>) => `indelible.invalid/${folder}`

export class Directory {
  readonly #home: string
  readonly #state: ServerState
  readonly #log: Log
  /** As the directory has them, the largest of each. */
  readonly #known = new Map<string, Standing>()
  /** Entries of the directory log that have been read. */
  #read = 0
  #isClosed = false
  #working: Promise<unknown> = Promise.resolve()

  private constructor(home: string, state: ServerState, log: Log) {
    this.#home = home
    this.#state = state
    this.#log = log
  }

  /** @param home of the server. Throws as `openLog` */
  static async open(home: string, state: ServerState): Promise<Directory> {
    const log = await openLog({ home, anchor: true })
    try {
      const directory = new Directory(home, state, log)
      await directory.#readKnown()
      return directory
    } catch (error) {
      await log.close()
      throw error
    }
  }

  get origin(): string {
    return this.#log.origin
  }

  /** Ms between two commitments: an epoch of the directory log. */
  async everyMs(): Promise<number> {
    const { record } = await this.#log.read(0)
    return Number(record.audit?.epoch_seconds) * 1000
  }

  /**
   * Commits to where each log stands, as far as that has changed. A log that cannot be read is left out: {@link check} names it.
   * @returns how many logs have changed
   * @throws IndelibleError as `Log.record`
   */
  commit(): Promise<number> {
    return this.#exclusively(() => this.#commit())
  }

  /** Holds every log that the directory knows against what it was. */
  check(): Promise<DirectoryReport> {
    return this.#exclusively(() => this.#check())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#log.close()
  }

  async #commit(): Promise<number> {
    // Another replica may have said more.
    await this.#readKnown()
    const changed: ({ readonly origin: string } & Standing)[] = []
    for (const row of this.#state.tenants()) {
      if (this.#isClosed) return 0
      const origin = originOf(row)
      const standing = await this.#withStore(row, standingOf).catch((error: unknown) => {
        if (!isIndelibleError(error)) throw error
        return null
      })
      const known = this.#known.get(origin)
      // Smaller is no news, but a finding.
      if (standing && (!known || standing.size > known.size)) changed.push({ origin, ...standing })
    }
    for (let at = 0; at < changed.length; at += LOGS_OF_AN_ENTRY) {
      const logs = changed.slice(at, at + LOGS_OF_AN_ENTRY)
      await this.#log.recordAudit('audit.directory', { logs })
      for (const { origin, size, root } of logs) this.#known.set(origin, { size, root })
    }
    return changed.length
  }

  async #check(): Promise<DirectoryReport> {
    await this.#readKnown()
    const rows = new Map(this.#state.tenants().map((row) => [originOf(row), row]))
    const findings: DirectoryFinding[] = []
    for (const [origin, known] of this.#known) {
      if (this.#isClosed) break
      const row = rows.get(origin)
      const finding = (code: DirectoryFinding['code'], found: number | null) =>
        findings.push({ code, origin, expected: known.size, found })
      if (!row) {
        finding('log_missing', null)
        continue
      }
      try {
        await this.#withStore(row, async (store) => {
          const head = await store.head()
          if (!head || head.size < known.size) finding('log_rolled_back', head?.size ?? 0)
          else if (!isEqual(await rootAt(store, known.size), fromBase64(known.root))) finding('log_forked', head.size)
        })
      } catch (error) {
        const isGone = isIndelibleError(error, 'ERR_STORE_MISSING', 'ERR_HOME_NOT_FOUND')
        // A row of the tree that is missing is a RangeError.
        if (!isGone && !isIndelibleError(error) && !(error instanceof RangeError)) throw error
        finding(isGone ? 'log_missing' : 'log_unreadable', null)
      }
    }
    return { logs: this.#known.size, findings }
  }

  /** What has been said since it was read last, by this replica or another. */
  async #readKnown(): Promise<void> {
    const { store } = this.#log
    const size = (await store.head())?.size ?? 0
    for await (const rows of store.entries(this.#read, size)) {
      for (const { entry } of rows) {
        const { type, audit } = parseEntry(entry)
        if (type !== 'audit.directory') continue
        const { logs } = audit as unknown as { logs: readonly ({ origin: string } & Standing)[] }
        for (const { origin, size: then, root } of logs) {
          if ((this.#known.get(origin)?.size ?? -1) < then) this.#known.set(origin, { size: then, root })
        }
      }
    }
    this.#read = size
  }

  /** A handle of its own, for reading: thousands of logs are not kept open for this. */
  async #withStore<T>(row: TenantRow, work: (store: LogStore) => Promise<T>): Promise<T> {
    const home = join(this.#home, 'tenants', row.folder)
    const store = await openStore(home, loadConfig(home), { readOnly: true })
    try {
      return await work(store)
    } finally {
      await store.close()
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#working.then(work, work)
    this.#working = done.catch(() => {})
    return done
  }
}

async function standingOf(store: LogStore): Promise<Standing | null> {
  const head = await store.head()
  return head && { size: head.size, root: toBase64(foldRange(head.frontier)) }
}

async function rootAt(store: LogStore, size: number): Promise<Uint8Array> {
  return foldRange(await sourceNodeReader(store, size)(frontierNodes(size)))
}
