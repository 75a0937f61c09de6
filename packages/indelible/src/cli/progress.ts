/** How far long work has come, on stderr where that is a terminal, and only once it takes long. */

const SHOWN_AFTER_MS = 1000
const INTERVAL_MS = 200

export class Progress implements Disposable {
  readonly #what: string
  readonly #stream: NodeJS.WriteStream
  #next = performance.now() + SHOWN_AFTER_MS
  #isShown = false

  constructor(what: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#what = what
    this.#stream = stream
  }

  readonly update = (done: number, total: number): void => {
    const now = performance.now()
    if (!this.#stream.isTTY || now < this.#next) return
    this.#next = now + INTERVAL_MS
    this.#isShown = true
    const percent = Math.floor((100 * done) / Math.max(total, 1))
    this.#stream.write(`\r\x1b[K${this.#what} ${done} of ${total} (${percent} %)`)
  };

  [Symbol.dispose](): void {
    if (this.#isShown) this.#stream.write('\r\x1b[K')
  }
}
