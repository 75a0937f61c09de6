/** Reads server-sent events out of bytes that go by: only the `data` of each, which providers fill with JSON. */

/** Longest event that is looked at, characters; what a server sends beyond that is passed by. */
const MAX_EVENT = 4 * 1024 * 1024

export class ServerSentEvents {
  readonly #decoder = new TextDecoder()
  readonly #onData: (data: unknown) => void
  #rest = ''
  #data: string[] = []
  #length = 0

  constructor(onData: (data: unknown) => void) {
    this.#onData = onData
  }

  push(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop()!
    if (this.#rest.length > MAX_EVENT) this.#rest = ''
    for (const line of lines) this.#line(line)
  }

  #line(line: string): void {
    if (line === '') {
      const data = this.#data.join('\n')
      this.#data = []
      this.#length = 0
      if (data !== '') this.#emit(data)
      return
    }
    const found = /^data: ?(.*)$/s.exec(line)
    if (!found) return
    this.#length += found[1]!.length
    if (this.#length <= MAX_EVENT) this.#data.push(found[1]!)
  }

  #emit(data: string): void {
    let value: unknown
    try {
      value = JSON.parse(data)
    } catch {
      // `[DONE]`, and whatever else is no JSON.
      return
    }
    this.#onData(value)
  }
}
