/**
 * Reads a zip archive of which nothing is believed. Stricter than the format: one disk, no comments, no extra fields, no zip64,
 * no encryption, sizes in every header; members lie one after the other from the first byte on, then their directory, then its end record, then
 * nothing. So two readers cannot see two archives in one file, and there is no room for what no directory lists.
 *
 * Memory is bounded by the directory and the largest member: a size is looked at before anything is inflated, and inflating
 * stops where it is exceeded.
 */
import { Inflate, inflateSync } from 'fflate'
import { isEqual } from '../bytes.ts'
import { MAX_FILE_BYTES, MAX_FILES } from './bundle-format.ts'

/** A bundle as it is stored: bytes that can be read from anywhere, such as a file or a `Blob`. */
export interface ByteSource {
  readonly size: number
  /** Bytes `[start, end)`, all of them. */
  read(start: number, end: number): Promise<Uint8Array>
}

/** Named files, out of an archive or a folder. */
export interface BundleFiles {
  readonly names: readonly string[]
  /** @throws BundleFault */
  read(name: string): Promise<Uint8Array>
}

export type FaultCode = 'bundle_malformed' | 'file_repeated' | 'file_altered' | 'file_too_large'

/** Why a bundle, or a file of it, cannot be read. Within `verify/` only: reports carry it as a finding. */
export class BundleFault extends Error {
  readonly code: FaultCode
  constructor(code: FaultCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Bytes that all members together may inflate to. */
const MAX_TOTAL_BYTES = 64 * 1024 ** 3
const MAX_NAME = 128
const END_BYTES = 22
const ENTRY_BYTES = 46
const LOCAL_BYTES = 30

interface Member {
  readonly name: string
  /** The directory's entry, verbatim. */
  readonly entry: Uint8Array
  readonly method: number
  readonly crc: number
  readonly compressed: number
  readonly size: number
  readonly offset: number
  readonly end: number
}

const malformed = (what: string) => new BundleFault('bundle_malformed', `archive: ${what}`)

/** @throws BundleFault */
export async function openZip(source: ByteSource): Promise<BundleFiles> {
  const members = await readDirectory(source)
  return { names: [...members.keys()], read: (name) => readMember(source, members.get(name)!) }
}

async function readDirectory(source: ByteSource): Promise<Map<string, Member>> {
  const { size } = source
  if (size < END_BYTES || size > 0xffffffff) throw malformed(`${size} bytes are no zip archive`)
  const end = await source.read(size - END_BYTES, size)
  if (u32(end, 0) !== 0x06054b50) throw malformed('it does not end in the end record of a zip archive')
  const [disk, startDisk, here, count] = [u16(end, 4), u16(end, 6), u16(end, 8), u16(end, 10)]
  const [length, start] = [u32(end, 12), u32(end, 16)]
  if (disk !== 0 || startDisk !== 0 || here !== count || u16(end, 20) !== 0) {
    throw malformed('its end record has several disks or a comment')
  }
  if (count >= MAX_FILES || start + length !== size - END_BYTES || length > count * (ENTRY_BYTES + MAX_NAME)) {
    throw malformed('its directory does not lie between the files and the end record')
  }
  const directory = await source.read(start, start + length)
  const members = new Map<string, Member>()
  let [at, offset, total] = [0, 0, 0]
  for (let i = 0; i < count; i++) {
    const member = parseMember(directory, at, offset)
    if (members.has(member.name)) throw new BundleFault('file_repeated', `archive: two files are named ${member.name}`)
    members.set(member.name, member)
    at += member.entry.length
    offset = member.end
    total += member.size
  }
  if (at !== length || offset !== start) throw malformed('it has bytes that belong to no file')
  if (total > MAX_TOTAL_BYTES) throw new BundleFault('file_too_large', `archive: ${total} bytes when inflated`)
  return members
}

/** One entry of the directory. Members stand in the order of their bytes, without gaps: `offset` is where it must be. */
function parseMember(directory: Uint8Array, at: number, offset: number): Member {
  if (at + ENTRY_BYTES > directory.length || u32(directory, at) !== 0x02014b50)
    throw malformed('its directory is cut off')
  const nameLength = u16(directory, at + 28)
  const entry = directory.subarray(at, at + ENTRY_BYTES + nameLength)
  if (entry.length !== ENTRY_BYTES + nameLength || nameLength === 0 || nameLength > MAX_NAME) {
    throw malformed('a name in its directory is too long, empty or cut off')
  }
  const name = asciiName(entry.subarray(ENTRY_BYTES))
  const method = u16(entry, 10)
  const [crc, compressed, size] = [u32(entry, 16), u32(entry, 20), u32(entry, 24)]
  // Flags, extra field, comment, disk, attributes (a link would be one): none of them is needed, so none is allowed.
  const plain = [8, 30, 32, 34, 36].every((field) => u16(entry, field) === 0) && u32(entry, 38) === 0
  if (!plain || u16(entry, 4) !== 20 || u16(entry, 6) !== 20) {
    throw malformed(`${name} has flags, attributes, an extra field or a comment`)
  }
  if (method !== 0 && method !== 8) throw malformed(`${name} is compressed by method ${method}, expected 0 or 8`)
  if (size > MAX_FILE_BYTES) {
    throw new BundleFault(
      'file_too_large',
      `archive: ${name} has ${size} bytes when inflated, at most ${MAX_FILE_BYTES}`,
    )
  }
  // Deflate adds 5 bytes per stored block at most; more is padding for somebody else to read.
  if (method === 0 ? compressed !== size : compressed > size + Math.ceil(size / 1000) * 5 + 64) {
    throw malformed(`${name} takes ${compressed} bytes for ${size}`)
  }
  if (u32(entry, 42) !== offset) throw malformed(`${name} does not begin where the file before it ends`)
  const end = offset + LOCAL_BYTES + nameLength + compressed
  return { name, entry, method, crc, compressed, size, offset, end }
}

/** A name as its bytes say. Only printable ASCII: what is no name of a bundle is then shown safely. */
function asciiName(bytes: Uint8Array): string {
  let name = ''
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e) throw malformed('a name in its directory is not printable ASCII')
    name += String.fromCharCode(byte)
  }
  return name
}

