/** `indelible anchor`: who vouches for the log, how they are doing, and having them do it now. */
import type { Command } from 'commander'
import type { AnchorOutcome } from '../anchor/runner.ts'
import type { AnchorStatus } from '../anchor/state.ts'
import type { AnchorConfig } from '../config/anchors-section.ts'
import { parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { COULD_NOT_TELL, FINDINGS, OK, UsageError } from './exit.ts'
import { count, formatPairs, paint, printable } from './output.ts'
import { formatTable } from './table.ts'
import { agoText } from './units.ts'

interface AddOptions {
  kind: string
  option: string[]
  every?: string
  everyEntries?: number
  optional?: boolean
}

export function addAnchor(program: Command, context: Context): void {
  const anchor = program
    .command('anchor')
    .description('have others vouch for the log, so that its truncation and roll-back show')
    .addHelpText('after', examples('indelible anchor list', 'indelible anchor now', 'indelible anchor status'))
  anchor
    .command('add')
    .description('add an anchor to the configuration; nothing is asked yet')
    .argument('<name>', 'what it will be called')
    .requiredOption('--kind <kind>', 'what it is; --kind help lists the kinds and their options')
    .option('--option <key=value...>', 'options of the kind; a value is JSON, or text')
    .option('--every <duration>', 'how often it is asked, such as 15m or 1d (default: anchors.every)')
    .option('--every-entries <n>', 'after so many new entries, too', parsePositive)
    .option('--optional', 'status does not complain when it lags')
    .addHelpText(
      'after',
      examples(
        'indelible anchor add w1 --kind witness --option url=https://witness.example vkey=witness.example+…',
        'indelible anchor add witnesses --kind witness --option policy=witnesses.policy --every 15m',
        'indelible anchor add tsa --kind rfc3161 --option url=https://tsa.example certificates=tsa.pem --every 1d',
        'indelible anchor add copy --kind folder --option path=/mnt/copies/agent',
        'indelible anchor add worm --kind s3 --option endpoint=https://s3.example bucket=audit lock=compliance retain=365d',
      ),
    )
    .action((name: string, options: AddOptions) => add(name, options, context))
  anchor
    .command('remove')
    .description('take an anchor out of the configuration; its receipts stay')
    .argument('<name>')
    .addHelpText('after', examples('indelible anchor remove w1'))
    .action((name: string) => remove(name, context))
  anchor
    .command('list')
    .description('print the anchors of the configuration')
    .addHelpText('after', examples('indelible anchor list --json'))
    .action(() => list(context))
  anchor
    .command('now')
    .description('read the new entries again, and have anchors vouch for the log as it is: from cron, say')
    .argument('[names...]', 'only these; default all')
    .option('--due', 'only those whose turn it is by their schedule')
    .addHelpText('after', examples('indelible anchor now', 'indelible anchor now w1', 'indelible anchor now --due'))
    .action((names: string[], { due = false }: { due?: boolean }) => now(names, due, context))
  anchor
    .command('status')
    .description('say how far each anchor has come; ends with 1 if a required one lags')
    .addHelpText('after', examples('indelible anchor status', 'indelible anchor status --json'))
    .action(() => status(context))
}

async function configOf(context: Context) {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const home = resolveHome(context.home)
  return { home, config: loadConfig(home) }
}

async function add(name: string, options: AddOptions, context: Context): Promise<void> {
  const { anchorKinds, openAnchor } = await import('../anchor/kinds.ts')
  if (options.kind === 'help') {
    const kinds = anchorKinds()
    return context.answer(kinds, () => formatPairs(kinds.map(({ kind, summary }) => [kind, summary])))
  }
  const { setConfigKey } = await import('./config-file.ts')
  const { home, config } = await configOf(context)
  const { kind, every, everyEntries, optional = false } = options
  const added: AnchorConfig = {
    name,
    kind,
    ...(every !== undefined && { every }),
    ...(everyEntries !== undefined && { every_entries: everyEntries }),
    required: !optional,
    options: Object.fromEntries((options.option ?? []).map(parseOption)),
  }
  if (config.anchors.list.some((one) => one.name === name)) throw new UsageError(`there is an anchor ${name} already`)
  const { origin } = config.log
  // Its options are looked at before they are written.
  const opened = await openAnchor(added, { directory: home, origin, env: process.env, fetch, clock: Date.now })
  await opened.close?.()
  await setConfigKey(home, 'anchors.list', JSON.stringify([...config.anchors.list, added]))
  await context.answer(added, () => {
    return `added anchor ${name}, of kind ${kind}\n  next: indelible anchor now ${name}\n`
  })
}

function parseOption(text: string): [string, unknown] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new UsageError(`--option: expected key=value, found ${text}`)
  const value = text.slice(equals + 1)
  try {
    return [text.slice(0, equals), JSON.parse(value)]
  } catch {
    return [text.slice(0, equals), value]
  }
}

