/**
 * The lines of a log of files. Canonical JSON stands on a line as it is, so that people can grep it and its bytes come back
 * exactly; anything else as base64, or as a JSON string.
 */
import { isUtf8 } from 'node:buffer'
import type { StoredEntry, StoredId, StoredPayload } from './store.ts'

const NEWLINE = 10
const { indexOf } = Buffer.prototype
const NO_BYTES = new Uint8Array(0)

/** What a reader finds on a line; `null` for a line of another form. */
export function parseEntryLine(line: Buffer): StoredEntry | null {
  const start = line.toString('latin1', 0, 240)
  const match = ENTRY.exec(start)
  if (!match || line[line.length - 1] !== NEWLINE) return null
  const [prefix, index, epoch, mac, leaf, kind] = match as unknown as [string, string, string, string, string, string]
  const entry = kind === 'entry' ? verbatim(line, prefix.length) : fromBase64(line, prefix.length)
  if (entry === null) return null
  return { index: Number(index), entry, leaf: hashOf(leaf), mac: hashOf(mac), epoch: Number(epoch) }
}

const ENTRY =
  /^\{"index":(0|[1-9]\d{0,15}),"epoch":(0|[1-9]\d{0,15}),"mac":"([\w-]{0,64})","leaf":"([\w-]{0,64})","(entry|base64)":/

function verbatim(line: Buffer, at: number): Uint8Array | null {
  const isObject = line[at] === 0x7b && line[line.length - 2] === 0x7d && line[line.length - 3] === 0x7d
  return isObject ? view(line, at, line.length - 2) : null
}

function fromBase64(line: Buffer, at: number): Uint8Array | null {
  const text = line.toString('latin1', at + 1, line.length - 3)
  const bytes = Buffer.from(text, 'base64')
  const isExact =
    line[at] === 0x22 && line.toString('latin1', line.length - 3) === '"}\n' && bytes.toString('base64') === text
  return isExact ? new Uint8Array(bytes) : null
}

const view = (buffer: Buffer, start: number, end: number) =>
  new Uint8Array(buffer.buffer, buffer.byteOffset + start, end - start)

/** Bytes of canonical base64url; none for another spelling: they are then no hash. */
function hashOf(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : NO_BYTES
}

/** Lines one after the other, and where each ends. */
export interface Lines {
  readonly bytes: Buffer
  readonly ends: readonly number[]
}

export function formatEntryLines(rows: readonly StoredEntry[]): Lines {
  let most = 0
  for (const { entry } of rows) most += 200 + Math.ceil(entry.length / 3) * 4
  const bytes = Buffer.allocUnsafe(most)
  const ends: number[] = []
  let at = 0
  for (const { index, entry, leaf, mac, epoch } of rows) {
    const isPlain = isOneObject(entry)
    at += bytes.latin1Write(
      `{"index":${index},"epoch":${epoch},"mac":"${base64Url(mac)}","leaf":"${base64Url(leaf)}","${isPlain ? 'entry' : 'base64'}":`,
      at,
    )
    if (isPlain) {
      bytes.set(entry, at)
      at += entry.length
    } else {
      at += bytes.latin1Write(`"${Buffer.from(entry).toString('base64')}"`, at)
    }
    bytes[at++] = 0x7d
    bytes[at++] = NEWLINE
    ends.push(at)
  }
  return { bytes: bytes.subarray(0, at), ends }
}

/** Whether bytes can stand on a line as they are. All that a log of ours has does: canonical JSON has no line breaks. */
function isOneObject(entry: Uint8Array): boolean {
  if (entry[0] !== 0x7b || entry[entry.length - 1] !== 0x7d) return false
  // Not includes() of the array: it goes over the bytes one by one.
  return indexOf.call(entry as Buffer, NEWLINE) === -1 && isUtf8(entry)
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).base64urlSlice(0, bytes.length)
}

export function formatPayloadLine({ index, name, disclosure }: StoredPayload): string {
  const isPlain = disclosure.startsWith('[') && disclosure.endsWith(']') && !/[\n\r]/.test(disclosure)
  const value = isPlain ? disclosure : JSON.stringify(disclosure)
  return `{"index":${index},"name":${JSON.stringify(name)},"disclosure":${value}}\n`
}

/** `null` for a line that was erased, or is of another form. */
export function parsePayloadLine(line: Buffer): StoredPayload | null {
  const text = line.toString('utf8', 0, line.length)
  const match = PAYLOAD.exec(text)
  if (!match || !text.endsWith('}\n')) return null
  const value = text.slice(match[0].length, -2)
  try {
    const disclosure = value.startsWith('[') && value.endsWith(']') ? value : JSON.parse(value)
    if (typeof disclosure !== 'string') return null
    return { index: Number(match[1]), name: JSON.parse(match[2]!), disclosure }
  } catch {
    return null
  }
}

const PAYLOAD = /^\{"index":(0|[1-9]\d{0,15}),"name":("(?:[^"\\]|\\.)*"),"disclosure":/

/** An empty digest is padded: the `null` of an erased one must find room. */
export function formatIdLine({ id, index, digest }: StoredId): string {
  const value = digest === null ? 'null' : digest.length === 0 ? '""  ' : `"${base64Url(digest)}"`
  return `{"index":${index},"id":${JSON.stringify(id)},"digest":${value}}\n`
}

export function parseIdLine(line: Buffer): StoredId | null {
  const text = line.toString('utf8', 0, line.length)
  const match = ID.exec(text)
  if (!match) return null
  try {
    const digest = match[3] === undefined ? null : new Uint8Array(Buffer.from(match[3], 'base64url'))
    return { id: JSON.parse(match[2]!), index: Number(match[1]), digest }
  } catch {
    return null
  }
}

const ID = /^\{"index":(0|[1-9]\d{0,15}),"id":("(?:[^"\\]|\\.)*"),"digest":(?:"([\w-]*)"|null) *\}\n$/

/** The same line, as long, without its digest; `null` if it has none. */
export function withoutDigest(line: Buffer): Buffer | null {
  const text = line.toString('utf8', 0, line.length)
  const value = /("[\w-]*" *)\}\n$/.exec(text)?.[1]
  if (value === undefined || !ID.test(text)) return null
  const bytes = Buffer.from(line)
  bytes.latin1Write('null'.padEnd(value.length), line.length - 2 - value.length)
  return bytes
}

/** The lines of a buffer, each with its line break; what follows the last one is a line too. */
export function* linesOf(bytes: Buffer): Generator<{ start: number; line: Buffer }> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start)
    const next = end === -1 ? bytes.length : end + 1
    yield { start, line: bytes.subarray(start, next) }
    start = next
  }
}
