/** Receipts as JSON: what `JSON.stringify` says of them, without saying the checkpoint anew for each entry under it. */
import type { Receipt } from '../log/log.ts'

/** Texts that are their own JSON: ids that the log makes and most of others, origins. */
const PLAIN = /^[A-Za-z0-9._:/-]*$/

export class ReceiptWriter {
  #checkpoint = ''
  #checkpointText = '""'

  /** JSON in ASCII: the dash of a signature line would make every answer text of two bytes a character. */
  text({ origin, index, id, leaf, checkpoint, duplicate, uncompared }: Receipt): string {
    if (checkpoint !== this.#checkpoint) {
      this.#checkpoint = checkpoint
      this.#checkpointText = quote(checkpoint)
    }
    const flags = `${duplicate ? ',"duplicate":true' : ''}${uncompared ? ',"uncompared":true' : ''}`
    return `{"origin":${quote(origin)},"index":${index},"id":${quote(id)},"leaf":"${leaf}","checkpoint":${this.#checkpointText}${flags}}`
  }
}

function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : asciiJson(text)
}

/** `JSON.stringify`, with escapes for all that is not ASCII. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
