/** The entries of a bundle, in either layout: each is in the tree that the checkpoint signs, each disclosure is its entry's. */
import { fromUtf8, isEqual, utf8 } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { parseTlogProof } from '../note/tlog-proof.ts'
import { checkDisclosure } from '../record/disclosure.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion } from '../tree/proof.ts'
import { BundleErasures } from './bundle-erasures.ts'
import { type EntryLine, formatBundleName, parseBundleName, parseEntryLine } from './bundle-format.ts'
import type { BundleFindings } from './bundle-report.ts'
import { IdSet } from './id-set.ts'
import { PackedTree } from './packed-tree.ts'

/** What the check of entries works on. `read` gives a file whose digest is that of the manifest, or `null` and a finding. */
export interface BundleContent {
  readonly names: readonly string[]
  read(name: string): Promise<Uint8Array | null>
}

export interface EntryCheckOptions {
  readonly origin: string
  readonly checkpoint: Checkpoint
  /** The note that every proof must end in. */
  readonly note: string
  /** The run that all entries are said to be of. */
  readonly run: string | undefined
  readonly findings: BundleFindings
  /** Size of the verifier's pin, if it has one. */
  readonly pinSize: number | undefined
  readonly onProgress: ((entries: number) => void) | undefined
}

export class BundleEntries {
  readonly #content: BundleContent
  readonly #options: EntryCheckOptions
  readonly #ids = new IdSet()
  entries = 0
  first: number | null = null
  last: number | null = null
  disclosed = 0
  withheld = 0
  /** Parts that the bundle says were asked for and are gone from the log. */
  gone = 0
  readonly erasures: BundleErasures
  /** Root of the tree at the pinned size, if the bundle shows it. */
  pinRoot: Uint8Array | null = null

  constructor(content: BundleContent, options: EntryCheckOptions) {
    this.#content = content
    this.#options = options
    this.erasures = new BundleErasures(options.findings)
  }

  /** Layout `files`. */
  async checkFiles(): Promise<void> {
    const parsed = this.#content.names.map((name) => ({ name, parsed: parseBundleName(name) }))
    const disclosures = new Map<number, Map<string, string>>()
    const proofs = new Set<number>()
    const indexes: number[] = []
    for (const { name, parsed: file } of parsed) {
      if (file?.kind === 'entry') indexes.push(file.index)
      else if (file?.kind === 'proof') proofs.add(file.index)
      else if (file?.kind === 'disclosure') {
        const known = disclosures.get(file.index) ?? new Map<string, string>()
        disclosures.set(file.index, known.set(file.part, name))
      } else if (file?.kind !== 'plain') this.#unexpected(name)
    }
    for (const index of indexes.sort((a, b) => a - b)) {
      await this.#checkFile(index, proofs.delete(index), disclosures.get(index) ?? new Map())
      disclosures.delete(index)
    }
    for (const index of proofs) this.#unexpected(formatBundleName({ kind: 'proof', index }))
    for (const files of disclosures.values()) for (const name of files.values()) this.#unexpected(name)
  }

