/** `indelible privacy`: what the rules make of an event, and what the vault holds. */
import type { Command } from 'commander'
import type { ExplainedEvent, ExplainedPart } from '../log/privacy-explain.ts'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { count, formatPairs, inline, paint, printable } from './output.ts'

const MAX_EVENT_BYTES = 16 * 1024 * 1024

export function addPrivacy(program: Command, context: Context): void {
  const privacy = program
    .command('privacy')
    .description('say what would be kept of an event, and what the vault holds')
    .addHelpText('after', examples('indelible privacy explain event.json', 'indelible privacy vault'))
  privacy
    .command('explain')
    .description('say for each part of an event which rule decides and what would be kept; records nothing')
    .argument('[file]', 'the event as JSON; without it, or as -, it comes from stdin')
    .addHelpText(
      'after',
      examples(
        'indelible privacy explain event.json',
        `echo '{"type":"tool.end","actor":{"type":"agent","id":"bot"},"parts":{"output":{"value":"hi"}}}' | indelible privacy explain --json`,
      ),
    )
    .action((file: string | undefined) => explain(file, context))
  privacy
    .command('vault')
    .description('say which vault this log has, and how many keys and pseudonyms are in it')
    .addHelpText('after', examples('indelible privacy vault'))
    .action(() => vault(context))
}

async function explain(file: string | undefined, context: Context): Promise<void> {
  const { resolveHome } = await import('../log/home-paths.ts')
  const { explainEvent } = await import('../log/privacy-explain.ts')
  const { parseJson } = await import('../record/jcs.ts')
  const { readSmallText } = await import('./files.ts')
  const text =
    file === undefined || file === '-' ? await stdinText() : readSmallText(file, MAX_EVENT_BYTES, 'ERR_EVENT_INVALID')
  const event = parseJson(text)
  const explained = await explainEvent(resolveHome(context.home), event)
  await context.answer(explained, () => describe(explained))
}

async function stdinText(): Promise<string> {
  const { text } = await import('node:stream/consumers')
  return text(process.stdin)
}

function describe({ parts, members }: ExplainedEvent): string {
  const texts = parts.map(describePart)
  const changed = Object.entries(members).map(([name, { from, to }]): [string, string] => [
    printable(name),
    `${inline(from)} → ${inline(to)}`,
  ])
  const entry = changed.length === 0 ? '' : `${paint('bold', 'in the entry itself')}\n${formatPairs(changed)}`
  return parts.length === 0 ? `the event has no parts\n${entry}` : `${texts.join('')}${entry}`
}

function describePart({ part, mode, by, rule, withheld, value, meta }: ExplainedPart): string {
  const facts = Object.entries(meta).map(([key, fact]) => `${printable(key)} ${inline(fact)}`)
  const shown = value === null && (mode === 'none' || mode === 'fingerprint') ? 'no value' : inline(value, 2000)
  const why = rule === undefined ? by : `${by} ${inline(rule)}`
  return `${paint('bold', printable(part))}\n${formatPairs([
    ['mode', withheld ? 'none: the redactor failed' : mode],
    ['decided by', why],
    ['value', shown],
    ['meta', facts.join(', ') || 'none'],
  ])}`
}

async function vault(context: Context): Promise<void> {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const { isEncrypting, openVaultOrFail, vaultDirectory } = await import('../log/vault-home.ts')
  const home = resolveHome(context.home)
  const config = loadConfig(home)
  const directory = vaultDirectory(home, config)
  const opened = openVaultOrFail(home, config)
  if (!opened) {
    throw new UsageError('this log has no vault: it is made when privacy.encrypt or privacy.pseudonyms is first used')
  }
  const facts = { directory, ...opened.facts(), encrypting: isEncrypting(config) }
  opened.close()
  await context.answer(facts, () =>
    formatPairs([
      ['vault', facts.id],
      ['folder', printable(directory)],
      ['keys', `${facts.keys}, and ${count(facts.forgotten, 'key')} destroyed`],
      ['pseudonyms', `${facts.pseudonyms}`],
      ['payloads', facts.encrypting ? 'are encrypted' : 'are not encrypted'],
    ]),
  )
}
