/**
 * Several statements in one question to the server, with the data of all their `COPY … FROM STDIN` right behind. The server
 * goes through them without waiting for this process, which may be busy with its callers. Should one fail, the server skips
 * the rest of the question, and data that nobody asks for any more
 * (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY).
 */
import type { Client, Submittable } from 'pg'

const COPY_DATA = 0x64
/** `CopyDone`, without a body. */
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4])

/** What is used of the driver's own connection. */
interface Wire {
  query(text: string): void
  readonly stream: { cork(): void; uncork(): void; write(bytes: Uint8Array): unknown }
}

/** Resolves once all is done; the error is the server's, or that of a connection that was lost. */
export function sendBatch(client: Client, text: string, data: readonly (readonly Uint8Array[])[]): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(new BatchQuestion(text, data, resolve, reject) as unknown as Submittable)
  })
}

/** As the driver wants it; rows are not looked at. */
class BatchQuestion {
  readonly #text: string
  readonly #data: readonly (readonly Uint8Array[])[]
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void

  constructor(
    text: string,
    data: readonly (readonly Uint8Array[])[],
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#text = text
    this.#data = data
    this.#resolve = resolve
    this.#reject = reject
  }

  submit(wire: Wire): void {
    const { stream } = wire
    stream.cork()
    wire.query(this.#text)
    for (const copy of this.#data) {
      for (const chunk of copy) {
        const header = Buffer.allocUnsafe(5)
        header[0] = COPY_DATA
        header.writeUInt32BE(chunk.length + 4, 1)
        stream.write(header)
        stream.write(chunk)
      }
      stream.write(COPY_DONE)
    }
    stream.uncork()
  }

  handleError(error: unknown): void {
    this.#reject(error)
  }

  handleReadyForQuery(): void {
    this.#resolve()
  }

  handleCopyInResponse(): void {
    // Its data is under way.
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
}
