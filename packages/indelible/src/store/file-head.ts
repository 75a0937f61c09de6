/**
 * Where a log of files stands. One file of two slots, written in turn: the slot that counts is never written over, so a
 * crash leaves the old head or the new one. Every other file counts only as far as the head says.
 */
import { hash } from 'node:crypto'
import { toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { readAt, writeAt } from './file-io.ts'
import type { Head } from './store.ts'

/** Bytes of a slot. */
const SLOT = 32_768
/** What is read of a slot at first; heads are shorter. */
const GLANCE = 4096
const LABEL = 'indelible/file-head@1'

export interface FileHead {
  /** Counts every commit. */
  readonly commit: number
  /** `null` before the first append. */
  readonly head: Head | null
  /** How far each file counts, bytes. `lines` and `payloads` of the newest segment, as if nothing had been purged from it. */
  readonly ends: {
    readonly lines: number
    readonly payloads: number
    readonly ids: number
    readonly subjects: number
    readonly checkpoints: number
    readonly late: number
  }
}

export const EMPTY: FileHead = {
  commit: 0,
  head: null,
  ends: { lines: 0, payloads: 0, ids: 0, subjects: 0, checkpoints: 0, late: 0 },
}

/** Both slots, empty. */
export const emptyHeadFile = (): Buffer => Buffer.alloc(2 * SLOT, 0x20)

/**
 * The head as it was last committed.
 * @throws IndelibleError `ERR_STORE_CORRUPT` if neither slot can be read
 */
export function readFileHead(fd: number): FileHead {
  // A slot that is being written while it is read fails its checksum, and by then the other one may be written too.
  for (let attempt = 0; attempt < 100; attempt++) {
    const slots = [readSlot(fd, 0), readSlot(fd, 1)]
    const [a, b] = slots as [FileHead | null, FileHead | null]
    if (a && b) return a.commit > b.commit ? a : b
    if (a ?? b) return (a ?? b)!
    if (attempt > 2 && isBlank(fd)) return EMPTY
  }
  throw new IndelibleError('ERR_STORE_CORRUPT', 'the head file has no valid head: run indelible verify')
}

/** Writes `next` beside the head that counts. It counts once the file is synced. */
export function writeFileHead(fd: number, next: FileHead): void {
  const text = JSON.stringify(toJson(next))
  const bytes = Buffer.from(`${LABEL} ${hash('sha256', text)} ${text}\n`)
  if (bytes.length > SLOT)
    throw new IndelibleError('ERR_STORE_FAILED', `head of ${bytes.length} bytes, at most ${SLOT}`)
  writeAt(fd, (next.commit % 2) * SLOT, bytes)
}

function readSlot(fd: number, slot: number): FileHead | null {
  let bytes = readAt(fd, slot * SLOT, GLANCE)
  let end = bytes.indexOf(10)
  if (end === -1) {
    bytes = readAt(fd, slot * SLOT, SLOT)
    end = bytes.indexOf(10)
  }
  const [label, checksum] = bytes.toString('latin1', 0, 90).split(' ', 2) as [string, string?]
  if (end === -1 || label !== LABEL || checksum?.length !== 64) return null
  const text = bytes.toString('utf8', LABEL.length + 66, end)
  if (hash('sha256', text) !== checksum) return null
  const head = fromJson(text)
  return head.commit % 2 === slot ? head : null
}

function isBlank(fd: number): boolean {
  const bytes = readAt(fd, 0, 2 * SLOT)
  return bytes.length === 2 * SLOT && bytes.every((byte) => byte === 0x20)
}

function toJson({ commit, head, ends }: FileHead): unknown {
  if (head === null) return { commit, head, ends }
  const { minIndex, ...rest } = head
  return {
    commit,
    head: { ...rest, frontier: head.frontier.map(toBase64), mac: toBase64(head.mac), min_index: minIndex },
    ends,
  }
}

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

function fromJson(text: string): FileHead {
  const { commit, head, ends } = JSON.parse(text)
  if (head === null) return { commit, head, ends }
  const { min_index: minIndex, ...rest } = head
  return {
    commit,
    head: { ...rest, frontier: head.frontier.map(bytesOf), mac: bytesOf(head.mac), minIndex },
    ends,
  }
}
