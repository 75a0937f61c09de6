/**
 * Checks an evidence bundle: offline, without the log, believing nothing in it. Keys, origin and pin come from the verifier; the
 * key that a bundle proposes is not read. Who makes a bundle chooses what is in it: that is what `not_checked` is for.
 */
import { sha256 } from '#crypto'
import { fromUtf8, isEqual, toBase64, toHex } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { formatVkey } from '../note/signed-note.ts'
import { quote } from '../note/text.ts'
import { parseJson } from '../record/jcs.ts'
import type { Anchored } from './anchor-check.ts'
import { checkBundleAnchors } from './bundle-anchors.ts'
import { BundleEntries } from './bundle-entries.ts'
import {
  ANCHORS,
  type BundleManifest,
  CHECKPOINT,
  MANIFEST,
  manifestSchema,
  parseBundleName,
  ROTATIONS,
} from './bundle-format.ts'
import { BundleFindings, type BundleReport } from './bundle-report.ts'
import { checkBundledRotations, readBundledRotations } from './bundle-rotations.ts'
import type { TrustPolicy } from './evidence.ts'
import { isUnverified, KeyHistory } from './key-history.ts'
import { BundleFault, type BundleFiles, type ByteSource, openZip } from './zip.ts'

/** A bundle: a zip archive in memory or readable in pieces, or the files of one that was unpacked, by their names in it. */
export type Bundle = Uint8Array | ByteSource | ReadonlyMap<string, Uint8Array>

/** What a check of a bundle takes of a trust policy. */
export type BundlePolicy = Pick<TrustPolicy, 'origin' | 'keys' | 'pin' | 'anchors' | 'nowMs'>

export interface CheckBundleOptions {
  /** Called now and then with how many entries have been checked. */
  readonly onProgress?: (entries: number) => void
}

/**
 * Never throws for what is in the bundle: all of that is findings. Memory does not grow with the bundle, but for its list of
 * files and 32 bytes an entry.
 *
 * @param policy the keys that speak for the log, from anywhere but the bundle
 * @throws TypeError if the policy has no key. What a {@link ByteSource} throws is thrown on: then nothing is known.
 */
export async function checkBundle(
  bundle: Bundle,
  policy: BundlePolicy,
  options: CheckBundleOptions = {},
): Promise<BundleReport> {
  if (policy.keys.length === 0) throw new TypeError('policy has no key: nothing could be established')
  const check = new BundleCheck(policy, options)
  try {
    await check.run(await openFiles(bundle))
  } catch (error) {
    if (!(error instanceof BundleFault)) throw error
    check.findings.add(error.code, error.message)
  }
  return check.report()
}

async function openFiles(bundle: Bundle): Promise<BundleFiles> {
  if (bundle instanceof Uint8Array) {
    return openZip({ size: bundle.length, read: async (start, end) => bundle.subarray(start, end) })
  }
  if ('read' in bundle) return openZip(bundle)
  return { names: [...bundle.keys()], read: async (name) => bundle.get(name)! }
}

class BundleCheck {
  readonly findings = new BundleFindings()
  readonly #policy: BundlePolicy
  readonly #options: CheckBundleOptions
  readonly #digests = new Map<string, { readonly bytes: number; readonly sha256: string }>()
  #manifest: BundleManifest | null = null
  #accepted: { readonly checkpoint: Checkpoint; readonly key: string; readonly cosignatures: number } | null = null
  #entries: BundleEntries | null = null
  #isPinned = false
  /** Whether rotations lead from the keys of the policy to the one that signed. */
  #isFollowed = false
  #anchored: readonly Anchored[] = []

  constructor(policy: BundlePolicy, options: CheckBundleOptions) {
    this.#policy = policy
    this.#options = options
  }

