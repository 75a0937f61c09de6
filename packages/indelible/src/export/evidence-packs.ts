/** Writes the entries of a large bundle as packs: lines, and the tree hashes between them. */
import { isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { Frontier } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import type { NodeReader } from '../tree/proof.ts'
import { aroundEntry, formatBundleName, gapNodes } from '../verify/bundle-format.ts'
import type { Layout } from './evidence.ts'
import type { ExportedEntry } from './exporter.ts'
import type { ZipWriter } from './zip-writer.ts'

/** Entries and bytes after which a pack is closed. Writer and reader hold one in memory. */
const PACK_ENTRIES = 1024
const PACK_BYTES = 2 * 1024 * 1024

export class PacksLayout implements Layout {
  readonly #zip: ZipWriter
  readonly #checkpoint: Checkpoint
  readonly #read: NodeReader
  readonly #tree = Frontier.empty()
  readonly #lines = new Bytes(PACK_BYTES)
  readonly #hashes = new Bytes(65_536)
  #entries = 0
  #number = 0

  constructor(zip: ZipWriter, checkpoint: Checkpoint, read: NodeReader) {
    this.#zip = zip
    this.#checkpoint = checkpoint
    this.#read = read
  }

  async add({ index, entry, disclosures }: ExportedEntry): Promise<void> {
    // Before the entry, not after the last one: so only the very last pack holds the hashes after its last entry.
    if (this.#entries >= PACK_ENTRIES || this.#lines.length >= PACK_BYTES) await this.#close()
    await this.#skipTo(index)
    this.#tree.append(leafHash(entry))
    const [before, after] = aroundEntry(index, disclosures)
    this.#lines.add(before)
    this.#lines.add(entry)
    this.#lines.add(`${after}\n`)
    this.#entries++
  }

  async #skipTo(index: number): Promise<void> {
    const nodes = gapNodes(this.#tree.size, index)
    if (nodes.length === 0) return
    const hashes = await this.#read(nodes)
    for (const [i, { level }] of nodes.entries()) {
      this.#tree.appendSubtree(level, hashes[i]!)
      this.#hashes.add(hashes[i]!)
    }
  }

  async finish(): Promise<void> {
    await this.#skipTo(this.#checkpoint.size)
    await this.#close()
    if (!isEqual(this.#tree.root(), this.#checkpoint.root)) {
      const message = 'entries and tiles of the store do not make the signed root: verify the log'
      throw new IndelibleError('ERR_PROOF_INVALID', message)
    }
  }

  async #close(): Promise<void> {
    const number = this.#number++
    await this.#zip.add(formatBundleName({ kind: 'pack', number }), this.#lines.view())
    // A copy: what is not compressed goes to the sink as it is.
    const hashes = new Uint8Array(this.#hashes.view())
    await this.#zip.add(formatBundleName({ kind: 'hashes', number }), hashes, { deflate: false })
    this.#lines.clear()
    this.#hashes.clear()
    this.#entries = 0
  }
}

/** Bytes in one buffer that is used again: a million lines as strings would keep the collector behind. */
class Bytes {
  #buffer: Buffer
  length = 0

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity)
  }

  add(part: Uint8Array | string): void {
    const most = typeof part === 'string' ? part.length * 3 : part.length
    if (this.length + most > this.#buffer.length) this.#grow(this.length + most)
    if (typeof part === 'string') {
      this.length += this.#buffer.write(part, this.length)
    } else {
      this.#buffer.set(part, this.length)
      this.length += part.length
    }
  }

  #grow(least: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(least, 2 * this.#buffer.length))
    larger.set(this.view())
    this.#buffer = larger
  }

  view(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }

  clear(): void {
    this.length = 0
  }
}
