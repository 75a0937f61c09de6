/** A set of UUIDs in 16 bytes each and some air: a `Set` of a million strings would take six times as much. */
import { randomBytes } from '#crypto'

/** Words that {@link writeId} writes. */
export const ID_WORDS = 4

/** Writes a UUID in lower case as words. */
export function writeId(id: string, words: Uint32Array, at: number): void {
  // 8-4-4-4-12.
  words[at] = Number.parseInt(id.slice(0, 8), 16)
  words[at + 1] = Number.parseInt(id.slice(9, 13) + id.slice(14, 18), 16)
  words[at + 2] = Number.parseInt(id.slice(19, 23) + id.slice(24, 28), 16)
  words[at + 3] = Number.parseInt(id.slice(28, 36), 16)
}
const scratch = new Uint32Array(ID_WORDS)

export class IdSet {
  #slots: Uint32Array
  #count = 0
  /** Odd and unknown to whoever chose the ids: otherwise ids could be chosen that all land in one place. */
  readonly #seed = new Uint32Array(randomBytes(16).slice().buffer).map((word) => word | 1)

  /** @param capacity a power of two */
  constructor(capacity = 1024) {
    this.#slots = new Uint32Array(capacity * 4)
  }

  /** Adds `id`, a UUID in lower case but not that of all zeros; `false` if it was there. */
  add(id: string): boolean {
    writeId(id, scratch, 0)
    return this.addWords(scratch, 0)
  }

  /** {@link add} of an id as {@link writeId} wrote it at `at`. */
  addWords(words: Uint32Array, at: number): boolean {
    if ((this.#count + 1) * 8 > this.#slots.length) this.#grow()
    return this.#insert(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!)
  }

  #insert(a: number, b: number, c: number, d: number): boolean {
    const slots = this.#slots
    const mask = slots.length / 4 - 1
    for (let at = this.#hash(a, b, c, d) & mask; ; at = (at + 1) & mask) {
      const i = at * 4
      // All zero marks a free slot; no UUIDv7 is.
      if ((slots[i]! | slots[i + 1]! | slots[i + 2]! | slots[i + 3]!) === 0) {
        slots[i] = a
        slots[i + 1] = b
        slots[i + 2] = c
        slots[i + 3] = d
        this.#count++
        return true
      }
      if (slots[i] === a && slots[i + 1] === b && slots[i + 2] === c && slots[i + 3] === d) return false
    }
  }

  #hash(a: number, b: number, c: number, d: number): number {
    const [p, q, r, s] = this.#seed as unknown as [number, number, number, number]
    let hash = Math.imul(a ^ p, q)
    for (const word of [b, c, d]) {
      hash = Math.imul(hash ^ (hash >>> 15) ^ word, r)
      hash = Math.imul(hash ^ (hash >>> 13), s)
    }
    return (hash ^ (hash >>> 16)) >>> 0
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(old.length * 2)
    this.#count = 0
    for (let i = 0; i < old.length; i += 4) {
      if ((old[i]! | old[i + 1]! | old[i + 2]! | old[i + 3]!) !== 0) {
        this.#insert(old[i]!, old[i + 1]!, old[i + 2]!, old[i + 3]!)
      }
    }
  }
}
