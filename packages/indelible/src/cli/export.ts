/** `indelible export`: entries for other programs and for auditors. */

import { once } from 'node:events'
import { createWriteStream, openSync, renameSync, rmSync } from 'node:fs'
import { type Command, Option } from 'commander'
import type { ExportFormat } from '../export/formats.ts'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { addFilterOptions, type FilterOptions, filterOf } from './filters.ts'
import { Interrupt } from './interrupt.ts'
import { count } from './output.ts'
import { Progress } from './progress.ts'
import { areReadsRecorded, type ReadEntry, recordReads } from './read-audit.ts'

/** Formats that are no text: they need a file. */
const BINARY = new Set<ExportFormat>(['evidence'])

interface ExportOptions extends FilterOptions {
  readonly format: ExportFormat
  readonly out?: string
  readonly disclose?: string[]
}

export function addExport(program: Command, context: Context): void {
  addFilterOptions(program.command('export').description('write entries for other programs, or evidence for auditors'))
    .addOption(
      new Option('--format <format>', 'what to write').choices(['jsonl', 'csv', 'evidence', 'trace']).default('jsonl'),
    )
    .option('--out <file>', 'where to (default: stdout; evidence needs a file)')
    .option(
      '--disclose <part>',
      'let the values of this part go along; may be repeated',
      (value, all: string[] = []) => [...all, value],
    )
    .addHelpText(
      'after',
      examples(
        'indelible export --format csv --since 2026-11-01 --out november.csv',
        'indelible export --format evidence --run run-42 --disclose reason --out run-42.evidence.zip',
        'indelible export --format trace --run run-42',
      ),
    )
    .action((options: ExportOptions) => exportEntries(options, context))
}

async function exportEntries(
  { format, out, disclose = [], ...options }: ExportOptions,
  context: Context,
): Promise<void> {
  if (BINARY.has(format) && out === undefined) throw new UsageError(`--format ${format} needs --out`)
  const { EXPORTERS } = await import('../export/formats.ts')
  const { openQuery } = await import('../query/home-query.ts')
  const { LogReader } = await import('./reader.ts')
  const stop = new AbortController()
  using interrupt = new Interrupt(() => stop.abort())
  await using query = await openQuery(context.homeOption)
  await using log = await LogReader.open(context.home)
  const { run, ...filter } = filterOf(options)
  const runs = run === undefined ? [] : [run].flat()
  if (runs.length > 1) throw new UsageError('export takes one --run')
  if (disclose.length > 0 && (await areReadsRecorded(context))) {
    const read: ReadEntry[] = []
    for await (const { index, record } of query.all(runs[0] === undefined ? filter : { ...filter, run: runs[0] })) {
      read.push({ index, parts: disclose.filter((name) => Object.hasOwn(record.parts ?? {}, name)) })
    }
    await recordReads(context, 'export', read, format)
  }
  using progress = new Progress('exported')
  const { size } = await query.page({}, { limit: 1 })
  const target = out === undefined ? null : new ReplacedFile(out)
  try {
    const summary = await EXPORTERS[format].write(
      {
        store: query.store,
        engine: query,
        origin: query.origin,
        vkey: log.vkey,
        ...(format === 'evidence' && (await anchorFacts(log.home, log.vkey))),
        filter,
        ...(runs[0] !== undefined && { run: runs[0] }),
        disclose,
        onProgress: (entries) => progress.update(entries, size),
        signal: stop.signal,
      },
      (chunk) =>
        target
          ? target.write(chunk)
          : context.out.write(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()),
    )
    await target?.commit()
    progress[Symbol.dispose]()
    if (!target) return
    const text = `wrote ${count(summary.entries, 'entry', 'entries')} to ${out}`
    const gone = summary.gone > 0 ? `; ${count(summary.gone, 'part')} asked for are gone` : ''
    await context.answer({ ...summary, file: out }, () => `${text}${gone}\n`)
  } catch (error) {
    target?.discard()
    if (interrupt.exitCode === null) throw error
    context.exitCode = interrupt.exitCode
  }
}

/** What others vouch for, and whom the log proposes to trust with that. */
async function anchorFacts(home: string, vkey: string) {
  const { newestReceipts, proposedPolicy } = await import('../anchor/proposal.ts')
  const { loadConfig } = await import('../config/config.ts')
  const config = loadConfig(home)
  return { anchors: newestReceipts(home, config), policy: await proposedPolicy(home, config, vkey) }
}

/** A file that is there whole or not at all. */
class ReplacedFile {
  readonly #path: string
  readonly #temporary: string
  readonly #stream

  constructor(path: string) {
    this.#path = path
    this.#temporary = `${path}.${process.pid}.part`
    // What is exported may be what the log itself withholds from others.
    this.#stream = createWriteStream(this.#temporary, { fd: openSync(this.#temporary, 'wx', 0o600) })
  }

  async write(chunk: Uint8Array | string): Promise<void> {
    if (!this.#stream.write(chunk)) await once(this.#stream, 'drain')
  }

  async commit(): Promise<void> {
    await new Promise<void>((resolve, reject) =>
      this.#stream.end((error?: Error | null) => (error ? reject(error) : resolve())),
    )
    renameSync(this.#temporary, this.#path)
  }

  discard(): void {
    this.#stream.destroy()
    rmSync(this.#temporary, { force: true })
  }
}
