/**
 * Compressed days. A `.jsonl.gz` is a file of gzip members of 256 lines each, so that any line can be read without the
 * rest, and any gzip program reads the whole. Each member says in an extra field (RFC 1952 §2.3.1.1, id `IL`) how long it is.
 */
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib'
import { readAt, sizeOf } from './file-io.ts'

/** Lines of a member. */
export const MEMBER_LINES = 256
/** A member holds at most 256 entries of 65,535 bytes, each perhaps in base64. */
const MAX_MEMBER = 32 * 1024 * 1024
const HEADER = 20

/** One gzip member. */
export function formatMember(lines: Uint8Array): Buffer {
  const packed = deflateRawSync(lines)
  const length = HEADER + packed.length + 8
  const member = Buffer.concat([formatHeader(length), packed, Buffer.alloc(8)])
  member.writeUInt32LE(crc32(lines), member.length - 8)
  member.writeUInt32LE(lines.length, member.length - 4)
  return member
}

/** Where the members of an archive end. What follows a damaged one is not found: `isWhole` is false then. */
export function memberEnds(fd: number): { ends: number[]; isWhole: boolean } {
  const size = sizeOf(fd)
  const ends: number[] = []
  for (let at = 0; at < size; ) {
    const header = readAt(fd, at, HEADER)
    const length =
      header.length === HEADER && header.toString('latin1', 10, 16) === '\x08\x00IL\x04\x00'
        ? header.readUInt32LE(16)
        : 0
    if (length < HEADER + 8 || length > MAX_MEMBER || at + length > size) return { ends, isWhole: false }
    at += length
    ends.push(at)
  }
  return { ends, isWhole: true }
}

/** The lines of a member; `null` if it is damaged. */
export function readMember(fd: number, start: number, end: number): Buffer | null {
  const member = readAt(fd, start, end - start)
  if (member.length !== end - start) return null
  // Whether the header is intact matters to gzip programs: what they show must be what was verified.
  const isOurs = formatHeader(member.length).equals(member.subarray(0, HEADER))
  try {
    const lines = inflateRawSync(member.subarray(HEADER, member.length - 8), { maxOutputLength: MAX_MEMBER })
    const isExact =
      member.readUInt32LE(member.length - 8) === crc32(lines) && member.readUInt32LE(member.length - 4) === lines.length
    return isOurs && isExact ? lines : null
  } catch {
    return null
  }
}

function formatHeader(length: number): Buffer {
  const header = Buffer.alloc(HEADER)
  // ID1 ID2 CM FLG=FEXTRA, MTIME 0, XFL 0, OS 255 (unknown), XLEN 8, SI1 SI2 LEN 4
  header.set([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x49, 0x4c, 4, 0])
  header.writeUInt32LE(length, 16)
  return header
}
