/** A log opened for reading: needs no keys, takes no lock, leaves no mark. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { anchorsDirectory } from '../anchor/receipts.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { IndelibleError } from '../errors.ts'
import { cosignedCheckpoint, proofCheckpoint } from '../log/anchoring.ts'
import { findRow, proveRow } from '../log/find-row.ts'
import { resolveHome } from '../log/home-paths.ts'
import { openStore } from '../log/home-store.ts'
import type { ProvenEntry } from '../log/log.ts'
import { parseVkey } from '../note/signed-note.ts'
import { formatTlogProof } from '../note/tlog-proof.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { Head, LogStore, StoredEntry } from '../store/store.ts'

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
  entry(which: number | string): Promise<StoredEntry> {
    return findRow(this.#store, which)
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
    const proof = await proveRow(this.#store, index, entry, checkpoint)
    return { index, entry, size: checkpoint.size, vkey, proof: formatTlogProof({ index, proof, checkpoint: note }) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.close()
  }
}
