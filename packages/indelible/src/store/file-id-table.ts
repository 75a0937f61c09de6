/**
 * Which entry may have an id: a hash table on disk, beside the log and made from it. It only ever proposes; whether an
 * entry has the id is looked up where ids are kept.
 *
 * A slot is 64 bits of the id's keyed hash and the entry's index plus one. Slots are in the order of their hashes, so the
 * table doubles in one pass with little memory. The key keeps producers, who choose ids, from choosing collisions.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs'
import { readAt, syncFile, writeAt } from './file-io.ts'
import { halfSipHash } from './half-sip-hash.ts'

const LABEL = 'indelible/id-table@1'
const HEADER = 4096
const SLOT = 16
const FIRST_SLOTS = 4096
/** Slots after the last: a run of them that begins at the end does not wrap around. */
const TAIL = 4096
/** Slots that are looked at in one read. */
const GLANCE = 8
/** Slots that are moved at a time when the table doubles. */
const STEP = 65_536

/** Slots that are read and written together when many ids go into them. */
const BLOCK = 8192
/** Slots behind a block that its runs may go on in. */
const MARGIN = 512
/** Fewer ids than this are put into a block one by one. */
const FEW = 24

interface Header {
  readonly slots: number
  readonly seed: string
  /** Entries whose ids it has, for certain and on the disk. */
  readonly entries: number
}

/** An id's place in the table. */
interface Probe {
  readonly high: number
  readonly low: number
  readonly index: number
}

export class IdTable {
  readonly #path: string
  #fd: number
  #inode: number
  #header: Header
  readonly #hash = new Uint32Array(2)
  #key: Uint32Array
  readonly #glance = Buffer.alloc(GLANCE * SLOT)

  private constructor(path: string, fd: number, header: Header) {
    this.#path = path
    this.#fd = fd
    this.#inode = fstatSync(fd).ino
    this.#header = header
    this.#key = keyOf(header)
  }

  /** `null` where there is no table, or none that can be used. */
  static open(path: string, readOnly: boolean): IdTable | null {
    let fd: number
    try {
      fd = openSync(path, readOnly ? 'r' : 'r+')
    } catch {
      return null
    }
    const header = readHeader(fd)
    if (header) return new IdTable(path, fd, header)
    closeSync(fd)
    return null
  }

  /** A new, empty table in place of any other. */
  static async create(path: string): Promise<IdTable> {
    const header = { slots: FIRST_SLOTS, seed: randomBytes(8).toString('hex'), entries: 0 }
    return new IdTable(path, await makeTable(path, header, () => {}), header)
  }

  /** Entries whose ids it has, of the first so many. */
  get entries(): number {
    return this.#header.entries
  }