async function remove(name: string, context: Context): Promise<void> {
  const { setConfigKey } = await import('./config-file.ts')
  const { home, config } = await configOf(context)
  const rest = config.anchors.list.filter((one) => one.name !== name)
  if (rest.length === config.anchors.list.length) throw new UsageError(`there is no anchor ${name}`)
  await setConfigKey(home, 'anchors.list', JSON.stringify(rest))
  await context.answer({ removed: name }, () => `removed anchor ${name}; its receipts stay\n`)
}

async function list(context: Context): Promise<void> {
  const { config } = await configOf(context)
  const { list: anchors, every } = config.anchors
  if (context.isJson) {
    for (const anchor of anchors) await context.out.json(anchor)
    return
  }
  if (anchors.length === 0) {
    await context.out.write('no anchors: nobody else vouches for this log. See indelible anchor add --help\n')
    return
  }
  await context.out.write(
    formatTable(anchors, [
      { title: 'name', value: (one) => one.name },
      { title: 'kind', value: (one) => one.kind },
      { title: 'every', value: (one) => scheduleText(one, every) },
      { title: 'required', value: (one) => (one.required ? 'yes' : 'no') },
      { title: 'options', value: (one) => JSON.stringify(one.options), rank: 1 },
    ]),
  )
}

function scheduleText(anchor: AnchorConfig, every: string): string {
  const entries = anchor.every_entries
  return `${anchor.every ?? every}${entries === undefined ? '' : ` or ${count(entries, 'entry', 'entries')}`}`
}

async function now(names: readonly string[], due: boolean, context: Context): Promise<void> {
  const { AnchorRunner } = await import('../anchor/runner.ts')
  const { home } = await configOf(context)
  await using runner = await AnchorRunner.open(home)
  const outcomes = await runner.run({ ...(names.length > 0 && { names }), force: !due })
  if (outcomes === null) {
    await context.answer({ busy: true }, () => 'another process is at it\n')
    return
  }
  const failed = outcomes.flatMap(({ error }) => (error ? [error.code] : []))
  const mendsItself = failed.every((code) => code === 'ERR_ANCHOR_FAILED')
  context.exitCode = failed.length === 0 ? OK : mendsItself ? COULD_NOT_TELL : FINDINGS
  if (context.isJson) {
    for (const { isNews: _, ...outcome } of outcomes) await context.out.json(outcome)
    return
  }
  const none = 'no anchors: nobody else vouches for this log. See indelible anchor add --help\n'
  await context.out.write(outcomes.map(describeOutcome).join('') || none)
}

function describeOutcome({ name, result, size, error, warnings = [] }: AnchorOutcome): string {
  const lines = warnings.map((warning) => `  ${paint('yellow', 'warning')}: ${printable(warning)}\n`).join('')
  const entries = count(size, 'entry', 'entries')
  if (result === 'anchored') return `${paint('green', 'anchored')}: ${name} vouches for ${entries}\n${lines}`
  if (result === 'waiting') return `waiting: ${name} vouches for ${entries}, and is not due\n`
  return `${paint('red', 'failed')}: ${name}: ${printable(error!.message)} (${error!.code})\n`
}

async function status(context: Context): Promise<void> {
  const { anchorStatus, behindOf } = await import('../anchor/state.ts')
  const { anchorsDirectory } = await import('../anchor/receipts.ts')
  const { readLog } = await import('./home-facts.ts')
  const { home, config } = await configOf(context)
  const seen = anchorStatus(anchorsDirectory(home, config), config.anchors)
  const found = behindOf(seen, (await readLog(home)).size)
  if (found.some(({ late }) => late)) context.exitCode = FINDINGS
  if (context.isJson) {
    for (const one of found) await context.out.json(one)
    return
  }
  const none = 'no anchors: nobody else vouches for this log. See indelible anchor add --help\n'
  await context.out.write(found.map(describeStatus).join('') || none)
}

function describeStatus(one: AnchorStatus): string {
  const mark = one.late ? paint('red', 'late') : one.error ? paint('yellow', 'failing') : paint('green', 'ok')
  const ago = one.received === null ? '' : ` ${agoText(Date.now() - Date.parse(one.received))}`
  const size = one.size === null ? 'vouched for nothing yet' : `vouched for ${one.size}${ago}, ${one.behind} behind`
  const error = one.error
    ? `  failed ${one.failures === 1 ? 'once' : `${one.failures} times in a row`}: ${printable(one.error.message)} (${one.error.code})\n`
    : ''
  const warnings = one.warnings.map((warning) => `  warning: ${printable(warning)}\n`).join('')
  return `${mark}: ${one.name} (${one.kind}) ${size}\n${error}${warnings}`
}
