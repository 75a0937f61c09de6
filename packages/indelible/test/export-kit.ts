/** Logs to export, exports in memory, and what an attacker does to a bundle. */
import { createHash } from 'node:crypto'
import { unzipSync, zipSync } from 'fflate'
import { macKey } from '#crypto'
import { fromUtf8, utf8 } from '../src/bytes.ts'
import type { Exporter, ExportSource, ExportSummary } from '../src/export/exporter.ts'
import { EXPORTERS } from '../src/export/formats.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { PrivacyPolicy, type PrivacyRules } from '../src/privacy/policy.ts'
import { QueryEngine, type QueryIndex } from '../src/query/query.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { BundleManifest } from '../src/verify/bundle-format.ts'
import type { BundleReport } from '../src/verify/bundle-report.ts'
import { type Bundle, checkBundle } from '../src/verify/check-bundle.ts'

export const ORIGIN = 'example.com/export'

/** An index that has seen nothing: every answer is a scan. */
const NO_INDEX: QueryIndex = {
  size: async () => 0,
  search: async () => [],
  count: async () => 0,
  runs: async () => [],
  run: async () => null,
  close: async () => {},
}

/** Says that everything has more entries than files are made for. */
class PackingEngine extends QueryEngine {
  override async count(): Promise<number> {
    return 20_000
  }
}

export interface TestLog {
  readonly log: Log
  readonly store: MemoryStore
  readonly keys: MemoryKeys
  readonly policy: { readonly origin: string; readonly keys: MemoryKeys['trusted'] }
  source(options?: Partial<ExportSource> & { readonly packed?: boolean }): ExportSource
}

/** A log of `audit.opened` and `events`. */
export async function logOf(
  events: readonly AgentEvent[],
  options: { readonly origin?: string; readonly privacy?: PrivacyRules } = {},
): Promise<TestLog> {
  const { origin = ORIGIN, privacy = { mode: 'full' } } = options
  const keys = new MemoryKeys(origin, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
  const store = new MemoryStore()
  await writeFirstEntry(store, keys, formatVkey(keys.signer.key), 'default')
  const rules = new PrivacyPolicy(privacy, origin, macKey(new Uint8Array(32)))
  const log = await Log.open({ store, keys, privacy: rules })
  if (events.length > 0) await log.recordMany(events)
  return {
    log,
    store,
    keys,
    policy: { origin, keys: keys.trusted },
    source: ({ packed = false, ...rest } = {}) => ({
      store,
      engine: packed ? new PackingEngine(store, NO_INDEX) : new QueryEngine(store, NO_INDEX),
      origin,
      vkey: formatVkey(keys.signer.key),
      filter: {},
      disclose: [],
      ...rest,
    }),
  }
}

export const agent = { type: 'agent', id: 'triage' } as const

/** A run of five entries: a tool call that succeeds and one that fails. */
export function runEvents(run: string): AgentEvent[] {
  const shared = { actor: agent, run: { id: run } } as const
  return [
    { ...shared, type: 'run.start', outcome: 'pending', parts: { prompt: { value: `help ${run}` } } },
    {
      ...shared,
      type: 'tool.start',
      outcome: 'pending',
      call: 'c1',
      tool: { name: 'lookup' },
      parts: { input: { value: { id: 7 } } },
    },
    {
      ...shared,
      type: 'tool.end',
      outcome: 'success',
      call: 'c1',
      tool: { name: 'lookup' },
      duration_ms: 12,
      parts: { output: { value: 'found' } },
    },
    {
      ...shared,
      type: 'tool.error',
      outcome: 'failure',
      call: 'c2',
      tool: { name: 'refund' },
      error: { type: 'Timeout', message: 'late' },
    },
    { ...shared, type: 'run.end', outcome: 'success' },
  ]
}

export interface Written {
  readonly bytes: Uint8Array
  readonly text: string
  readonly summary: ExportSummary
}

export async function write(exporter: Exporter, source: ExportSource): Promise<Written> {
  const chunks: Uint8Array[] = []
  const summary = await exporter.write(source, (chunk) => {
    chunks.push(typeof chunk === 'string' ? utf8(chunk) : chunk)
  })
  const bytes = new Uint8Array(Buffer.concat(chunks))
  return { bytes, text: exporter.name === 'evidence' ? '' : fromUtf8(bytes), summary }
}

export const bundleOf = async (source: ExportSource) => (await write(EXPORTERS.evidence, source)).bytes

/** The files of a bundle, to be altered. */
export function unpack(bundle: Uint8Array): Map<string, Uint8Array> {
  return new Map(Object.entries(unzipSync(bundle)))
}

export function textOf(files: ReadonlyMap<string, Uint8Array>, name: string): string {
  const bytes = files.get(name)
  if (!bytes) throw new Error(`no ${name} among ${[...files.keys()].join(' ')}`)
  return fromUtf8(bytes)
}

/** The files as a bundle whose manifest lists them as they are, as an attacker would leave it. */
export function reseal(
  files: ReadonlyMap<string, Uint8Array>,
  edit: (manifest: BundleManifest) => void = () => {},
): Uint8Array {
  const manifest = JSON.parse(textOf(files, 'manifest.json')) as BundleManifest
  manifest.files = [...files]
    .filter(([path]) => path !== 'manifest.json')
    .map(([path, bytes]) => ({ path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }))
  edit(manifest)
  return pack(new Map(files).set('manifest.json', utf8(JSON.stringify(manifest))))
}

export function pack(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  return zipSync(Object.fromEntries(files), { mtime: new Date(2026, 0, 1) })
}

/** The codes of a check, each once, in order of appearance. */
export async function codes(bundle: Bundle, policy: Parameters<typeof checkBundle>[1]): Promise<string[]> {
  return codesOf(await checkBundle(bundle, policy))
}

export function codesOf({ findings, verdict }: BundleReport): string[] {
  if ((verdict === 'failed') !== findings.length > 0)
    throw new Error(`verdict ${verdict} with ${findings.length} findings`)
  return [...new Set(findings.map(({ code }) => code))]
}