  /** Whether it is still the one at its place. */
  isCurrent(): boolean {
    try {
      return statSync(this.#path).ino === this.#inode
    } catch {
      return false
    }
  }

  /** The table as it is now: another process may have added to it, or doubled it. */
  refresh(readOnly: boolean): IdTable | null {
    try {
      const header = statSync(this.#path).ino === this.#inode ? readHeader(this.#fd) : null
      if (header) {
        this.#header = header
        this.#key = keyOf(header)
        return this
      }
    } catch {
      // Gone: it has to be made anew.
    }
    this.close()
    return IdTable.open(this.#path, readOnly)
  }

  /** Indexes of entries that may have the id. */
  find(id: string): number[] {
    const found: number[] = []
    this.#walk(this.#probe(id, -1), (index) => {
      found.push(index)
      return false
    })
    return found
  }

  /** Adds ids of entries; the first `entries` are in it then. To add one again changes nothing. */
  async add(ids: Iterable<readonly [string, number]>, entries: number): Promise<void> {
    while (entries > this.#header.slots / 2) await this.#double()
    const { slots } = this.#header
    const blocks = new Map<number, Probe[]>()
    for (const [id, index] of ids) {
      const probe = this.#probe(id, index)
      const block = Math.floor(slotOf(probe.high, probe.low, slots) / BLOCK)
      const probes = blocks.get(block)
      if (probes) probes.push(probe)
      else blocks.set(block, [probe])
    }
    for (const [block, probes] of blocks) {
      if (probes.length < FEW || !this.#addToBlock(block * BLOCK, probes)) {
        for (const probe of probes) this.#addOne(probe)
      }
    }
    await syncFile(this.#fd)
    this.#header = { ...this.#header, entries }
    writeAt(this.#fd, 0, headerBytes(this.#header))
  }

  #addOne(probe: Probe): void {
    const free = this.#walk(probe, (known) => known === probe.index)
    if (free === null) return
    const bytes = Buffer.alloc(SLOT)
    writeSlot(bytes, 0, probe)
    writeAt(this.#fd, free, bytes)
  }

  /** Whether there was room: a run of slots may go on behind what was read. */
  #addToBlock(first: number, probes: readonly Probe[]): boolean {
    const position = HEADER + first * SLOT
    const window = Buffer.alloc((BLOCK + MARGIN) * SLOT)
    readAt(this.#fd, position, window.length).copy(window)
    for (const probe of probes) {
      let at = (slotOf(probe.high, probe.low, this.#header.slots) - first) * SLOT
      for (; at < window.length; at += SLOT) {
        const known = readIndex(window, at)
        if (known === 0) writeSlot(window, at, probe)
        if (known === 0 || (known - 1 === probe.index && isHash(window, at, probe))) break
      }
      if (at >= window.length) return false
    }
    writeAt(this.#fd, position, window)
    return true
  }

  close(): void {
    closeSync(this.#fd)
  }

  #probe(id: string, index: number): Probe {
    halfSipHash(this.#key[0]!, this.#key[1]!, id, this.#hash)
    return { high: this.#hash[0]!, low: this.#hash[1]!, index }
  }

  /** Calls `visit` for each slot of that hash until it returns true. Returns where the next free slot is, `null` if told to stop. */
  #walk(probe: Probe, visit: (index: number) => boolean): number | null {
    const bytes = this.#glance
    for (let at = slotOf(probe.high, probe.low, this.#header.slots); ; at += GLANCE) {
      const position = HEADER + at * SLOT
      // Beyond the end of the file nothing was written yet.
      const length = readSync(this.#fd, bytes, 0, bytes.length, position)
      for (let offset = 0; offset < GLANCE * SLOT; offset += SLOT) {
        const indexPlusOne = offset + SLOT <= length ? readIndex(bytes, offset) : 0
        if (indexPlusOne === 0) return position + offset
        if (isHash(bytes, offset, probe) && visit(indexPlusOne - 1)) return null
      }
    }
  }

  async #double(): Promise<void> {
    const { slots } = this.#header
    const old = this.#fd
    const header = { ...this.#header, slots: slots * 2 }
    this.#fd = await makeTable(this.#path, header, (fd) => {
      for (let at = 0; at < slots + TAIL; at += STEP) {
        moveSlots(readAt(old, HEADER + at * SLOT, Math.min(STEP, slots + TAIL - at) * SLOT), fd, at * 2, slots * 2)
      }
    })
    this.#inode = fstatSync(this.#fd).ino
    this.#header = header
    closeSync(old)
  }
}

/** The first 53 bits of the hash, as a fraction of the table. */
function slotOf(high: number, low: number, slots: number): number {
  return Math.floor(((high * 0x200000 + (low >>> 11)) / 2 ** 53) * slots)
}

/** Puts old slots into a table of twice the size, whose slots from `first` they are. */
function moveSlots(from: Buffer, fd: number, first: number, slots: number): void {
  const width = (from.length / SLOT) * 2 + TAIL
  const start = Math.max(0, first - TAIL)
  const window = Buffer.alloc((width + (first - start)) * SLOT)
  readAt(fd, HEADER + start * SLOT, window.length).copy(window)
  for (let offset = 0; offset < from.length; offset += SLOT) {
    if (readIndex(from, offset) === 0) continue
    const wanted = slotOf(from.readUInt32LE(offset), from.readUInt32LE(offset + 4), slots)
    let at = (wanted - start) * SLOT
    while (readIndex(window, at) !== 0) at += SLOT
    from.copy(window, at, offset, offset + SLOT)
  }
  writeAt(fd, HEADER + start * SLOT, window)
}

function readIndex(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset + 8) + bytes.readUInt32LE(offset + 12) * 2 ** 32
}

function isHash(bytes: Buffer, offset: number, { high, low }: Probe): boolean {
  return bytes.readUInt32LE(offset) === high && bytes.readUInt32LE(offset + 4) === low
}

function writeSlot(bytes: Buffer, offset: number, { high, low, index }: Probe): void {
  bytes.writeUInt32LE(high, offset)
  bytes.writeUInt32LE(low, offset + 4)
  bytes.writeUInt32LE((index + 1) % 2 ** 32, offset + 8)
  bytes.writeUInt32LE(Math.floor((index + 1) / 2 ** 32), offset + 12)
}

function keyOf({ seed }: Header): Uint32Array {
  const bytes = Buffer.from(seed, 'hex')
  return Uint32Array.of(bytes.readUInt32LE(0), bytes.readUInt32LE(4))
}

function headerBytes(header: Header): Buffer {
  return Buffer.from(`${LABEL} ${JSON.stringify(header)}\n`.padEnd(512))
}

function readHeader(fd: number): Header | null {
  const text = readAt(fd, 0, 512).toString('latin1')
  if (!text.startsWith(`${LABEL} `)) return null
  try {
    const header = JSON.parse(text.slice(LABEL.length)) as Header
    const isSound =
      header.slots >= FIRST_SLOTS &&
      Number.isInteger(Math.log2(header.slots)) &&
      header.seed.length === 16 &&
      Number.isSafeInteger(header.entries)
    return isSound ? header : null
  } catch {
    return null
  }
}

/** Makes a table beside `path` and puts it there once `fill` is done with it. Returns the open file. */
async function makeTable(path: string, header: Header, fill: (fd: number) => void): Promise<number> {
  const temporary = `${path}.new`
  rmSync(temporary, { force: true })
  const fd = openSync(temporary, 'wx+', 0o600)
  try {
    writeAt(fd, 0, headerBytes(header))
    fill(fd)
    await syncFile(fd)
    renameSync(temporary, path)
    return fd
  } catch (error) {
    closeSync(fd)
    rmSync(temporary, { force: true })
    throw error
  }
}
