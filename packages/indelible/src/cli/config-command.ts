/** `indelible config`: what is in force and where it comes from, and changing `config.json`. */
import type { Command } from 'commander'
import type { ConfigValue } from '../config/sources.ts'
import { type Context, examples } from './context.ts'
import { inline, paint, printable } from './output.ts'
import { formatTable } from './table.ts'

export function addConfig(program: Command, context: Context): void {
  const config = program
    .command('config')
    .description('print the configuration and where each value comes from, or change it')
    .argument('[key]', 'one key, or one section')
    .addHelpText(
      'after',
      examples('indelible config', 'indelible config privacy --json', 'indelible config set privacy.mode full'),
    )
    .action((key: string | undefined) => show(key, context))
  config
    .command('set')
    .description('write one key to config.json')
    .argument('<key>', 'as printed by indelible config; privacy.parts.NAME for one part')
    .argument('<value>', 'JSON, or text')
    .addHelpText(
      'after',
      examples('indelible config set privacy.parts.output full', 'indelible config set log.max_batch 500'),
    )
    .action((key: string, value: string) => set(key, value, context))
  config
    .command('unset')
    .description('take one key out of config.json, so that its default counts')
    .argument('<key>', 'which one; may be unknown')
    .addHelpText('after', examples('indelible config unset privacy.mode'))
    .action((key: string) => unset(key, context))
}

/** The home is no key, but it is where all else comes from. */
type Shown = Omit<ConfigValue, 'source'> & { readonly source: ConfigValue['source'] | 'flag' }

async function show(key: string | undefined, context: Context): Promise<void> {
  const { resolveHome } = await import('../log/home-paths.ts')
  const { configValues, unknownKey, withoutPassword } = await import('../config/sources.ts')
  const { IndelibleError } = await import('../errors.ts')
  const home = resolveHome(context.home)
  const values: readonly Shown[] = [homeValue(home, context), ...configValues(home)]
  const chosen = values.filter((one) => key === undefined || one.key === key || one.key.startsWith(`${key}.`))
  if (chosen.length === 0) throw new IndelibleError('ERR_CONFIG_INVALID', unknownKey(key!))
  const shown = chosen.map((one) => ({ ...one, value: withoutPassword(one.value) }))
  if (context.isJson) {
    for (const { key, value, source, variable } of shown) await context.out.json({ key, value, source, variable })
    return
  }
  await context.out.write(
    formatTable(shown, [
      { title: 'key', value: (one) => one.key },
      { title: 'value', value: (one) => valueText(one.value), style: ({ value }) => (value === null ? 'dim' : null) },
      { title: 'source', value: sourceText, style: ({ source }) => (source === 'default' ? 'dim' : null) },
    ]),
  )
}

function homeValue(home: string, context: Context): Shown {
  if (context.home !== undefined) return { key: 'home', value: home, source: 'flag' }
  if (process.env.INDELIBLE_HOME === undefined) return { key: 'home', value: home, source: 'default' }
  return { key: 'home', value: home, source: 'environment', variable: 'INDELIBLE_HOME' }
}

function sourceText({ source, variable }: Shown): string {
  if (source === 'flag') return 'flag --home'
  return variable === undefined ? source : `environment ${variable}`
}

function valueText(value: unknown): string {
  return value === null ? 'not set' : inline(value)
}

async function set(key: string, text: string, context: Context): Promise<void> {
  const { resolveHome } = await import('../log/home-paths.ts')
  const { setConfigKey } = await import('./config-file.ts')
  const home = resolveHome(context.home)
  await answer('set', home, key, await setConfigKey(home, key, text), context)
}

async function unset(key: string, context: Context): Promise<void> {
  const { resolveHome } = await import('../log/home-paths.ts')
  const { unsetConfigKey } = await import('./config-file.ts')
  const home = resolveHome(context.home)
  await answer('unset', home, key, await unsetConfigKey(home, key), context)
}

type Edit = import('./config-file.ts').ConfigEdit

async function answer(verb: 'set' | 'unset', home: string, key: string, edit: Edit, context: Context): Promise<void> {
  const { readConfigLayers } = await import('../config/config.ts')
  const { splitKey, withoutPassword } = await import('../config/sources.ts')
  const { path, fault } = edit
  const warnings = await warningsOf(home, key)
  const [before, value] = [withoutPassword(edit.before), withoutPassword(edit.after)]
  const changed = JSON.stringify(before) !== JSON.stringify(value)
  const overriddenBy = readConfigLayers(home).variables.get(splitKey(key).slice(0, 2).join('.'))
  const said = { key, value, before, path, changed, overridden_by: overriddenBy, fault: fault ?? undefined }
  const told = warnings.length > 0 ? { ...said, warnings: warnings.map(({ message }) => message) } : said
  await context.answer(told, () => {
    const what = printable(key)
    const byDefault = value === null ? '' : `: ${valueText(value)} by default`
    const done = edit.wasInFile ? `${what} is out of ${path}${byDefault}` : `${what} was not in ${path}${byDefault}`
    const lines = [paint('bold', verb === 'set' ? `${what} is ${valueText(value)} in ${path}` : done)]
    lines.push(changed ? `  before: ${valueText(before)}` : `  nothing changes: it was ${valueText(before)} before`)
    if (overriddenBy !== undefined) lines.push(`  here ${overriddenBy} counts: a variable goes before config.json`)
    else if (changed) lines.push(...NEXT)
    for (const { message } of warnings) lines.push(`  warning: ${message}`)
    if (fault !== null) lines.push(`  still wrong: ${printable(fault)}`)
    return `${lines.join('\n')}\n`
  })
}

/** Whether what was just set is weaker than it may look. */
async function warningsOf(home: string, key: string): Promise<readonly { readonly message: string }[]> {
  const { loadConfig } = await import('../config/config.ts')
  const { privacyWarnings } = await import('../config/privacy-warnings.ts')
  try {
    return privacyWarnings(loadConfig(home)).filter((warning) => warning.key === key)
  } catch {
    return [] // what is wrong with the file is said as its fault
  }
}

const NEXT = [
  '  next: it counts for whoever opens the log from now on; what has the log open keeps the old value until then',
  '  the first of them states the change in the log, as audit.config.changed',
]
