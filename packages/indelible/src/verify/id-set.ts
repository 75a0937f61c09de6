/** A set of UUIDs in 16 bytes each and a table: a `Set` of a million strings would take four times as much. */
import { randomBytes } from '#crypto'

/** Words that {@link writeId} writes. */
export const ID_WORDS = 4

/** Writes a UUID in lower case as words. */
export function writeId(id: string, words: Uint32Array, at: number): void {
  // 8-4-4-4-12.
  words[at] = (hex4(id, 0) << 16) | hex4(id, 4)
  words[at + 1] = (hex4(id, 9) << 16) | hex4(id, 14)
  words[at + 2] = (hex4(id, 19) << 16) | hex4(id, 24)
  words[at + 3] = (hex4(id, 28) << 16) | hex4(id, 32)
}

function hex4(text: string, at: number): number {
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const code = text.charCodeAt(i)
    value = (value << 4) | (code < 0x3a ? code - 0x30 : code - 0x57)
  }
  return value
}
const scratch = new Uint32Array(ID_WORDS)

/** Ids of one chunk of them. */
const CHUNK = 16_384

/**
 * Ids stand in the order in which they came, in chunks that are never copied; a table of places among them, and of one byte
 * of each one's hash, says which can be the same.
 */
export class IdSet {
  readonly #chunks: Uint32Array[] = []
  #count = 0
  /** Of ids, by slot. Means something where there is a tag. */
  #places: Uint32Array
  /** 0 where nothing is. */
  #tags: Uint8Array
  /** Odd and unknown to whoever chose the ids: otherwise ids could be chosen that all land in one place. */
  readonly #seed = new Uint32Array(randomBytes(16).slice().buffer).map((word) => word | 1)

  /** @param capacity a power of two */
  constructor(capacity = 1024) {
    this.#places = new Uint32Array(capacity)
    this.#tags = new Uint8Array(capacity)
  }

  /** Adds `id`, a UUID in lower case; `false` if it was there. */
  add(id: string): boolean {
    writeId(id, scratch, 0)
    return this.addWords(scratch, 0)
  }

  /** {@link add} of an id as {@link writeId} wrote it at `at`. */
  addWords(words: Uint32Array, at: number): boolean {
    if ((this.#count + 1) * 4 > this.#tags.length * 3) this.#grow()
    const hash = this.#hash(words, at)
    const tag = tagOf(hash)
    const tags = this.#tags
    const mask = tags.length - 1
    let slot = hash & mask
    for (; tags[slot] !== 0; slot = (slot + 1) & mask) {
      if (tags[slot] === tag && this.#isAt(this.#places[slot]!, words, at)) return false
    }
    const place = this.#count++
    if (place % CHUNK === 0) this.#chunks.push(new Uint32Array(CHUNK * ID_WORDS))
    const chunk = this.#chunks[this.#chunks.length - 1]!
    const to = (place % CHUNK) * ID_WORDS
    for (let i = 0; i < ID_WORDS; i++) chunk[to + i] = words[at + i]!
    tags[slot] = tag
    this.#places[slot] = place
    return true
  }

  #isAt(place: number, words: Uint32Array, at: number): boolean {
    const chunk = this.#chunks[Math.floor(place / CHUNK)]!
    const from = (place % CHUNK) * ID_WORDS
    for (let i = 0; i < ID_WORDS; i++) if (chunk[from + i] !== words[at + i]) return false
    return true
  }

  #hash(words: Uint32Array, at: number): number {
    const seed = this.#seed
    let hash = Math.imul(words[at]! ^ seed[0]!, seed[1]!)
    for (let i = 1; i < ID_WORDS; i++) {
      hash = Math.imul(hash ^ (hash >>> 15) ^ words[at + i]!, seed[2]!)
      hash = Math.imul(hash ^ (hash >>> 13), seed[3]!)
    }
    return (hash ^ (hash >>> 16)) >>> 0
  }

  #grow(): void {
    const capacity = this.#tags.length * 2
    const mask = capacity - 1
    // Not both pairs at once.
    this.#tags = new Uint8Array(0)
    this.#places = new Uint32Array(0)
    const tags = new Uint8Array(capacity)
    const places = new Uint32Array(capacity)
    for (let place = 0; place < this.#count; place++) {
      const hash = this.#hash(this.#chunks[Math.floor(place / CHUNK)]!, (place % CHUNK) * ID_WORDS)
      let slot = hash & mask
      while (tags[slot] !== 0) slot = (slot + 1) & mask
      tags[slot] = tagOf(hash)
      places[slot] = place
    }
    this.#tags = tags
    this.#places = places
  }
}

/** From bits that say little of the slot. */
function tagOf(hash: number): number {
  return hash >>> 24 || 1
}