  async run(files: BundleFiles): Promise<void> {
    const present = new Set(files.names)
    const bytes = present.has(MANIFEST) ? await files.read(MANIFEST) : null
    this.#manifest = this.#readManifest(bytes)
    const manifest = this.#manifest
    if (manifest === null) return
    this.#compareNames(files.names, present, manifest)
    const read = (name: string) => this.#read(files, present, name)
    for (const name of present) {
      if (parseBundleName(name)?.kind === 'plain' && name !== CHECKPOINT && name !== MANIFEST) await read(name)
    }

    const note = await read(CHECKPOINT)
    if (note === null) return
    const text = textOf(note)
    const keys = new KeyHistory(this.#policy.origin, this.#policy.keys)
    const stated = present.has(ROTATIONS) ? await read(ROTATIONS) : null
    const rotations = readBundledRotations(stated, keys, this.findings)
    this.#accept(text, keys)
    if (this.#accepted === null) return
    const { checkpoint } = this.#accepted
    checkBundledRotations(rotations, checkpoint, keys, this.findings)
    const anchors = present.has(ANCHORS) ? await read(ANCHORS) : null
    const receipts = anchors && textOf(anchors)
    this.#anchored = await checkBundleAnchors(receipts, text, checkpoint, { ...this.#policy, keys }, this.findings)
    const { origin, pin } = this.#policy
    const entries = new BundleEntries(
      { names: files.names, read },
      {
        origin,
        checkpoint,
        note: text,
        run: manifest.scope.run,
        findings: this.findings,
        pinSize: pin?.size,
        onProgress: this.#options.onProgress,
      },
    )
    this.#entries = entries
    await (manifest.layout === 'files' ? entries.checkFiles() : entries.checkPacks())
    this.#comparePin(checkpoint, entries.pinRoot)
    this.#compareCounts(manifest, entries)
  }

  #readManifest(bytes: Uint8Array | null): BundleManifest | null {
    if (bytes === null) {
      this.findings.add('file_missing', `no ${MANIFEST}: this is no evidence bundle`, { file: MANIFEST })
      return null
    }
    let value: unknown
    try {
      value = parseJson(textOf(bytes))
    } catch {
      value = null
    }
    const parsed = manifestSchema.safeParse(value)
    if (parsed.success) return parsed.data
    const path = parsed.error.issues[0]?.path.join('.')
    const message = `${MANIFEST} is not one that this version reads${path ? `: ${quote(path)}` : ''}`
    this.findings.add('manifest_invalid', message, { file: MANIFEST })
    return null
  }

  /** The files listed are the files present, each once, each with a name that a bundle has. */
  #compareNames(names: readonly string[], present: ReadonlySet<string>, manifest: BundleManifest): void {
    for (const { path, bytes, sha256: digest } of manifest.files) {
      const file = quote(path)
      if (this.#digests.has(path)) this.findings.add('file_repeated', `${MANIFEST} lists ${file} twice`, { file: path })
      else if (!present.has(path)) this.findings.add('file_missing', `${file} is missing`, { file: path })
      this.#digests.set(path, { bytes, sha256: digest })
    }
    for (const name of names) {
      if (parseBundleName(name) === null) {
        this.findings.add('file_unexpected', `no file of a bundle is named ${quote(name)}`, { file: name })
      } else if (name !== MANIFEST && !this.#digests.has(name)) {
        this.findings.add('file_unexpected', `${name} is not listed in ${MANIFEST}`, { file: name })
      }
    }
    if (this.#digests.has(MANIFEST))
      this.findings.add('manifest_invalid', `${MANIFEST} lists itself`, { file: MANIFEST })
  }

  /** A file as the manifest has it; otherwise `null`, and a finding unless there is one already. */
  async #read(files: BundleFiles, present: ReadonlySet<string>, name: string): Promise<Uint8Array | null> {
    if (!present.has(name)) {
      if (!this.#digests.has(name)) this.findings.add('file_missing', `${name} is missing`, { file: name })
      return null
    }
    let bytes: Uint8Array
    try {
      bytes = await files.read(name)
    } catch (error) {
      // What is bigger than it says would cost as much again with every file.
      if (!(error instanceof BundleFault) || error.code === 'file_too_large') throw error
      this.findings.add(error.code, error.message, { file: name })
      return null
    }
    const listed = this.#digests.get(name)
    if (listed && (listed.bytes !== bytes.length || listed.sha256 !== toHex(sha256(bytes)))) {
      this.findings.add('file_altered', `${name} is not the file that ${MANIFEST} lists`, { file: name })
      return null
    }
    return bytes
  }

  #accept(note: string, keys: KeyHistory): void {
    try {
      const { checkpoint, key, others } = keys.open(note)
      const vkey = formatVkey(key)
      this.#isFollowed = this.#policy.keys.every((given) => formatVkey(given) !== vkey)
      this.#accepted = { checkpoint, key: vkey, cosignatures: others }
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      const code = isUnverified(error) ? 'checkpoint_unverified' : 'checkpoint_invalid'
      this.findings.add(code, `checkpoint: ${error.message}`, { file: CHECKPOINT })
    }
  }

  #comparePin({ size, root }: Checkpoint, pinRoot: Uint8Array | null): void {
    const { pin } = this.#policy
    const found = pin?.size === size ? root : pinRoot
    if (!pin || !found) return
    if (isEqual(found, pin.root)) {
      this.#isPinned = true
    } else {
      this.findings.add(
        'split_view',
        `log signed two trees that differ in their first ${pin.size} entries: this and the pinned one`,
      )
    }
  }

