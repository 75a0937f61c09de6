/** The tree of a bundle's packs: entries in order, and between them the hashes of the subtrees that hold none of them. */
import { Frontier } from '../tree/frontier.ts'
import { HASH_BYTES } from '../tree/hash.ts'
import { gapNodes } from './bundle-format.ts'

/** The tree as entries and the hashes between them grow it. */
export class PackedTree {
  readonly #size: number
  readonly #frontier = Frontier.empty()
  readonly #pinSize: number | undefined
  pinRoot: Uint8Array | null = null
  #hashes: Uint8Array = new Uint8Array(0)
  #at = 0
  #isWhole = true

  constructor(size: number, pinSize: number | undefined) {
    this.#size = size
    this.#pinSize = pinSize
  }

  /** Bytes of hashes that were provided and not used. */
  get left(): number {
    return this.#hashes.length - this.#at
  }

  provide(hashes: Uint8Array): void {
    this.#hashes = hashes
    this.#at = 0
  }

  fail(): void {
    this.#isWhole = false
  }

  skipTo(index: number): void {
    if (index > this.#size) this.fail()
    if (!this.#isWhole) return
    for (const { level } of gapNodes(this.#frontier.size, index)) {
      const end = this.#at + HASH_BYTES
      if (end > this.#hashes.length) {
        this.fail()
        return
      }
      this.#append(level, this.#hashes.slice(this.#at, end))
      this.#at = end
    }
  }

  append(leaf: Uint8Array): void {
    if (this.#frontier.size >= this.#size) this.fail()
    if (this.#isWhole) this.#append(0, leaf)
  }

  #append(level: number, hash: Uint8Array): void {
    this.#frontier.appendSubtree(level, hash)
    if (this.#frontier.size === this.#pinSize) this.pinRoot = this.#frontier.root()
  }

  /** `null` if something was missing or left over. */
  root(): Uint8Array | null {
    return this.#isWhole && this.#frontier.size === this.#size ? this.#frontier.root() : null
  }
}
