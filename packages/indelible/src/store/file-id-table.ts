/**
 * Which entry may have an id: a hash table on disk, beside the log and made from it. It only ever proposes; whether an
 * entry has the id is looked up where ids are kept.
 *
 * A slot is 64 bits of the id's keyed hash and the entry's index plus one. Slots are in the order of their hashes, so the
 * table doubles in one pass with little memory. The key keeps producers, who choose ids, from choosing collisions.
 */
import { hash, randomBytes } from 'node:crypto'
import { closeSync, fstatSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { readAt, syncFile, writeAt } from './file-io.ts'

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

interface Header {
  readonly slots: number
  readonly seed: string
  /** Entries whose ids outlive a power cut. */
  readonly durable: number
  /** The boot in which it was written last: after another one, only what is durable counts. */
  readonly boot: string
}

/** An id's place in the table. */
interface Probe {
  readonly high: number
  readonly low: number
}

export class IdTable {
  readonly #path: string
  #fd: number
  #inode: number
  #header: Header
  #seed: Buffer

  private constructor(path: string, fd: number, header: Header) {
    this.#path = path
    this.#fd = fd
    this.#inode = fstatSync(fd).ino
    this.#header = header
    this.#seed = Buffer.from(header.seed, 'hex')
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
  static async create(path: string, boot: string): Promise<IdTable> {
    const header = { slots: FIRST_SLOTS, seed: randomBytes(16).toString('hex'), durable: 0, boot }
    return new IdTable(path, await makeTable(path, header, () => {}), header)
  }

  /** Entries whose ids it has for certain. */
  durable(boot: string, size: number): number {
    const { boot: written, durable } = this.#header
    return written === boot && boot !== '' ? size : Math.min(durable, size)
  }

  /** Another process may have doubled the table since. */
  refresh(readOnly: boolean): IdTable | null {
    try {
      if (statSync(this.#path).ino === this.#inode) return this
    } catch {
      // Gone: it has to be made anew.
    }
    this.close()
    return IdTable.open(this.#path, readOnly)
  }

  /** Indexes of entries that may have the id. */
  find(id: string): number[] {
    const probe = this.#probe(id)
    const found: number[] = []
    this.#walk(probe, (index) => {
      found.push(index)
      return false
    })
    return found
  }

  /** Notes that entry `index` has the id; to note it again changes nothing. */
  add(id: string, index: number): void {
    const probe = this.#probe(id)
    const free = this.#walk(probe, (known) => known === index)
    if (free !== null) writeAt(this.#fd, free, slotBytes(probe, index))
  }

  /** Makes room for `count` ids in all. */
  async reserve(count: number): Promise<void> {
    while (count > this.#header.slots / 2) await this.#double()
  }

  /** Notes that the ids of the first `durable` entries are on the disk. */
  async settle(durable: number, boot: string): Promise<void> {
    await syncFile(this.#fd)
    this.#header = { ...this.#header, durable, boot }
    writeAt(this.#fd, 0, headerBytes(this.#header))
  }

  /** How many entries have been added since the last {@link settle}, if `size` have in all. */
  unsettled(size: number): number {
    return size - this.#header.durable
  }

  close(): void {
    closeSync(this.#fd)
  }

  #probe(id: string): Probe {
    const digest = hash('sha256', Buffer.concat([this.#seed, Buffer.from(id)]), 'buffer')
    return { high: digest.readUInt32LE(0), low: digest.readUInt32LE(4) }
  }

  /** Calls `visit` for each slot of that hash until it returns true. Returns where the next free slot is, `null` if told to stop. */
  #walk({ high, low }: Probe, visit: (index: number) => boolean): number | null {
    for (let at = slotOf(high, low, this.#header.slots); ; at += GLANCE) {
      const position = HEADER + at * SLOT
      const bytes = readAt(this.#fd, position, GLANCE * SLOT)
      for (let offset = 0; offset < GLANCE * SLOT; offset += SLOT) {
        // Beyond the end of the file nothing was written yet.
        const indexPlusOne = offset + SLOT <= bytes.length ? readIndex(bytes, offset) : 0
        if (indexPlusOne === 0) return position + offset
        if (bytes.readUInt32LE(offset) !== high || bytes.readUInt32LE(offset + 4) !== low) continue
        if (visit(indexPlusOne - 1)) return null
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

function slotBytes({ high, low }: Probe, index: number): Buffer {
  const bytes = Buffer.allocUnsafe(SLOT)
  bytes.writeUInt32LE(high, 0)
  bytes.writeUInt32LE(low, 4)
  bytes.writeUInt32LE((index + 1) % 2 ** 32, 8)
  bytes.writeUInt32LE(Math.floor((index + 1) / 2 ** 32), 12)
  return bytes
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
      header.slots >= FIRST_SLOTS && Number.isInteger(Math.log2(header.slots)) && header.seed.length === 32
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
