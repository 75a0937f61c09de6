/**
 * Evidence bundles: entries, proofs and chosen disclosures in one zip archive that `checkBundle` verifies without the log.
 * `verify/bundle-format.ts` says what is in one. All proofs lead to the one checkpoint that was the log's when the export
 * began, and each is checked before it is given out: a store that lies makes the export fail, not the auditor.
 */
import { IndelibleError } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import { parseVkey } from '../note/signed-note.ts'
import { formatTlogProof } from '../note/tlog-proof.ts'
import { jsonSchemas } from '../record/schema.ts'
import { formatTime } from '../record/time.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion, type NodeReader, proveInclusion } from '../tree/proof.ts'
import {
  ANCHORS,
  BUNDLE_FORMAT,
  type BundleManifest,
  CHECKPOINT,
  formatBundleName,
  MANIFEST,
  MAX_FILES,
  MAX_FILES_ENTRIES,
  manifestJsonSchema,
  PROPOSED_KEY,
  PROPOSED_POLICY,
  ROTATIONS,
} from '../verify/bundle-format.ts'
import { formatBundleAnchors } from './evidence-anchors.ts'
import { PacksLayout } from './evidence-packs.ts'
import { formatIndexPage, formatReadme, formatTableRow, MAX_ROWS } from './evidence-pages.ts'
import { formatBundleRotations } from './evidence-rotations.ts'
import { ExportedEntries, type ExportedEntry, type Exporter, type ExportSource, filterOf } from './exporter.ts'
import { release } from './release.ts'
import { cachedNodeReader } from './tree-reader.ts'
import { ZipWriter } from './zip-writer.ts'

/** Writes entries in one of the layouts. */
export interface Layout {
  add(entry: ExportedEntry): Promise<void>
  finish(): Promise<void>
}

export const evidence: Exporter = {
  name: 'evidence',
  extension: '.evidence.zip',
  async write(source, sink) {
    const { origin, vkey } = source
    const { note, checkpoint } = await acceptHead(source)
    const { size } = checkpoint
    const nowMs = (source.clock ?? Date.now)()
    const zip = new ZipWriter(sink, nowMs)
    const entries = new ExportedEntries(source, size)
    const layout = await chooseLayout(source)
    const facts = { origin, layout, release: release() }
    await zip.add('README.txt', formatReadme(facts))
    await zip.add(CHECKPOINT, note, { deflate: false })
    await zip.add(PROPOSED_KEY, `${vkey}\n`, { deflate: false })
    await zip.add('schemas/entry.schema.json', json(jsonSchemas()['entry.schema.json']))
    await zip.add('schemas/manifest.schema.json', json(manifestJsonSchema()))

    const read = cachedNodeReader(source.store, size)
    const anchors = await formatBundleAnchors(source.anchors ?? [], checkpoint, read)
    if (anchors !== '') await zip.add(ANCHORS, anchors)
    const rotations = await formatBundleRotations(source, checkpoint, read)
    if (rotations !== '') await zip.add(ROTATIONS, rotations)
    if (source.policy) await zip.add(PROPOSED_POLICY, source.policy)
    const writer =
      layout === 'files' ? new FilesLayout(zip, note, checkpoint, read) : new PacksLayout(zip, checkpoint, read)
    const rows: string[] = []
    let [first, last, parts]: [number | null, number | null, number] = [null, null, 0]
    for await (const entry of entries) {
      await writer.add(entry)
      if (rows.length < MAX_ROWS) rows.push(formatTableRow(entry))
      first ??= entry.index
      last = entry.index
      parts += Object.keys(entry.record.parts ?? {}).length
    }
    await writer.finish()

    const { entries: count, disclosed, gone } = entries
    const created = formatTime(nowMs)
    const scope = { filter: copy(filterOf(source)), ...(source.run !== undefined && { run: source.run }) }
    const page = { ...facts, created, scope: JSON.stringify(scope), size, entries: count }
    await zip.add('index.html', formatIndexPage(page, rows))
    const manifest: BundleManifest = {
      format: BUNDLE_FORMAT,
      origin,
      created,
      software: facts.release.name,
      scope,
      layout,
      entries: { count, first, last },
      parts: { asked: [...new Set(source.disclose)], disclosed, gone, withheld: parts - disclosed - gone },
      files: zip.files.slice(),
    }
    await zip.add(MANIFEST, json(manifest))
    await zip.end()
    return entries.summary(size)
  },
}

/** The log's checkpoint, if the key signed it that readers will be given. */
async function acceptHead({ store, origin, vkey }: ExportSource): Promise<{ note: string; checkpoint: Checkpoint }> {
  const head = await store.head()
  if (!head) throw new IndelibleError('ERR_ENTRY_NOT_FOUND', 'log has no entries')
  const { checkpoint } = openCheckpoint(head.checkpoint, { origin, keys: [parseVkey(vkey)] })
  return { note: head.checkpoint, checkpoint }
}

async function chooseLayout(source: ExportSource): Promise<'files' | 'packs'> {
  const count = await source.engine.count(filterOf(source))
  // Two files an entry and one a disclosure, and room for what every bundle has.
  const files = count * (2 + new Set(source.disclose).size) + 64
  return count <= MAX_FILES_ENTRIES && files < MAX_FILES ? 'files' : 'packs'
}

class FilesLayout implements Layout {
  readonly #zip: ZipWriter
  readonly #note: string
  readonly #checkpoint: Checkpoint
  readonly #read: NodeReader

  constructor(zip: ZipWriter, note: string, checkpoint: Checkpoint, read: NodeReader) {
    this.#zip = zip
    this.#note = note
    this.#checkpoint = checkpoint
    this.#read = read
  }

  async add({ index, entry, disclosures }: ExportedEntry): Promise<void> {
    const { size, root } = this.#checkpoint
    const proof = await proveInclusion(index, size, this.#read)
    checkInclusion({ leaf: leafHash(entry), index, size, root, proof })
    await this.#zip.add(formatBundleName({ kind: 'entry', index }), entry)
    const text = formatTlogProof({ index, proof, checkpoint: this.#note })
    await this.#zip.add(formatBundleName({ kind: 'proof', index }), text)
    for (const [part, disclosure] of disclosures) {
      if (disclosure !== null) await this.#zip.add(formatBundleName({ kind: 'disclosure', index, part }), disclosure)
    }
  }

  async finish(): Promise<void> {}
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

/** A filter as plain, mutable JSON. */
function copy(filter: object): Record<string, string | string[]> {
  return JSON.parse(JSON.stringify(filter)) as Record<string, string | string[]>
}
