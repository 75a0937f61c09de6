/** What waits to be written: groups of entries that are appended together or not at all. */
import { IndelibleError } from '../errors.ts'
import type { NoteSigner, VerifierKey } from '../note/signed-note.ts'
import type { Sealable } from './batch.ts'

/** About what an item that waits takes in memory beside its texts, bytes: small ones add up to more than their texts. */
const ITEM_BYTES = 2048

/** One entry that a caller waits for. */
export interface Item extends Sealable {
  /** Whether the producer chose the id: only such an id can be in the log already. */
  readonly idGiven: boolean
}

/** Where an entry stands; `checkpoint` covers it. */
export interface Place {
  readonly index: number
  readonly leaf: Uint8Array
  readonly checkpoint: string
  /** The id was in the log: this is the first receipt's place. */
  readonly duplicate: boolean
  /** Whether the two events could no longer be compared, because the digest was erased or is of another privacy policy. */
  readonly uncompared: boolean
}

/** A place before the checkpoint that covers it is known. */
export type Unsigned = Omit<Place, 'checkpoint'>

/** A change of the signing key. The successor signs the checkpoint too. */
export interface Rotation {
  /** The group is refused if this is not the key that signs by then. */
  readonly from: VerifierKey
  readonly to: NoteSigner
}

/** Items that are appended together or not at all, and who is told. */
export class Group {
  readonly items: readonly Item[]
  readonly rotation: Rotation | undefined
  /** What it takes in memory while it waits, roughly. */
  readonly bytes: number
  readonly #resolve: (places: readonly Place[]) => void
  readonly #reject: (error: unknown) => void
  #waiting: (() => void)[] | null = null
  #settled = false

  constructor(
    items: readonly Item[],
    rotation: Rotation | undefined,
    resolve: (places: readonly Place[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.items = items
    this.rotation = rotation
    this.#resolve = resolve
    this.#reject = reject
    let bytes = 0
    for (const { draft, payloads } of items) {
      bytes += ITEM_BYTES + draft.bytes.length
      for (const { disclosure } of payloads) bytes += disclosure.length
    }
    this.bytes = bytes
  }

  resolve(places: readonly Place[]): void {
    this.#resolve(places)
    this.#settle()
  }

  reject(error: unknown): void {
    this.#reject(error)
    this.#settle()
  }

  /** Resolves once it is durable or refused. */
  settled(): Promise<void> {
    if (this.#settled) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting ??= []
      this.#waiting.push(resolve)
    })
  }

  #settle(): void {
    this.#settled = true
    for (const tell of this.#waiting ?? []) tell()
  }
}

/** Groups in the order in which they came. */
export class GroupQueue {
  #groups: Group[] = []
  #entries = 0
  #rotations = 0
  #bytes = 0
  #last: Group | null = null

  /** Groups that wait. */
  get length(): number {
    return this.#groups.length
  }

  /** Entries that wait. */
  get entries(): number {
    return this.#entries
  }

  /** Whether a change of the signing key is among them. */
  get hasRotation(): boolean {
    return this.#rotations > 0
  }

  /**
   * @param maxBytes most that may wait or be written at a time, roughly; one group alone may be larger
   * @returns why the group was not queued, or `null`
   */
  add(group: Group, maxBytes: number): IndelibleError | null {
    if (this.#bytes > 0 && this.#bytes + group.bytes > maxBytes) {
      const message = `${this.#bytes} bytes wait to be written, at most ${maxBytes}: slow down, retry`
      return new IndelibleError('ERR_OVERLOADED', message)
    }
    this.#groups.push(group)
    this.#entries += group.items.length
    if (group.rotation) this.#rotations++
    this.#bytes += group.bytes
    this.#last = group
    return null
  }

  /** The first groups, of up to `maxEntries` together; a larger one comes alone. They count until {@link forget}. */
  take(maxEntries: number): Group[] {
    let count = 0
    let groups = 0
    for (const { items, rotation } of this.#groups) {
      if (groups > 0 && count + items.length > maxEntries) break
      count += items.length
      if (rotation) this.#rotations--
      groups++
    }
    this.#entries -= count
    if (groups < this.#groups.length) return this.#groups.splice(0, groups)
    const all = this.#groups
    this.#groups = []
    return all
  }

  /** A group that was taken is settled, and in memory no more. */
  forget({ bytes }: Group): void {
    this.#bytes -= bytes
  }

  /** Resolves once everything queued before the call is durable or refused. */
  async settled(): Promise<void> {
    await this.#last?.settled()
  }
}
