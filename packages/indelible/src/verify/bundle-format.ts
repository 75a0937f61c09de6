/**
 * Evidence bundles (`indelible/evidence@1`): names, lines and the order of tree hashes. What is said here holds for who writes a
 * bundle as for who checks one.
 *
 * A bundle of up to {@link MAX_FILES_ENTRIES} entries has the layout `files`: `entries/<index>.json`, a C2SP tlog-proof for
 * each, and each disclosure as a file whose SHA-256 is the commitment. A larger one has the layout `packs`:
 * `packs/<n>.jsonl` holds entries as lines, `packs/<n>.hashes` the hashes of the subtrees between them, so that entries and
 * hashes, appended in order, grow the tree that the checkpoint signs. That takes one pass and no memory to check.
 */
import { z } from 'zod'
import type { NodeId } from '../tree/node.ts'

export const BUNDLE_FORMAT = 'indelible/evidence@1'

/** Most entries of a bundle whose layout is `files`. */
export const MAX_FILES_ENTRIES = 10_000

/** Most files: what a zip archive without extensions can hold. */
export const MAX_FILES = 65_535

/** Longest file of a bundle, in bytes. Looked at before anything is inflated. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024

/** A file of a bundle, known by its name. */
export type BundleName =
  | { readonly kind: 'entry' | 'proof'; readonly index: number }
  | { readonly kind: 'disclosure'; readonly index: number; readonly part: string }
  | { readonly kind: 'pack' | 'hashes'; readonly number: number }
  | { readonly kind: 'plain' }

export const MANIFEST = 'manifest.json'
export const CHECKPOINT = 'checkpoint'
/** The exporter's proposal of a key to trust. No check reads it. */
export const PROPOSED_KEY = 'proposed.vkey'

/** What others vouch for: a line of JSON for each receipt, with the proof that leads from it to the checkpoint. */
export const ANCHORS = 'anchors.jsonl'
/** The exporter's proposal of whose cosignatures to trust, a C2SP policy. No check reads it. */
export const PROPOSED_POLICY = 'proposed.policy'

/** Key rotations, a line of JSON for each: the `audit.key.rotated` entry, its place and its inclusion proof. */
export const ROTATIONS = 'rotations.jsonl'

const PLAIN = new Set([
  MANIFEST,
  CHECKPOINT,
  ANCHORS,
  ROTATIONS,
  PROPOSED_POLICY,
  PROPOSED_KEY,
  'README.txt',
  'index.html',
])
const SCHEMA = /^schemas\/[a-z]{1,32}\.schema\.json$/
const NAME =
  /^(?:(entries|proofs)\/([0-9]{12,16})\.(json|tlog-proof)|disclosures\/([0-9]{12,16})\/([a-z][a-z0-9_.-]{0,63})\.json|packs\/([0-9]{6})\.(jsonl|hashes))$/

/** The file that `name` stands for, or `null` if a bundle has no file of that name. One file has one name. */
export function parseBundleName(name: string): BundleName | null {
  if (PLAIN.has(name) || SCHEMA.test(name)) return { kind: 'plain' }
  const [, folder, index, suffix, disclosed, part, pack, side] = NAME.exec(name) ?? []
  let parsed: BundleName
  if (folder !== undefined) {
    if ((folder === 'entries') !== (suffix === 'json')) return null
    parsed = { kind: folder === 'entries' ? 'entry' : 'proof', index: Number(index) }
  } else if (part !== undefined) {
    parsed = { kind: 'disclosure', index: Number(disclosed), part }
  } else if (pack !== undefined) {
    parsed = { kind: side === 'jsonl' ? 'pack' : 'hashes', number: Number(pack) }
  } else {
    return null
  }
  return formatBundleName(parsed) === name ? parsed : null
}

export function formatBundleName(name: Exclude<BundleName, { kind: 'plain' }>): string {
  switch (name.kind) {
    case 'entry':
      return `entries/${formatIndex(name.index)}.json`
    case 'proof':
      return `proofs/${formatIndex(name.index)}.tlog-proof`
    case 'disclosure':
      return `disclosures/${formatIndex(name.index)}/${name.part}.json`
    case 'pack':
      return `packs/${formatNumber(name.number)}.jsonl`
    case 'hashes':
      return `packs/${formatNumber(name.number)}.hashes`
  }
}

