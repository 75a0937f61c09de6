/** `indelible redact`: what redaction does to a text, and how well it does on labelled ones. Writes nothing to a log. */
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import type { Finding, Redactor } from '../privacy/redactor.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS, UsageError } from './exit.ts'
import { count, formatPairs, paint, printable } from './output.ts'
import { formatTable } from './table.ts'

interface RedactOptions {
  readonly explain?: boolean
  readonly packs?: string
  readonly measure?: string
}

const MAX_BYTES = 64 * 1024 * 1024

export function addRedact(program: Command, context: Context): void {
  program
    .command('redact')
    .description('show what redaction does to a text, by the configuration of the log if there is one; records nothing')
    .argument('[file]', 'text, or - for standard input (default)')
    .option('--explain', 'say for each place which rule looked at it, and why it was replaced or left')
    .option('--packs <names>', 'packs beside global and secrets, with commas; all for every one there is')
    .option('--measure <file>', 'precision and recall on labelled texts: [{text, spans: [{type, start, end}]}]')
    .addHelpText(
      'after',
      examples(
        'indelible redact --packs us,eu letter.txt',
        "echo 'call 602-272-9781' | indelible redact --explain --packs us",
        'indelible redact --measure pii-labelled.json --json',
      ),
    )
    .action((file: string | undefined, options: RedactOptions) => redact(file, options, context))
}

async function redact(file: string | undefined, options: RedactOptions, context: Context): Promise<void> {
  if (options.measure !== undefined) {
    if (file !== undefined || options.explain) throw new UsageError('--measure takes no other file and no --explain')
    return measureFile(options.measure, options, context)
  }
  const redactor = await redactorOf(options, context)
  const text = await readText(file ?? '-')
  const redacted = await redactor.redactText(text)
  if (redacted.failed) {
    context.exitCode = FINDINGS
    context.say('the recognizer failed: a log would withhold this text')
  }
  const findings = options.explain ? redactor.explain(text) : undefined
  const answer = {
    text: redacted.text,
    counts: redacted.counts,
    packs: redactor.packs,
    ...(findings && { findings: findings.map((finding) => ({ ...finding, ...placeOf(text, finding) })) }),
  }
  await context.answer(answer, () => (findings ? explain(text, redacted.counts, findings) : redacted.text))
}

/** By the configuration, if there is one, with other packs where the command line names them. */
async function redactorOf({ packs }: RedactOptions, context: Context): Promise<Redactor> {
  const { existsSync } = await import('node:fs')
  const { join } = await import('node:path')
  const { resolveHome } = await import('../log/home-paths.ts')
  const home = resolveHome(context.home)
  const named = packs === undefined ? undefined : await packNames(packs)
  if (context.home === undefined && !existsSync(join(home, 'config.json'))) {
    const { createRedactor } = await import('../privacy/redactor.ts')
    return createRedactor(named ? { packs: named } : {})
  }
  const { loadConfig } = await import('../config/config.ts')
  const { configuredRedactor } = await import('../log/privacy-home.ts')
  const config = loadConfig(home)
  // A name that no pack has is refused there.
  const privacy = { ...config.privacy, ...(named && { packs: named as Config['privacy']['packs'] }) }
  return configuredRedactor(home, { ...config, privacy })
}

async function packNames(text: string): Promise<readonly string[]> {
  if (text !== 'all')
    return text
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
  const { PACK_NAMES } = await import('../privacy/redaction/rule.ts')
  return PACK_NAMES
}

