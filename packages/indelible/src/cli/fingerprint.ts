/** `indelible fingerprint`: lets a holder of the key show that a payload is the one that was recorded. */
import type { Command } from 'commander'
import type { Json } from '../record/jcs.ts'
import { parseEntryName } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS, UsageError } from './exit.ts'
import { formatPairs, printable } from './output.ts'

const MAX_BYTES = 256 * 1024 * 1024

type Reading = 'json' | 'text' | 'bytes'

interface FingerprintOptions {
  readonly as?: string
  readonly entry?: number | string
  readonly part?: string
}

export function addFingerprint(program: Command, context: Context): void {
  program
    .command('fingerprint')
    .description('print the fingerprint of a payload, or say whether it is that of an entry; ends with 1 if it is not')
    .argument('<file>', 'the payload')
    .option('--as <kind>', 'what the file holds: json, text or bytes (default: JSON if it is, else text, else bytes)')
    .option('--entry <index|id>', 'compare with the parts of this entry', parseEntryName)
    .option('--part <name>', 'with --entry: this part only')
    .addHelpText(
      'after',
      examples('indelible fingerprint answer.json', 'indelible fingerprint answer.json --entry 12 --part output'),
    )
    .action((file: string, options: FingerprintOptions) => fingerprint(file, options, context))
}

async function fingerprint(file: string, { as, entry, part }: FingerprintOptions, context: Context): Promise<void> {
  if (part !== undefined && entry === undefined) throw new UsageError('--part: expected together with --entry')
  if (as !== undefined && as !== 'json' && as !== 'text' && as !== 'bytes') {
    throw new UsageError('--as: expected json, text or bytes')
  }
  const { readSmallFile } = await import('./files.ts')
  const values = await readingsOf(readSmallFile(file, MAX_BYTES, 'ERR_JSON_INVALID'), as)
  const { print, isPlain } = await printer(context)
  if (entry === undefined) {
    const [first] = values
    const found = { fingerprint: print(first!.value), as: first!.as }
    await context.answer(found, () => `${found.fingerprint}\n`)
    if (isPlain) context.say('warning: privacy.fingerprint is sha256: anybody can try out values against it')
    return
  }
  await compare(values, entry, part, print, context)
}

/** How a file can be meant, the likeliest first: a text that is JSON may have been recorded as either. */
async function readingsOf(bytes: Uint8Array, as: Reading | undefined): Promise<{ as: Reading; value: Json }[]> {
  const { fromUtf8 } = await import('../bytes.ts')
  const { carry } = await import('../record/carry.ts')
  const { parseJson } = await import('../record/jcs.ts')
  const found: { as: Reading; value: unknown }[] = []
  const attempt = (kind: Reading, read: () => unknown) => {
    if (as !== undefined && as !== kind) return
    try {
      found.push({ as: kind, value: read() })
    } catch {
      // It is not of that kind.
    }
  }
  attempt('json', () => parseJson(fromUtf8(bytes)))
  attempt('text', () => fromUtf8(bytes))
  if (as === undefined) attempt('text', () => fromUtf8(bytes).replace(/\r?\n$/, ''))
  attempt('bytes', () => bytes)
  if (found.length === 0) throw new UsageError(`--as ${as}: the file is not`)
  return found.map(({ as: kind, value }) => ({ as: kind, value: carry(value).value }))
}

async function printer(context: Context): Promise<{ print: (value: Json) => string; isPlain: boolean }> {
  const { loadConfig } = await import('../config/config.ts')
  const { readFingerprintKey } = await import('../keys/file-keys.ts')
  const { keysDirectory, resolveHome } = await import('../log/home-paths.ts')
  const { PrivacyPolicy } = await import('../privacy/policy.ts')
  const { canonicalize } = await import('../record/jcs.ts')
  const home = resolveHome(context.home)
  const config = loadConfig(home)
  const { fingerprint: kind, mode } = config.privacy
  const key = readFingerprintKey(keysDirectory(home, config))
  const policy = new PrivacyPolicy({ mode, fingerprint: kind }, config.log.origin, key)
  return { print: (value) => policy.fingerprint(canonicalize(value)), isPlain: kind === 'sha256' }
}

async function compare(
  values: readonly { readonly as: Reading; readonly value: Json }[],
  entry: number | string,
  part: string | undefined,
  print: (value: Json) => string,
  context: Context,
): Promise<void> {
  const recorded = await recordedFingerprints(entry, part, context)
  const comparable = recorded.filter(({ fingerprint: known }) => known !== null)
  const { sha256 } = await import('#crypto')
  const { toBase64Url } = await import('../bytes.ts')
  const { canonicalize } = await import('../record/jcs.ts')
  // The entry may be of a time when fingerprints were made the other way.
  const plain = (value: Json) => `sha256:${toBase64Url(sha256(canonicalize(value)))}`
  const prints = new Set(values.flatMap(({ value }) => [print(value), plain(value)]))
  const matching = comparable.filter(({ fingerprint: known }) => prints.has(known!)).map(({ name }) => name)
  const index = recorded[0]?.index ?? entry
  if (matching.length === 0) context.exitCode = FINDINGS
  const answer = { index, match: matching.length > 0, parts: matching, compared: comparable.map(({ name }) => name) }
  await context.answer(answer, () => {
    if (matching.length > 0)
      return `match: it is what entry ${index} recorded as ${matching.map(printable).join(', ')}\n`
    const compared = comparable.map(({ name }) => printable(name)).join(', ')
    const without = recorded.length - comparable.length
    return `no match in entry ${index}\n${formatPairs([
      ['compared with', compared || 'nothing: no part of it has a fingerprint'],
      ...(without > 0 ? ([['without one', `${without}: not kept, erased, or encrypted`]] as [string, string][]) : []),
    ])}`
  })
}

/** What the disclosures of an entry say, each checked against the entry. */
async function recordedFingerprints(
  which: number | string,
  part: string | undefined,
  context: Context,
): Promise<{ readonly index: number; readonly name: string; readonly fingerprint: string | null }[]> {
  const { LogReader } = await import('./reader.ts')
  const { IndelibleError } = await import('../errors.ts')
  const { checkDisclosure } = await import('../record/disclosure.ts')
  const { parseEntry } = await import('../record/entry.ts')
  const { isSealed } = await import('../record/sealed.ts')
  await using log = await LogReader.open(context.home)
  const { index, entry } = await log.entry(which)
  const record = parseEntry(entry)
  const parts = Object.entries(record.parts ?? {}).filter(([name]) => part === undefined || name === part)
  if (part !== undefined && parts.length === 0) {
    throw new IndelibleError('ERR_ENTRY_NOT_FOUND', `entry ${index} has no part of that name`)
  }
  const disclosures = await log.disclosures(index, record)
  return parts.map(([name, { commit }]) => {
    const text = disclosures.get(name) ?? null
    if (text === null || isSealed(text)) return { index, name, fingerprint: null }
    const { meta } = checkDisclosure(text, { commit, origin: log.origin, id: record.id, name })
    return { index, name, fingerprint: typeof meta.fingerprint === 'string' ? meta.fingerprint : null }
  })
}