  /** What the manifest says of the entries is what the entries say. */
  #compareCounts(manifest: BundleManifest, entries: BundleEntries): void {
    const { parts } = manifest
    const said = [
      manifest.origin,
      manifest.entries.count,
      manifest.entries.first,
      manifest.entries.last,
      parts.disclosed,
    ]
    const found = [this.#policy.origin, entries.entries, entries.first, entries.last, entries.disclosed]
    const differs = said.some((value, i) => value !== found[i]) || parts.gone + parts.withheld !== entries.withheld
    if (differs) {
      this.findings.add('manifest_mismatch', `${MANIFEST} counts or names otherwise than the entries do`, {
        file: MANIFEST,
      })
    }
  }

  report(): BundleReport {
    const { listed, count } = this.findings
    const accepted = this.#accepted
    const entries = this.#entries
    const manifest = this.#manifest
    const isProven = count === 0 && accepted !== null && entries !== null && entries.entries > 0
    return {
      verdict: count > 0 ? 'failed' : isProven ? 'verified' : 'incomplete',
      origin: this.#policy.origin,
      size: accepted?.checkpoint.size ?? 0,
      root: accepted ? toBase64(accepted.checkpoint.root) : '',
      key: accepted?.key ?? '',
      entries: entries?.entries ?? 0,
      first: entries?.first ?? null,
      last: entries?.last ?? null,
      disclosed: entries?.disclosed ?? 0,
      withheld: entries?.withheld ?? 0,
      erased: entries?.erasures.erased ?? 0,
      claimed: manifest && { created: manifest.created, software: manifest.software, scope: manifest.scope },
      anchored: this.#anchored.map(({ size: _, ...who }) => who),
      established: this.#established(isProven),
      findings: listed,
      more_findings: count - listed.length,
      not_checked: this.#notChecked(),
    }
  }

  get #isWhole(): boolean {
    return this.#accepted !== null && this.#entries?.entries === this.#accepted.checkpoint.size
  }

  #established(isProven: boolean): string[] {
    const { size } = this.#accepted?.checkpoint ?? { size: 0 }
    const statements: string[] = []
    if (this.#accepted) {
      const who = this.#isFollowed ? 'a successor of a key of the policy' : 'a key of the policy'
      statements.push(`${who} signed a log of ${size} entries`)
    }
    if (!isProven) return statements
    for (const { anchor, by, time, size: upTo } of this.#anchored) {
      const when = time === null ? '' : ` at ${time}`
      statements.push(`anchor ${anchor} (${by.join(', ')}) vouched for the first ${upTo} entries of that log${when}`)
    }
    const { entries, disclosed } = this.#entries!
    const run = this.#manifest?.scope.run
    statements.push(`${entries} of these entries are in the bundle, unaltered and at their places`)
    if (this.#isWhole) statements.push('no entry of that log was left out of the bundle')
    if (run !== undefined) statements.push(`all of them are of run ${quote(run)}`)
    if (disclosed > 0) statements.push(`${disclosed} disclosed parts are what their entries committed to`)
    const { erased } = this.#entries!.erasures
    if (erased > 0) statements.push(`${erased} withheld parts were erased: audit.erased entries of the bundle say so`)
    if (this.#isPinned) statements.push('the log is the one that was pinned, or has grown out of it')
    return statements
  }

  #notChecked(): string[] {
    const { pin } = this.#policy
    const run = this.#manifest?.scope.run
    const notes: string[] = []
    if (!this.#isWhole) {
      const what = run === undefined ? 'that fit what was asked for' : 'of the run'
      notes.push(`completeness: whether the log has further entries ${what}; the scope is the exporter's word`)
    }
    if ((this.#entries?.withheld ?? 0) > 0)
      notes.push('the values of withheld parts: the entries hold commitments to them')
    if (this.#accepted && this.#accepted.cosignatures > 0)
      notes.push('signatures by others than the keys of the policy')
    if (this.#isFollowed) {
      notes.push('whether the key of the policy was stolen: who has it can name a successor in a log of his own')
    }
    if (pin && !this.#isPinned) notes.push('whether the log has grown out of the pinned one')
    return [
      ...notes,
      'whether the log still holds these entries, or has grown or been cut off since this checkpoint',
      ...(this.#anchored.length > 0
        ? []
        : ['whether others are shown another log: no witness vouches for this checkpoint']),
      'where the key came from: one that came with the bundle would prove nothing',
      "README, index.html, schemas and what the manifest says of time and software: the exporter's word",
    ]
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch {
    return ''
  }
}