  #unexpected(name: string): void {
    this.#options.findings.add('file_unexpected', `${name} belongs to no entry of the bundle`, { file: name })
  }

  async #checkFile(index: number, hasProof: boolean, disclosures: ReadonlyMap<string, string>): Promise<void> {
    const { findings } = this.#options
    const entry = await this.#content.read(formatBundleName({ kind: 'entry', index }))
    const file = formatBundleName({ kind: 'proof', index })
    if (!hasProof) findings.add('file_missing', `entry ${index} comes without a proof`, { index, file })
    else if (entry !== null) {
      const proof = await this.#content.read(file)
      if (proof !== null) this.#checkProof(index, entry, proof, file)
    }
    const texts = new Map<string, string | null>()
    for (const [part, name] of disclosures) {
      const disclosure = await this.#content.read(name)
      if (disclosure !== null) texts.set(part, decode(disclosure))
    }
    if (entry !== null) this.#checkEntry(index, entry, texts)
  }

  #checkProof(index: number, entry: Uint8Array, bytes: Uint8Array, file: string): void {
    const { checkpoint, note, findings } = this.#options
    try {
      const proof = parseTlogProof(decode(bytes))
      if (proof.index !== index) {
        findings.add('index_mismatch', `${file} is of entry ${proof.index}`, { index, file })
        return
      }
      if (proof.checkpoint !== note) {
        findings.add('checkpoint_mismatch', `${file} ends in another checkpoint than the bundle's`, { index, file })
      }
      const { size, root } = checkpoint
      checkInclusion({ leaf: leafHash(entry), index, size, root, proof: proof.proof })
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      findings.add('proof_invalid', `entry ${index}: ${error.message}`, { index, file })
    }
  }

  /** Layout `packs`. */
  async checkPacks(): Promise<void> {
    const { checkpoint, findings } = this.#options
    const numbers: number[] = []
    const hashes = new Set<number>()
    for (const name of this.#content.names) {
      const file = parseBundleName(name)
      if (file?.kind === 'pack') numbers.push(file.number)
      else if (file?.kind === 'hashes') hashes.add(file.number)
      else if (file?.kind !== 'plain') this.#unexpected(name)
    }
    numbers.sort((a, b) => a - b)
    const tree = new PackedTree(checkpoint.size, this.#options.pinSize)
    for (const number of numbers) {
      const pack = formatBundleName({ kind: 'pack', number })
      const side = formatBundleName({ kind: 'hashes', number })
      if (!hashes.delete(number)) findings.add('file_missing', `${pack} comes without its hashes`, { file: side })
      const lines = await this.#content.read(pack)
      const nodes = (await this.#content.read(side)) ?? new Uint8Array(0)
      tree.provide(nodes)
      if (lines === null) tree.fail()
      else this.#checkLines(lines, pack, tree)
      if (number === numbers.at(-1)) tree.skipTo(checkpoint.size)
      if (tree.left > 0) tree.fail()
    }
    for (const number of hashes) this.#unexpected(formatBundleName({ kind: 'hashes', number }))
    const root = numbers.length === 0 ? checkpoint.root : tree.root()
    if (root !== null && isEqual(root, checkpoint.root)) {
      this.pinRoot = tree.pinRoot
    } else {
      findings.add(
        'root_mismatch',
        'entries and tree hashes do not make the signed root: at least one entry is altered, moved or not of this log',
      )
    }
  }

  #checkLines(bytes: Uint8Array, pack: string, tree: PackedTree): void {
    const { findings } = this.#options
    let number = 0
    for (let start = 0; start < bytes.length; ) {
      const end = bytes.indexOf(0x0a, start)
      const line = end === -1 ? null : parseLine(bytes.subarray(start, end))
      number++
      start = end === -1 ? bytes.length : end + 1
      if (line === null) {
        findings.add('entry_unreadable', `${pack} line ${number} is no line of a pack`, { file: pack })
        tree.fail()
        continue
      }
      const { index, disclosures } = line
      if (index <= (this.last ?? -1)) {
        findings.add('entry_order', `${pack} line ${number}: entry ${index} follows entry ${this.last}`, {
          index,
          file: pack,
        })
        tree.fail()
        continue
      }
      const entry = utf8(line.entry)
      tree.skipTo(index)
      tree.append(leafHash(entry))
      this.#checkEntry(index, entry, disclosures)
    }
  }

  /** An entry whose place in the tree is checked elsewhere. */
  #checkEntry(index: number, entry: Uint8Array, disclosures: ReadonlyMap<string, string | null>): void {
    const { findings, run, onProgress } = this.#options
    this.entries++
    this.first ??= index
    this.last = index
    if (this.entries % 1024 === 0) onProgress?.(this.entries)
    let record: ReadRecord
    try {
      record = parseEntry(entry)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      findings.add('entry_unreadable', `entry ${index}: ${error.message}`, { index })
      return
    }
    if (!this.#ids.add(record.id)) {
      findings.add('id_repeated', `entry ${index} has the id of an earlier one`, { index })
    }
    if (run !== undefined && record.run?.id !== run) {
      findings.add('scope_mismatch', `entry ${index} is not of the run that the bundle says it is about`, { index })
    }
    this.#checkParts(index, record, disclosures)
    this.erasures.entry(record, index)
  }

  #checkParts(index: number, record: ReadRecord, disclosures: ReadonlyMap<string, string | null>): void {
    const { findings, origin } = this.#options
    const parts = record.parts ?? {}
    for (const [name, disclosure] of disclosures) {
      if (!Object.hasOwn(parts, name)) {
        findings.add('disclosure_unexpected', `entry ${index} commits to no such part`, { index })
        continue
      }
      if (disclosure === null) {
        this.gone++
        continue
      }
      try {
        checkDisclosure(disclosure, { commit: parts[name]!.commit, origin, id: record.id, name })
        this.disclosed++
      } catch (error) {
        if (!isIndelibleError(error)) throw error
        findings.add('disclosure_altered', `entry ${index}: ${error.message}`, { index })
      }
    }
    for (const name of Object.keys(parts)) {
      const isDisclosed = (disclosures.get(name) ?? null) !== null
      if (!isDisclosed) this.withheld++
      this.erasures.part(index, name, isDisclosed)
    }
  }
}

/** A text that is no UTF-8 hashes to nothing that anybody committed to, and parses as nothing: the empty one will do. */
function decode(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch {
    return ''
  }
}

function parseLine(bytes: Uint8Array): EntryLine | null {
  return parseEntryLine(decode(bytes))
}
