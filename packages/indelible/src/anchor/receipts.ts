/**
 * What anchors gave, kept beside the log: a line of JSON for each receipt, `anchors/<name>.jsonl`, in the order in which they
 * came. Lines are added and synced, never changed. Whoever has the folder can remove them: a verifier who wants to notice
 * that demands fresh ones, or asks the anchor.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../config/config.ts'
import { IndelibleError } from '../errors.ts'
import { makePrivateDirectory, syncDirectory } from '../keys/files.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'

const receiptSchema = z.object({
  anchor: z.string(),
  kind: z.string(),
  origin: z.string(),
  size: z.number().int().nonnegative(),
  root: z.string(),
  checkpoint: z.string(),
  received: z.string(),
  proof: z.record(z.string(), z.string()),
})

const SUFFIX = '.jsonl'
const LF = 0x0a
/** Longest line, and how much of a file's end is read to find its last one, bytes. */
const MAX_LINE = 2 ** 22
const CHUNK = 2 ** 16

/** The folder in which a home keeps receipts. */
export function anchorsDirectory(home: string, config: Config): string {
  const { dir } = config.anchors
  return isAbsolute(dir) ? dir : join(home, dir)
}

export class AnchorReceipts {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** Names of the anchors that there are receipts of. */
  names(): string[] {
    if (!existsSync(this.directory)) return []
    return readdirSync(this.directory)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort()
  }

  /**
   * Resolves once a crash can no longer undo it. A line that a crash cut off is removed first.
   * @throws what writing throws, such as `ENOSPC`; then the receipt may have been kept or not
   */
  add(receipt: AnchorReceipt): void {
    const isNew = !existsSync(this.#path(receipt.anchor))
    makePrivateDirectory(this.directory)
    const fd = openSync(this.#path(receipt.anchor), 'a+', 0o600)
    try {
      dropTornLine(fd)
      writeFileSync(fd, `${JSON.stringify(receipt)}\n`)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    if (isNew) syncDirectory(this.directory)
  }

  /**
   * All receipts of one anchor, oldest first. A torn last line is left out.
   * @throws IndelibleError `ERR_STORE_CORRUPT` if a line is no receipt
   */
  read(name: string): Generator<AnchorReceipt, void> {
    return readReceiptFile(this.#path(name))
  }

  /** The last receipt of an anchor, read from the end of its file; `null` if there is none. Throws as {@link read}. */
  last(name: string): AnchorReceipt | null {
    const path = this.#path(name)
    if (!existsSync(path)) return null
    const fd = openSync(path, 'r')
    try {
      let { size: start } = fstatSync(fd)
      let tail = Buffer.alloc(0)
      while (start > 0) {
        const length = Math.min(CHUNK, start)
        start -= length
        const chunk = Buffer.alloc(length)
        readSync(fd, chunk, 0, length, start)
        tail = Buffer.concat([chunk, tail])
        const end = tail.lastIndexOf(LF)
        const begin = end < 1 ? -1 : tail.lastIndexOf(LF, end - 1)
        if (end >= 0 && (begin >= 0 || start === 0)) return parseReceipt(tail.subarray(begin + 1, end), path)
        if (tail.length > MAX_LINE) throw corrupt(path)
      }
      return null
    } finally {
      closeSync(fd)
    }
  }

  /** All receipts of all anchors. */
  *all(): Generator<AnchorReceipt, void> {
    for (const name of this.names()) yield* this.read(name)
  }

  /** Bytes that the receipts take. */
  get bytes(): number {
    return this.names().reduce((sum, name) => sum + statSync(this.#path(name)).size, 0)
  }

  #path(name: string): string {
    return join(this.directory, `${name}${SUFFIX}`)
  }
}

/**
 * The receipts in a file, oldest first; none if it is not there. A torn last line is left out.
 * @throws IndelibleError `ERR_STORE_CORRUPT` if a line is no receipt
 */
export function* readReceiptFile(path: string): Generator<AnchorReceipt, void> {
  if (!existsSync(path)) return
  const fd = openSync(path, 'r')
  try {
    let rest = Buffer.alloc(0)
    let line = 0
    for (;;) {
      const chunk = Buffer.alloc(CHUNK)
      const length = readSync(fd, chunk)
      if (length === 0) return
      rest = Buffer.concat([rest, chunk.subarray(0, length)])
      for (let end = rest.indexOf(LF); end >= 0; end = rest.indexOf(LF)) {
        line++
        yield parseReceipt(rest.subarray(0, end), `${path}, line ${line}`)
        rest = rest.subarray(end + 1)
      }
      if (rest.length > MAX_LINE) throw corrupt(`${path}, line ${line + 1}`)
    }
  } finally {
    closeSync(fd)
  }
}

function parseReceipt(line: Uint8Array, where: string): AnchorReceipt {
  try {
    return receiptSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line)))
  } catch {
    throw corrupt(where)
  }
}

function corrupt(where: string): IndelibleError {
  return new IndelibleError('ERR_STORE_CORRUPT', `${where} is not a receipt of an anchor`)
}

/** What a crash left of a line: nobody was told that it was kept. */
function dropTornLine(fd: number): void {
  const { size } = fstatSync(fd)
  let end = size
  while (end > 0) {
    const length = Math.min(CHUNK, end)
    const chunk = Buffer.alloc(length)
    readSync(fd, chunk, 0, length, end - length)
    const newline = chunk.lastIndexOf(LF)
    if (newline >= 0) {
      end = end - length + newline + 1
      break
    }
    end -= length
  }
  if (end < size) ftruncateSync(fd, end)
}
