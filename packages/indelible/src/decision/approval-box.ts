/**
 * Requests that wait for people: what is shown to them stays beside the log only as long as it is needed, because the log may
 * be told to withhold it. Nothing in here is believed: it must have the digest that the log states.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { withFileLock, writeFileAtomic } from '../keys/files.ts'
import { removeExpiredRequests } from '../log/erasure-places.ts'
import { isId } from '../record/id.ts'
import { canonicalize, type Json, parseJson } from '../record/jcs.ts'

/** All that a decision binds. */
export interface BoxedRequest {
  readonly origin: string
  /** Id of the `approval.requested` entry. */
  readonly id: string
  /** 256 random bits: without them nobody can guess from the digest what was asked for. */
  readonly nonce: string
  readonly tool: string
  /** Arguments as they would be executed, carried. */
  readonly args: Json
  /** What is shown to the approvers, carried. */
  readonly shown: Json
  readonly approvers: readonly string[]
  readonly quorum: number
  /** Until when it may be decided. */
  readonly expires: string
  /** Who asks, and on whose behalf: neither may approve. */
  readonly requester: readonly string[]
  readonly run: string | null
}

/** Digest that binds a decision: of everything that is asked for, under the request's own nonce. */
export function digestRequest(request: BoxedRequest): string {
  return `sha256:${toBase64Url(sha256(canonicalize(['indelible/approval@1', request])))}`
}

/** Where requests wait. Another place, such as a database that replicas share, has the same methods. */
export interface ApprovalBox {
  put(request: BoxedRequest): Promise<void>
  get(id: string): Promise<BoxedRequest | null>
  ids(): Promise<string[]>
  /** Ids of the entries that decide a request. */
  decisions(id: string): Promise<string[]>
  /** Runs `work` while nobody else decides this request; `add` notes the id of an entry that decides it. */
  deciding<T>(id: string, work: (add: (entryId: string) => void) => Promise<T>): Promise<T>
  remove(id: string): Promise<void>
  /**
   * Calls `listener` soon after something may have happened to a request, as far as the system can tell. Whoever waits looks
   * now and then all the same. Returns what ends it.
   */
  watch?(id: string, listener: () => void): () => void
}

/** How long a request that has expired is kept for the one who asked to come back for the answer, ms. */
const KEPT_MS = 86_400_000

/** A folder of the home, for the processes of one machine. */
export class FolderBox implements ApprovalBox {
  readonly #folder: string

  constructor(home: string) {
    this.#folder = join(home, 'approvals')
  }

  async put(request: BoxedRequest): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    // Of an agent that died nobody waits any more; what it asked for must not stand there in clear for ever.
    removeExpiredRequests(this.#folder, KEPT_MS)
    writeFileAtomic(this.#path(request.id, 'json'), `${JSON.stringify(request)}\n`)
  }

  async get(id: string): Promise<BoxedRequest | null> {
    const text = readIfThere(this.#path(id, 'json'))
    return text === null ? null : (parseJson(text) as unknown as BoxedRequest)
  }

  async ids(): Promise<string[]> {
    if (!existsSync(this.#folder)) return []
    const names = readdirSync(this.#folder).filter((name) => name.endsWith('.json'))
    return names
      .map((name) => name.slice(0, -'.json'.length))
      .filter(isId)
      .sort()
  }

  async decisions(id: string): Promise<string[]> {
    const text = readIfThere(this.#path(id, 'decisions'))
    return text === null ? [] : text.split('\n').filter(isId)
  }

  async deciding<T>(id: string, work: (add: (entryId: string) => void) => Promise<T>): Promise<T> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    return withFileLock(this.#path(id, 'lock'), async () => {
      const known = await this.decisions(id)
      return work((entryId) => {
        known.push(entryId)
        writeFileAtomic(this.#path(id, 'decisions'), known.map((one) => `${one}\n`).join(''))
      })
    })
  }

  async remove(id: string): Promise<void> {
    // The request first: without it nothing can be decided any more.
    for (const kind of ['json', 'decisions']) rmSync(this.#path(id, kind), { force: true })
  }

  watch(id: string, listener: () => void): () => void {
    try {
      const watcher = watch(this.#folder, { persistent: false }, (_, name) => {
        if (name === null || name.startsWith(id)) listener()
      })
      watcher.on('error', () => watcher.close())
      return () => watcher.close()
    } catch {
      // Too many watches, or a file system that has none.
      return () => {}
    }
  }

  #path(id: string, kind: string): string {
    if (!isId(id)) throw new IndelibleError('ERR_APPROVAL_NOT_FOUND', 'expected the id of a request')
    return join(this.#folder, `${id}.${kind}`)
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
