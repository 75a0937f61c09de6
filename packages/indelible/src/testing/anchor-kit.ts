/** A small real log for the anchor suite: entries, tree and signatures are true, all of it in memory. */
import type { AnchoredCheckpoint, AnchorResult, AnchorTask } from '../anchor/anchor.ts'
import { toBase64 } from '../bytes.ts'
import { MemoryKeys } from '../keys/memory-keys.ts'
import { generateSkey } from '../keys/signer.ts'
import { writeFirstEntry } from '../log/home.ts'
import { Log } from '../log/log.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, parseNote, type VerifierKey } from '../note/signed-note.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy } from '../privacy/policy.ts'
import { MemoryStore } from '../store/memory.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'

/** What an anchor has to know of the log that it is for. */
export interface AnchorSubject {
  readonly origin: string
  readonly vkey: string
}

export class AnchorTestLog implements AnchorSubject {
  readonly origin: string
  readonly vkey: string
  readonly key: VerifierKey
  readonly store: MemoryStore
  readonly #log: Log

  private constructor(keys: MemoryKeys, store: MemoryStore, log: Log) {
    this.origin = keys.origin
    this.key = keys.signer.key
    this.vkey = formatVkey(this.key)
    this.store = store
    this.#log = log
  }

  /** @param skey to have a second log under the key of the first: another history of the same log */
  static async make(origin: string, skey: string = generateSkey(origin, 'default')): Promise<AnchorTestLog> {
    const keys = new MemoryKeys(origin, { clock: { startMs: Date.now() - 1000, seconds: 3600 }, skey })
    const store = new MemoryStore()
    await writeFirstEntry(store, keys, formatVkey(keys.signer.key), 'default')
    const privacy = new PrivacyPolicy(DEFAULT_PRIVACY, origin, keys.fingerprint)
    return new AnchorTestLog(keys, store, await Log.open({ store, keys, privacy }))
  }

  /** Grows by `count` entries, and gives its checkpoint. */
  async grow(count: number): Promise<AnchoredCheckpoint> {
    const actor = { type: 'agent', id: 'anchored' } as const
    await this.#log.recordMany(Array.from({ length: count }, () => ({ type: 'tool.end', actor })))
    return this.checkpoint()
  }

  async checkpoint(): Promise<AnchoredCheckpoint> {
    const note = (await this.#log.checkpoint())!
    const { size, root } = parseCheckpoint(parseNote(note).text)
    return { origin: this.origin, size, root, note }
  }

  task(
    checkpoint: AnchoredCheckpoint,
    previous: AnchorReceipt | null = null,
    more: Partial<AnchorTask> = {},
  ): AnchorTask {
    return { checkpoint, tree: this.store, minIndex: 0, previous, signal: AbortSignal.timeout(20_000), ...more }
  }
}

/** The receipt that a runner would keep of `result`. */
export function receiptOf(
  anchor: { readonly name: string; readonly kind: string },
  { origin, size, root, note }: AnchoredCheckpoint,
  result: AnchorResult,
): AnchorReceipt {
  return {
    anchor: anchor.name,
    kind: anchor.kind,
    origin,
    size,
    root: toBase64(root),
    checkpoint: result.note ?? note,
    received: new Date().toISOString(),
    proof: result.proof ?? {},
  }
}
