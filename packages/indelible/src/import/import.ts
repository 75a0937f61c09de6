/**
 * Takes a file of another system into a log, all of it or nothing.
 *
 * The file is read three times: to pin and hash it, to check every event of it, and to append. What is appended is what was
 * checked, whoever writes to the file meanwhile. An event's id comes from the file's SHA-256, its place there and the format, so
 * importing again, also a copy under another name or after an interruption, adds what is missing and nothing else.
 *
 * Of a file that grew, all is new: its SHA-256 is another.
 */

import { IndelibleError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { formatTime } from '../record/time.ts'
import { Appender } from './appender.ts'
import { BadPlaces } from './bad-places.ts'
import { checkEvent, EventMaker } from './event-maker.ts'
import { importerOf } from './formats.ts'
import type { ChainFinding, Importer, ImportSource } from './importer.ts'
import { changed, PinnedFile } from './pinned-file.ts'
import { type TextLimits, TextSource } from './source.ts'

export interface ImportOptions {
  /** Name of the format, of `IMPORTERS`. */
  readonly from: string
  /** Leave malformed lines out, and say so in an `audit.gap`, instead of refusing the file. */
  readonly skipBad?: boolean
  /** Import although the file's own chain does not hold; what was found is recorded either way. */
  readonly acceptBroken?: boolean
  /** Of the file's own chain, if it is keyed. Default `$AUDIT_HMAC_KEY`. */
  readonly key?: string
  /** Called with how many bytes have been read, of how many in all readings together. */
  readonly onProgress?: (done: number, total: number) => void
  /** Stops between batches. What was appended stays; importing again adds the rest. */
  readonly signal?: AbortSignal
  readonly limits?: TextLimits
}

export interface ImportSummary {
  readonly from: string
  /** Of the file, in hex. */
  readonly sha256: string
  /** Bytes of the file. */
  readonly bytes: number
  /** Events that the file amounts to. */
  readonly events: number
  /** `run.start`s among them. */
  readonly runs: number
  /** Entries that were added, an `audit.gap` not counted. */
  readonly appended: number
  /** Events that were in the log before. */
  readonly duplicates: number
  /** Lines, or places in a document, that were malformed and left out. */
  readonly skipped: number
  /** What came out of verifying the file's own chain. `null` for formats without one. */
  readonly chain: ChainFinding | null
  /** Stopped by the signal: import again for the rest. */
  readonly interrupted: boolean
  /** Somebody has written to the file since it was checked. What was imported is what it was before. */
  readonly touched: boolean
}

/**
 * Imports one file.
 *
 * @throws IndelibleError `ERR_IMPORT_FORMAT`; `ERR_IMPORT_INVALID` naming file, line and reason; `ERR_IMPORT_BROKEN`;
 * `ERR_IMPORT_CHANGED`. Nothing was appended then, but for `ERR_IMPORT_CHANGED` where it says so. And what recording throws:
 * import again for the rest.
 */
export async function importFile(log: Log, path: string, options: ImportOptions): Promise<ImportSummary> {
  const importer = importerOf(options.from)
  const work = new Import(log, importer, path, options)
  try {
    return await work.run()
  } catch (error) {
    if (options.signal?.aborted && error === options.signal.reason) return work.summary(true)
    throw error
  } finally {
    await work.close()
  }
}

class Import {
  readonly #log: Log
  readonly #importer: Importer
  readonly #path: string
  readonly #options: ImportOptions
  readonly #bad: BadPlaces
  #file: PinnedFile | null = null
  #chain: ChainFinding | null = null
  #appender: Appender | null = null
  #events = 0
  #runs = 0
  #touched = false

  constructor(log: Log, importer: Importer, path: string, options: ImportOptions) {
    this.#log = log
    this.#importer = importer
    this.#path = path
    this.#options = options
    this.#bad = new BadPlaces(path, importer.name, options.skipBad ?? false)
  }

  async run(): Promise<ImportSummary> {
    const { signal } = this.#options
    const progress = new Readings(this.#options.onProgress, this.#importer.verifyChain ? 4 : 3)
    const file = await PinnedFile.open(this.#path, { signal, onRead: progress.add })
    this.#file = file
    progress.begin(file.size)
    await this.#check(file)
    if (await file.isTouched()) throw changed(this.#path, 'somebody wrote to it')
    await this.#append(file)
    this.#touched = await file.isTouched()
    return this.summary(false)
  }

  /** Everything that can be wrong with the file, before anything is written. */
  async #check(file: PinnedFile): Promise<void> {
    const { acceptBroken, key = process.env.AUDIT_HMAC_KEY } = this.#options
    this.#chain = await this.#verifyChain(file, key)
    const maker = this.#maker(file)
    for await (const imported of this.#importer.events(this.#source(file, this.#bad.add))) {
      const made = maker.make(imported)
      const reason = checkEvent(made)
      if (reason !== null && !this.#bad.has(imported)) {
        this.#bad.add(imported, reason)
        // A place is left out as a whole: what stood there before goes too.
        this.#events -= made.nth
      }
      if (this.#bad.has(imported)) continue
      this.#events++
      if (imported.event.type === 'run.start') this.#runs++
    }
    if (this.#events === 0) {
      const what = this.#bad.count > 0 ? `none of its ${this.#bad.count} lines is` : 'it has no records of'
      throw new IndelibleError('ERR_IMPORT_INVALID', `${this.#path}: ${what} ${this.#importer.name}`)
    }
    if (this.#chain && !this.#chain.verified && !acceptBroken) {
      const { error, line } = this.#chain
      const message = `${this.#path}, line ${line}: its own hash chain does not hold (${error}); it can be accepted as broken`
      throw new IndelibleError('ERR_IMPORT_BROKEN', message)
    }
  }

  async #verifyChain(file: PinnedFile, key: string | undefined): Promise<ChainFinding | null> {
    let fault: number | undefined
    const source = this.#source(file, ({ line }) => {
      fault ??= line
    })
    const finding = (await this.#importer.verifyChain?.(source, key)) ?? null
    // A line that is no text never came to the chain: the last one would not be missed there.
    if (!finding || fault === undefined || (finding.line ?? Number.POSITIVE_INFINITY) < fault) return finding
    return { ...finding, verified: false, error: 'malformed_json', line: fault }
  }

  async #append(file: PinnedFile): Promise<void> {
    const maker = this.#maker(file)
    this.#appender = new Appender(this.#log, this.#options.signal)
    if (this.#bad.count > 0) {
      const audit = { cause: 'import', format: this.#importer.name, source_sha256: file.sha256, ...this.#bad.summary() }
      await this.#log.recordGap(audit, maker.id('gap', 0))
    }
    try {
      for await (const imported of this.#importer.events(this.#source(file, () => {}))) {
        // Its id is made either way: those of one place are numbered.
        const made = maker.make(imported)
        if (!this.#bad.has(imported)) await this.#appender.add(made)
      }
      await this.#appender.flush()
    } catch (error) {
      if (!(error instanceof IndelibleError) || error.code !== 'ERR_IMPORT_CHANGED') throw error
      const message = `${error.message}; ${this.#appender.appended} entries of what it was are in the log`
      throw new IndelibleError('ERR_IMPORT_CHANGED', message)
    }
  }

  summary(interrupted: boolean): ImportSummary {
    return {
      from: this.#importer.name,
      sha256: this.#file?.sha256 ?? '',
      bytes: this.#file?.size ?? 0,
      events: this.#events,
      runs: this.#runs,
      appended: this.#appender?.appended ?? 0,
      duplicates: this.#appender?.duplicates ?? 0,
      skipped: this.#bad.count,
      chain: this.#chain,
      interrupted,
      touched: this.#touched,
    }
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }

  #source(file: PinnedFile, onBad: ImportSource['bad']): ImportSource {
    return new TextSource(file, { chain: this.#chain, limits: this.#options.limits, onBad })
  }

  #maker(file: PinnedFile): EventMaker {
    const fileTime = formatTime(Math.min(Math.max(0, Math.floor(file.modifiedMs)), Date.UTC(9999, 11, 31)))
    return new EventMaker({ format: this.#importer.name, sha256: file.sha256, fileTime })
  }
}

/** Progress over several readings of one file. A reading that ends early makes it jump, not go back. */
class Readings {
  readonly #report: ImportOptions['onProgress']
  readonly #readings: number
  #size = 0
  #done = 0

  constructor(report: ImportOptions['onProgress'], readings: number) {
    this.#report = report
    this.#readings = readings
  }

  begin(size: number): void {
    this.#size = size
  }

  readonly add = (bytes: number): void => {
    this.#done += bytes
    if (this.#size > 0) this.#report?.(Math.min(this.#done, this.#size * this.#readings), this.#size * this.#readings)
  }
}
