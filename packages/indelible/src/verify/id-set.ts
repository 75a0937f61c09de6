/** A set of UUIDs in 16 bytes each and some air: a `Set` of a million strings would take six times as much. */
export class IdSet {
  #slots: Uint32Array
  #count = 0

  constructor(capacity = 1024) {
    this.#slots = new Uint32Array(capacity * 4)
  }

  /** Adds `id`; `false` if it was there. Ids that are no UUIDs are treated by their hex digits. */
  add(id: string): boolean {
    if ((this.#count + 1) * 8 > this.#slots.length) this.#grow()
    const hex = id.replaceAll('-', '').padEnd(32, '0')
    const words = [0, 8, 16, 24].map((at) => Number.parseInt(hex.slice(at, at + 8), 16) >>> 0)
    // All zero marks a free slot; no UUIDv7 is.
    return this.#insert(words[0]!, words[1]!, words[2]!, words[3]!)
  }

  #insert(a: number, b: number, c: number, d: number): boolean {
    const slots = this.#slots
    const mask = slots.length / 4 - 1
    for (let at = (Math.imul(d ^ c, 0x9e3779b1) >>> 0) & mask; ; at = (at + 1) & mask) {
      const i = at * 4
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