const formatIndex = (index: number) => String(index).padStart(12, '0')
const formatNumber = (number: number) => String(number).padStart(6, '0')

/** An entry as a line of a pack, and of an `export --format jsonl`. */
export interface EntryLine {
  readonly index: number
  /** The entry, verbatim. */
  readonly entry: string
  /** Disclosures by part name, verbatim; `null` where the log no longer has one that was asked for. */
  readonly disclosures: ReadonlyMap<string, string | null>
}

const DISCLOSURES = ',"disclosures":{'

/** The one text of a line, without its LF. An entry has no LF in it: canonical JSON escapes that. */
export function formatEntryLine({ index, entry, disclosures }: EntryLine): string {
  const [before, after] = aroundEntry(index, disclosures)
  return before + entry + after
}

/** What stands before and after the entry in its line: an entry can be written as the bytes that it is. */
export function aroundEntry(index: number, disclosures: EntryLine['disclosures']): [before: string, after: string] {
  return [`{"index":${index},"entry":`, `${DISCLOSURES}${formatDisclosures(disclosures)}}}`]
}

function formatDisclosures(disclosures: ReadonlyMap<string, string | null>): string {
  return [...disclosures.keys()]
    .sort()
    .map((name) => `${JSON.stringify(name)}:${JSON.stringify(disclosures.get(name))}`)
    .join(',')
}

/** Reads what {@link formatEntryLine} gives, and nothing else; whether `entry` is an entry is not looked at. `null` otherwise. */
export function parseEntryLine(line: string): EntryLine | null {
  const [head, digits] = /^\{"index":(0|[1-9][0-9]{0,15}),"entry":/.exec(line) ?? []
  // Within a JSON string the quotes would be escaped, and after the entry there are but strings.
  const end = line.lastIndexOf(DISCLOSURES)
  if (head === undefined || end < head.length || !line.endsWith('}}')) return null
  const entry = line.slice(head.length, end)
  const text = line.slice(end + DISCLOSURES.length, -2)
  const disclosures = new Map<string, string | null>()
  if (text !== '') {
    let parsed: Record<string, unknown>
    try {
      parsed = JSON.parse(`{${text}}`) as Record<string, unknown>
    } catch {
      return null
    }
    for (const [name, disclosure] of Object.entries(parsed)) {
      if (disclosure !== null && typeof disclosure !== 'string') return null
      disclosures.set(name, disclosure)
    }
    if (formatDisclosures(disclosures) !== text) return null
  }
  return { index: Number(digits), entry, disclosures }
}

/**
 * The perfect subtrees that make up `[start, end)`, from left to right, each as large as its place allows: the order in which
 * a tree of `start` entries takes them. Pure arithmetic, so that writer and checker need not agree on more than the hashes.
 */
export function gapNodes(start: number, end: number): NodeId[] {
  const nodes: NodeId[] = []
  for (let at = start; at < end; ) {
    let level = 0
    while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= end) level++
    nodes.push({ level, index: at / 2 ** level })
    at += 2 ** level
  }
  return nodes
}

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)

export const manifestSchema = z.object({
  format: z.literal(BUNDLE_FORMAT),
  /** Identity of the log. */
  origin: z.string().min(1),
  /** When the bundle was made, by the exporter's clock. */
  created: z.string(),
  /** What made it. */
  software: z.string(),
  /** What was asked for. The exporter's word: nothing proves that no other entry matches. */
  scope: z.object({
    filter: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
    run: z.string().optional(),
  }),
  layout: z.enum(['files', 'packs']),
  entries: z.object({ count, first: count.nullable(), last: count.nullable() }),
  /** Parts of these entries: disclosed here, asked for but gone from the log, or not asked for. */
  parts: z.object({ asked: z.array(z.string()), disclosed: count, gone: count, withheld: count }),
  /** Every other file of the bundle. */
  files: z
    .array(z.object({ path: z.string(), bytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) }))
    .max(MAX_FILES),
})
export type BundleManifest = z.infer<typeof manifestSchema>

/** JSON Schema (2020-12) of `manifest.json`. */
export function manifestJsonSchema(): Record<string, unknown> {
  return {
    $id: BUNDLE_FORMAT,
    title: 'Manifest of an evidence bundle',
    ...z.toJSONSchema(manifestSchema, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' }),
  }
}
