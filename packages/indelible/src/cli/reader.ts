/** A log opened for reading: needs no keys, takes no lock, leaves no mark. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { anchorsDirectory } from '../anchor/receipts.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { IndelibleError } from '../errors.ts'
import { cosignedCheckpoint, proofCheckpoint } from '../log/anchoring.ts'
import { openStore, resolveHome } from '../log/home.ts'
import type { ProvenEntry } from '../log/log.ts'
import { parseVkey } from '../note/signed-note.ts'
import { formatTlogProof } from '../note/tlog-proof.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { Head, LogStore, StoredEntry } from '../store/store.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion, proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { count } from './output.ts'

export class LogReader implements AsyncDisposable {
  readonly home: string
  readonly origin: string
  readonly #store: LogStore

  readonly #cosigned: (size: number) => string | null

  private constructor(home: string, config: Config, store: LogStore) {
    this.home = home
    this.origin = config.log.origin
    this.#store = store
    this.#cosigned = (size) => cosignedCheckpoint(anchorsDirectory(home, config), size)
  }

  /** @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID`, `ERR_STORE_…` */
  static async open(home?: string): Promise<LogReader> {
    const folder = resolveHome(home)
    const config = loadConfig(folder)
    return new LogReader(folder, config, await openStore(folder, config, { readOnly: true }))
  }

  /** The log's own key, to hand out. */
  get vkey(): string {
    return readFileSync(join(this.home, 'log.vkey'), 'utf8').trim()
  }

  /** @throws IndelibleError `ERR_STORE_CORRUPT` if there is none: every log has a first entry */
  async head(): Promise<Head> {
    const head = await this.#store.head()
    if (!head) throw new IndelibleError('ERR_STORE_CORRUPT', `${this.home}: log is empty, and none begins so`)
    return head
  }

  /**
   * @param which index or id
   * @throws IndelibleError `ERR_ENTRY_NOT_FOUND`; `ERR_STORE_CORRUPT` if it should be there and is not
   */
  async entry(which: number | string): Promise<StoredEntry> {
    const { size, minIndex } = await this.head()
    const index = typeof which === 'number' ? which : (await this.#store.findIds([which])).get(which)?.index
    if (index === undefined)
      throw new IndelibleError(
        'ERR_ENTRY_NOT_FOUND',
        `no entry has that id: log has ${count(size, 'entry', 'entries')}`,
      )
    if (index >= size)
      throw new IndelibleError('ERR_ENTRY_NOT_FOUND', `no entry ${index}: log has ${count(size, 'entry', 'entries')}`)
    for await (const [row] of this.#store.entries(index, index + 1)) if (row) return row
    if (index < minIndex) throw new IndelibleError('ERR_ENTRY_NOT_FOUND', `entry ${index} was purged`)
    throw new IndelibleError(
      'ERR_STORE_CORRUPT',
      `entry ${index} is missing from a log of ${size}: run indelible verify`,
    )
  }

  async hasId(id: string): Promise<boolean> {
    return (await this.#store.findIds([id])).has(id)
  }

  /** Disclosures by part name, verbatim; `null` for one that is not here. */
  async disclosures(index: number, { parts = {} }: ReadRecord): Promise<Map<string, string | null>> {
    const found = new Map<string, string | null>()
    for (const name of Object.keys(parts)) found.set(name, await this.#store.payload(index, name))
    return found
  }

  /**
   * The proof is checked before it is given out: a store that lies makes this fail, not the one who gets the proof.
   * @throws IndelibleError as {@link entry}; `ERR_PROOF_INVALID`, `ERR_NOTE_…`, `ERR_CHECKPOINT_INVALID`
   */
  async prove(which: number | string): Promise<ProvenEntry & { readonly size: number; readonly vkey: string }> {
    const { index, entry } = await this.entry(which)
    const head = await this.head()
    const { vkey } = this
    const policy = { origin: this.origin, keys: [parseVkey(vkey)] }
    const { note, checkpoint } = proofCheckpoint(head.checkpoint, this.#cosigned(index + 1), policy)
    const { size, root } = checkpoint
    const proof = await this.#inclusion(index, size)
    checkInclusion({ leaf: leafHash(entry), index, size, root, proof })
    return { index, entry, size, vkey, proof: formatTlogProof({ index, proof, checkpoint: note }) }
  }

  async #inclusion(index: number, size: number): Promise<readonly Uint8Array[]> {
    try {
      return await proveInclusion(index, size, sourceNodeReader(this.#store, size))
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause
      const message = `hashes of the tree are missing from a log of ${size}: run indelible verify`
      throw new IndelibleError('ERR_STORE_CORRUPT', message, { cause })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.close()
  }
}
