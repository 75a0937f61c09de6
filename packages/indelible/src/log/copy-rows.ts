/** Rows that come in the order of their entries, taken up to an entry at a time. */
export class RowsBefore<T extends { readonly index: number }> implements AsyncDisposable {
  readonly #chunks: AsyncIterator<readonly T[]>
  #rows: readonly T[] = []
  #at = 0

  constructor(chunks: AsyncIterable<readonly T[]>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Those of entries below `end` that were not taken yet. */
  async before(end: number): Promise<T[]> {
    const taken: T[] = []
    for (;;) {
      while (this.#at < this.#rows.length) {
        const row = this.#rows[this.#at]!
        if (row.index >= end) return taken
        taken.push(row)
        this.#at++
      }
      const { done, value } = await this.#chunks.next()
      if (done) return taken
      this.#rows = value
      this.#at = 0
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.()
  }
}
