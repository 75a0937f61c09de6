/** What every export format has in common: where entries come from, and which of their parts go along. */

import { IndelibleError } from '../errors.ts'
import type { EntryFilter } from '../query/filter.ts'
import type { QueryEngine, QueryHit } from '../query/query.ts'
import { checkDisclosure } from '../record/disclosure.ts'
import type { ReadRecord } from '../record/entry.ts'
import { PART_NAME } from '../record/schema.ts'
import { isSealed } from '../record/sealed.ts'
import type { LogStore } from '../store/store.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'

export interface ExportSource {
  readonly store: LogStore
  readonly engine: QueryEngine
  readonly origin: string
  /** Key that signs the log's checkpoints, now. */
  readonly vkey: string
  /** What others vouch for, the newest of each anchor. */
  readonly anchors?: readonly AnchorReceipt[]
  /** C2SP policy of the witnesses that the log asks, to be proposed to readers. */
  readonly policy?: string | null
  readonly filter: EntryFilter
  /** Entries of this run only. `trace` needs it. */
  readonly run?: string
  /** Names of the parts whose disclosures go along; of others the commitment alone. */
  readonly disclose: readonly string[]
  /** Called now and then with how many entries have been written. */
  readonly onProgress?: (entries: number) => void
  readonly signal?: AbortSignal
  /** Ms since 1970. Default the system's clock. */
  readonly clock?: () => number
}

/** Takes what is written, piece by piece. A piece is the sink's to keep. */
export type Sink = (chunk: Uint8Array | string) => Promise<void> | void

export interface ExportSummary {
  readonly entries: number
  /** Disclosures that went along. */
  readonly disclosed: number
  /** Parts that were asked for and are gone: erased, or purged. */
  readonly gone: number
  /** Entries of the log that the export's checkpoint covers; `null` where the format has none. */
  readonly size: number | null
}

export interface Exporter {
  readonly name: string
  /** Ending of its files. */
  readonly extension: string
  /**
   * Writes what `source` asks for. What went to the sink before this throws is no export: throw it away.
   *
   * @throws IndelibleError `ERR_EXPORT_INVALID` if the source does not fit the format, `ERR_EXPORT_TOO_LARGE`,
   * `ERR_FILTER_INVALID`, `ERR_ENTRY_INVALID` and `ERR_DISCLOSURE_INVALID` for what of the log cannot be read or is not what was
   * recorded, and what the store throws
   */
  write(source: ExportSource, sink: Sink): Promise<ExportSummary>
}

/** A hit with the disclosures that were asked for; `null` for one that is gone. Parts not asked for are not in the map. */
export interface ExportedEntry extends QueryHit {
  readonly disclosures: ReadonlyMap<string, string | null>
}

/** The filter, with the run in it. */
export function filterOf({ filter, run }: Pick<ExportSource, 'filter' | 'run'>): EntryFilter {
  if (run === undefined) return filter
  if (filter.run !== undefined && filter.run !== run) {
    throw new IndelibleError('ERR_EXPORT_INVALID', 'run: given twice, and not the same')
  }
  return { ...filter, run }
}

/** @throws IndelibleError `ERR_EXPORT_INVALID` if a part has a name that no part has */
export function checkDisclose({ disclose }: Pick<ExportSource, 'disclose'>): void {
  for (const name of disclose) {
    if (!PART_NAME.test(name)) {
      throw new IndelibleError('ERR_EXPORT_INVALID', 'disclose: expected names of parts such as input or output')
    }
  }
}

const PROGRESS_EVERY = 1024

/** The entries of an export, in log order, with the count of what went along. */
export class ExportedEntries {
  readonly #source: ExportSource
  readonly #end: number
  entries = 0
  disclosed = 0
  gone = 0

  /** @param end entries from here on are none of the export's: its checkpoint does not cover them */
  constructor(source: ExportSource, end = Number.MAX_SAFE_INTEGER) {
    checkDisclose(source)
    this.#source = source
    this.#end = end
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ExportedEntry> {
    const { engine, onProgress, signal } = this.#source
    for await (const hit of engine.all(filterOf(this.#source))) {
      if (hit.index >= this.#end) return
      signal?.throwIfAborted()
      yield { ...hit, disclosures: await this.#disclosures(hit) }
      this.entries++
      if (this.entries % PROGRESS_EVERY === 0) onProgress?.(this.entries)
    }
    onProgress?.(this.entries)
  }

  async #disclosures({ index, record }: QueryHit): Promise<ReadonlyMap<string, string | null>> {
    const { disclose } = this.#source
    const found = new Map<string, string | null>()
    for (const name of disclose) {
      if (!hasPart(record, name) || found.has(name)) continue
      const disclosure = await readDisclosure(this.#source, index, record, name)
      found.set(name, disclosure)
      if (disclosure === null) this.gone++
      else this.disclosed++
    }
    return found
  }

  summary(size: number | null): ExportSummary {
    return { entries: this.entries, disclosed: this.disclosed, gone: this.gone, size }
  }
}

/**
 * The disclosure of a part that the entry commits to, checked; `null` if it is gone from the log.
 * @throws IndelibleError `ERR_DISCLOSURE_INVALID` if the store has another one: an export must not pass that on;
 * `ERR_VAULT_MISSING` if it is encrypted under a key that is not at hand
 */
export async function readDisclosure(
  { store, origin }: Pick<ExportSource, 'store' | 'origin'>,
  index: number,
  { id, parts }: ReadRecord,
  name: string,
): Promise<string | null> {
  const disclosure = await store.payload(index, name)
  if (disclosure === null) return null
  if (isSealed(disclosure)) {
    const message = `entry ${index}: part ${name} is encrypted, and the vault with its key is not at hand`
    throw new IndelibleError('ERR_VAULT_MISSING', message)
  }
  try {
    checkDisclosure(disclosure, { commit: parts![name]!.commit, origin, id, name })
  } catch (cause) {
    const message = `entry ${index}: the store has another disclosure than the one committed to; verify the log`
    throw new IndelibleError('ERR_DISCLOSURE_INVALID', message, { cause })
  }
  return disclosure
}

export function hasPart(record: ReadRecord, name: string): boolean {
  return record.parts !== undefined && Object.hasOwn(record.parts, name)
}

const CHUNK_LENGTH = 65_536

/** Gathers short texts, so that a sink is not called for each line. */
export class TextSink {
  readonly #sink: Sink
  #text = ''

  constructor(sink: Sink) {
    this.#sink = sink
  }

  async write(text: string): Promise<void> {
    this.#text += text
    if (this.#text.length >= CHUNK_LENGTH) await this.flush()
  }

  async flush(): Promise<void> {
    const text = this.#text
    this.#text = ''
    if (text !== '') await this.#sink(text)
  }
}
