/** Rows in the binary form of COPY, https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4. */

/** A value of a row. A number is an `int8`; an {@link Int4} is one of four bytes. */
export type CopyValue = Uint8Array | string | number | bigint | boolean | Int4 | readonly string[] | null

export class Int4 {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

// "PGCOPY\n\xff\r\n\0", no flags, no extension.
const HEADER = Buffer.from('5047434f50590aff0d0a000000000000000000', 'hex')
const TRAILER = Buffer.from('ffff', 'hex')
/** Number of the type `text`. */
const TEXT = 25
const FIRST_BYTES = 64 * 1024

/** Collects rows; grows as it must. */
export class CopyRows {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #at = HEADER.copy(this.#buffer)
  count = 0

  add(values: readonly CopyValue[]): void {
    this.count++
    this.#reserve(2)
    this.#at = this.#buffer.writeInt16BE(values.length, this.#at)
    for (const value of values) this.#addValue(value)
  }

  #addValue(value: CopyValue): void {
    if (value === null) {
      this.#reserve(4)
      this.#at = this.#buffer.writeInt32BE(-1, this.#at)
    } else if (typeof value === 'number') {
      this.#reserve(12)
      this.#at = this.#buffer.writeInt32BE(8, this.#at)
      // Faster than a bigint, and exact: indexes are below 2^53.
      this.#at = this.#buffer.writeInt32BE(Math.floor(value / 2 ** 32), this.#at)
      this.#at = this.#buffer.writeUInt32BE(value >>> 0, this.#at)
    } else if (typeof value === 'bigint') {
      this.#reserve(12)
      this.#at = this.#buffer.writeInt32BE(8, this.#at)
      this.#at = this.#buffer.writeBigInt64BE(value, this.#at)
    } else if (typeof value === 'boolean') {
      this.#reserve(5)
      this.#at = this.#buffer.writeInt32BE(1, this.#at)
      this.#at = this.#buffer.writeUInt8(value ? 1 : 0, this.#at)
    } else if (typeof value === 'string') {
      // No UTF-16 unit takes more than three bytes.
      this.#reserve(4 + 3 * value.length)
      const length = this.#buffer.write(value, this.#at + 4, 'utf8')
      this.#buffer.writeInt32BE(length, this.#at)
      this.#at += 4 + length
    } else if (value instanceof Int4) {
      this.#reserve(8)
      this.#at = this.#buffer.writeInt32BE(4, this.#at)
      this.#at = this.#buffer.writeInt32BE(value.value, this.#at)
    } else if (Array.isArray(value)) {
      this.#addTexts(value)
    } else if (value instanceof Uint8Array) {
      this.#reserve(4 + value.length)
      this.#at = this.#buffer.writeInt32BE(value.length, this.#at)
      this.#buffer.set(value, this.#at)
      this.#at += value.length
    }
  }

  /** A `text[]`: dimensions, nulls or not, type of the elements, length, first index, elements. */
  #addTexts(texts: readonly string[]): void {
    this.#reserve(24)
    const start = this.#at
    this.#at += 4
    for (const number of texts.length === 0 ? [0, 0, TEXT] : [1, 0, TEXT, texts.length, 1]) {
      this.#at = this.#buffer.writeInt32BE(number, this.#at)
    }
    for (const text of texts) this.#addValue(text)
    this.#buffer.writeInt32BE(this.#at - start - 4, start)
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }

  /** What COPY is fed with. */
  data(): Uint8Array[] {
    return [this.#buffer.subarray(0, this.#at), TRAILER]
  }
}
