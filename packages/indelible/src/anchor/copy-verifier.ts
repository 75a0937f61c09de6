/**
 * How a verifier judges a log by a write-once copy: every checkpoint in it must be of the log's own past. All of them are
 * read, not the largest alone: who can write to the copy and sign could put a larger one of another history there.
 */
import { isIndelibleError } from '../errors.ts'
import type { AnchorReceipt, AnchorVerifier, Voucher } from '../verify/anchors.ts'
import { readCopied } from './copy-anchor.ts'
import { type CopyStore, copyRefused, forEachOf } from './copy-store.ts'

export interface CopyVerifierOptions {
  readonly name: string
  readonly kind: string
  readonly required: boolean
  readonly maxAgeSeconds?: number | undefined
  readonly store: CopyStore
}

interface Copied {
  readonly size: number
  readonly origin: string
  readonly voucher: Voucher
}

/** How long a copy may take to be read, and how many checkpoints at a time. */
const ASK_MS = 120_000
const WIDTH = 16

export class CopyVerifier implements AnchorVerifier {
  readonly kind: string
  readonly name: string
  readonly required: boolean
  readonly maxAgeSeconds?: number
  readonly #store: CopyStore
  /** Read once: of one verification all answers are of one moment. */
  #copied: Promise<readonly Copied[]> | undefined

  constructor({ name, kind, required, maxAgeSeconds, store }: CopyVerifierOptions) {
    this.name = name
    this.kind = kind
    this.required = required
    if (maxAgeSeconds !== undefined) this.maxAgeSeconds = maxAgeSeconds
    this.#store = store
  }

  /** A receipt proves nothing by itself: it says where to look. What {@link ask} cannot reach is not this one's to report. */
  async check({ kind, origin, size, checkpoint, proof }: AnchorReceipt): Promise<Voucher | null> {
    if (kind !== this.kind || proof.copy !== this.#store.where) return null
    let copied: readonly Copied[]
    try {
      copied = (await this.#read()).filter((one) => one.origin === origin)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return null
    }
    // Older ones may be gone when their time is over; what came after them vouches for them too.
    if (copied.every((one) => one.size < size)) {
      throw copyRefused(this.#store.where, `no longer has what was copied to it: it is not write-once`)
    }
    return copied.findLast(({ voucher }) => textOf(voucher.note) === textOf(checkpoint))?.voucher ?? null
  }

  async ask(origin: string): Promise<Voucher[]> {
    const copied = await this.#read()
    return copied.filter((one) => one.origin === origin).map(({ voucher }) => voucher)
  }

  #read(): Promise<readonly Copied[]> {
    this.#copied ??= this.#readAll()
    return this.#copied
  }

  async #readAll(): Promise<readonly Copied[]> {
    const signal = AbortSignal.timeout(ASK_MS)
    const { where } = this.#store
    const list = await this.#store.checkpoints(0, signal)
    const found: (Copied | null)[] = list.map(() => null)
    await forEachOf(list.entries(), WIDTH, async ([i, one]) => {
      const bytes = await this.#store.readCheckpoint(one, signal)
      const read = bytes && readCopied(bytes)
      // What is no checkpoint vouches for nothing: a crash may have left the beginning of one, or somebody put it there.
      if (!read || read.stated.size !== one.size) return
      const by = one.isHidden ? `${where} (somebody tried to delete it)` : where
      const voucher = { note: read.note, by: [by], time: one.time, counts: true }
      found[i] = { size: one.size, origin: read.stated.origin, voucher }
    })
    return found.filter((one) => one !== null)
  }
}

const textOf = (note: string) => note.slice(0, note.lastIndexOf('\n\n'))