async function readMember(source: ByteSource, member: Member): Promise<Uint8Array> {
  const { name, entry, method, crc, offset, end, size } = member
  const bytes = await source.read(offset, end)
  if (bytes.length !== end - offset || u32(bytes, 0) !== 0x04034b50) throw malformed(`${name} has no header`)
  // Version to extra field, and the name: as the directory has them.
  const start = LOCAL_BYTES + entry.length - ENTRY_BYTES
  const agrees =
    isEqual(bytes.subarray(4, LOCAL_BYTES), entry.subarray(6, 32)) &&
    isEqual(bytes.subarray(LOCAL_BYTES, start), entry.subarray(ENTRY_BYTES))
  if (!agrees) throw malformed(`the header of ${name} says otherwise than the directory`)
  const data = bytes.subarray(start)
  const content = method === 0 ? new Uint8Array(data) : inflate(data, size, name)
  if (crc32(content) !== crc) throw new BundleFault('file_altered', `archive: ${name} does not have its CRC-32`)
  return content
}

/** Compressed bytes that are inflated at once; fed in steps of as much, more than that could overshoot by 64 MiB and no further. */
const STEP = 65_536

function inflate(data: Uint8Array, size: number, name: string): Uint8Array {
  // One byte of room more: content that is too long is cut off there, and has the wrong length.
  const content = new Uint8Array(size + 1)
  let length = 0
  try {
    if (data.length <= STEP) {
      length = inflateSync(data, { out: content }).length
    } else {
      const inflater = new Inflate((chunk) => {
        length += chunk.length
        if (length > size) throw new RangeError('too long')
        content.set(chunk, length - chunk.length)
      })
      for (let at = 0; at < data.length; at += STEP) {
        inflater.push(data.subarray(at, at + STEP), at + STEP >= data.length)
      }
    }
  } catch (error) {
    // fflate writes beyond no array, but a stored block that does not fit makes it throw.
    if (error instanceof RangeError) length = size + 1
    else throw malformed(`${name} does not inflate`)
  }
  if (length > size) {
    throw new BundleFault('file_too_large', `archive: ${name} inflates to more than the ${size} bytes it says`)
  }
  if (length < size) throw malformed(`${name} inflates to ${length} bytes, says ${size}`)
  return content.subarray(0, size)
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (let i = 0; i < bytes.length; i++) value = CRC_TABLE[(value ^ bytes[i]!) & 255]! ^ (value >>> 8)
  return (value ^ 0xffffffff) >>> 0
}

const u16 = (bytes: Uint8Array, at: number) => bytes[at]! | (bytes[at + 1]! << 8)
const u32 = (bytes: Uint8Array, at: number) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0
