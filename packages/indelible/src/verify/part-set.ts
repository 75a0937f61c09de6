/**
 * Parts by entry and name, many of them in little memory: a bit for each entry of a block, per name. A log from which a
 * million parts were erased is verified in the memory of one from which none was.
 */

/** Entries of one block. */
const BLOCK = 2048

/** Most blocks: 50 MB. Names come from the log, and an attacker can give every part its own. */
const MAX_BLOCKS = 200_000

export class PartSet {
  readonly #names = new Map<string, Map<number, Uint8Array>>()
  #blocks = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** `false` if there is no room for it. */
  add(index: number, name: string): boolean {
    const blocks = this.#names.get(name) ?? new Map<number, Uint8Array>()
    const at = Math.floor(index / BLOCK)
    let bits = blocks.get(at)
    if (!bits) {
      if (this.#blocks >= MAX_BLOCKS) return false
      this.#blocks++
      bits = new Uint8Array(BLOCK / 8)
      this.#names.set(name, blocks.set(at, bits))
    }
    const [byte, bit] = place(index)
    if ((bits[byte]! & bit) === 0) this.#size++
    bits[byte]! |= bit
    return true
  }

  /** Whether it was there. */
  delete(index: number, name: string): boolean {
    const bits = this.#names.get(name)?.get(Math.floor(index / BLOCK))
    const [byte, bit] = place(index)
    if (!bits || (bits[byte]! & bit) === 0) return false
    bits[byte]! &= ~bit
    this.#size--
    return true
  }

  *[Symbol.iterator](): Generator<{ readonly index: number; readonly name: string }> {
    for (const [name, blocks] of this.#names) {
      for (const [at, bits] of blocks) {
        for (let i = 0; i < BLOCK; i++) {
          if ((bits[i >> 3]! & (1 << (i & 7))) !== 0) yield { index: at * BLOCK + i, name }
        }
      }
    }
  }
}

function place(index: number): [byte: number, bit: number] {
  const within = index % BLOCK
  return [within >> 3, 1 << (within & 7)]
}