async function readText(file: string): Promise<string> {
  const { fromUtf8 } = await import('../bytes.ts')
  if (file !== '-') {
    const { readSmallText } = await import('./files.ts')
    return readSmallText(file, MAX_BYTES, 'ERR_JSON_INVALID')
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of process.stdin) {
    length += chunk.length
    if (length > MAX_BYTES) throw new UsageError(`standard input has more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  try {
    return fromUtf8(new Uint8Array(Buffer.concat(chunks)))
  } catch {
    throw new UsageError('standard input is not UTF-8')
  }
}

/** Line and column, from 1 on, where the finding is in the text itself. */
function placeOf(text: string, { path, start }: Finding): { line?: number; column?: number } {
  if (path.length > 0) return {}
  const before = text.slice(0, start)
  const line = before.split('\n').length
  return { line, column: start - before.lastIndexOf('\n') }
}

const WHY = {
  replaced: 'replaced',
  check: 'left: check failed',
  context: 'left: no word near',
} as const

function explain(text: string, counts: Readonly<Record<string, number>>, findings: readonly Finding[]): string {
  const kinds = Object.entries(counts)
  const total = kinds.reduce((sum, [, n]) => sum + n, 0)
  const head =
    total === 0
      ? paint('bold', 'nothing to replace\n')
      : `${paint('bold', `${count(total, 'place')} replaced`)}\n${formatPairs(kinds.map(([kind, n]) => [kind, `${n}`]))}`
  if (findings.length === 0) return head
  const table = formatTable(findings, [
    { title: 'where', value: (finding) => whereText(text, finding) },
    { title: 'kind', value: ({ kind }) => kind },
    { title: 'rule', value: ({ rule }) => rule },
    { title: 'check', value: ({ check, outcome }) => (check ? `${check} ${outcome === 'check' ? 'no' : 'yes'}` : '') },
    {
      title: 'outcome',
      value: ({ outcome }) => WHY[outcome],
      style: ({ outcome }) => (outcome === 'replaced' ? null : 'dim'),
    },
  ])
  return `${head}\n${table}`
}

function whereText(text: string, finding: Finding): string {
  const { line, column } = placeOf(text, finding)
  const length = finding.end - finding.start
  if (line === undefined) return `${printable(finding.path.join('.'))}:${finding.start + 1}+${length}`
  return `${line}:${column}+${length}`
}

async function measureFile(file: string, options: RedactOptions, context: Context): Promise<void> {
  const { createRedactor } = await import('../privacy/redactor.ts')
  const { measure } = await import('../privacy/redaction/measure.ts')
  const { choosePacks } = await import('../privacy/redaction/packs/index.ts')
  // A file has labels of many countries, whatever packs are in force here.
  const packs = await packNames(options.packs ?? 'all')
  const redactor = createRedactor({ packs })
  const texts = await labelledTexts(file)
  const find = (text: string) => redactor.explain(text).filter(({ outcome }) => outcome === 'replaced')
  const known = new Set(choosePacks(packs).flatMap(({ rules }) => rules.map(({ kind }) => kind)))
  const { kinds, ...rest } = measure(texts, find, known)
  const inForce = redactor.packs.map(({ pack, version }) => `${pack}@${version}`)
  await context.answer({ kinds, ...rest, packs: inForce }, () => {
    const rows = Object.entries(kinds).map(([kind, one]) => ({ kind, ...one }))
    const percent = (share: number | null) => (share === null ? '-' : share.toFixed(4))
    const table = formatTable(rows, [
      { title: 'kind', value: ({ kind }) => kind },
      { title: 'precision', value: ({ precision }) => percent(precision) },
      { title: 'recall', value: ({ recall }) => percent(recall) },
      { title: 'found', value: ({ found }) => `${found}` },
      { title: 'labelled', value: ({ labelled }) => `${labelled}` },
      { title: 'labels', value: ({ labels }) => labels.join(', ') },
    ])
    const unmeasured = Object.entries(rest.labels_without_kind).map(([label, n]) => `${label} ${n}`)
    const more = unmeasured.length === 0 ? '' : `\nno pattern finds: ${printable(unmeasured.join(', '))}\n`
    return `${count(rest.texts, 'text')}, packs ${inForce.join(' ')}\n${table}${more}`
  })
}

async function labelledTexts(file: string) {
  const { z } = await import('zod')
  const { readSmallText } = await import('./files.ts')
  const { IndelibleError } = await import('../errors.ts')
  const span = z.object({
    type: z.string().min(1),
    start: z.number().int().min(0),
    end: z.number().int().min(0),
    value: z.string().optional(),
  })
  const schema = z.array(z.object({ text: z.string(), spans: z.array(span) }))
  let parsed: unknown
  try {
    parsed = JSON.parse(readSmallText(file, MAX_BYTES, 'ERR_JSON_INVALID'))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new IndelibleError('ERR_JSON_INVALID', `${file} is not JSON`)
  }
  const texts = schema.safeParse(parsed)
  if (texts.success) return texts.data as import('../privacy/redaction/measure.ts').LabelledText[]
  const where = texts.error.issues[0]!.path.join('.')
  throw new IndelibleError(
    'ERR_JSON_INVALID',
    `${file}: expected [{text, spans: [{type, start, end}]}], not so at ${where || 'the top'}`,
  )
}
