/** `indelible waivers`: which controls are set aside, until when, and what was done under waivers that had ended. */
import { type Command, InvalidArgumentError } from 'commander'
import type { Waiver } from '../decision/waivers.ts'
import { parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS } from './exit.ts'
import { count } from './output.ts'

interface WaiverFlags {
  readonly soon: number
  readonly at?: number
}

export function addWaivers(program: Command, context: Context): void {
  program
    .command('waivers')
    .description('list waivers: open, without end, expiring, expired, and uses after they had ended')
    .option('--soon <days>', 'how many days before its end a waiver counts as expiring', parsePositive, 14)
    .option('--at <time>', 'as of another time', parseTimeArgument)
    .addHelpText(
      'after',
      `${examples('indelible waivers', 'indelible waivers --json')}\nExits with 1 if one was used after its end.\n`,
    )
    .action((flags: WaiverFlags) => waivers(flags, context))
}

async function waivers({ soon, at }: WaiverFlags, context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  const { listWaivers } = await import('../decision/waivers.ts')
  await using query = await openQuery(context.homeOption)
  const found = await listWaivers(query, { soonMs: soon * 86_400_000, ...(at !== undefined && { atMs: at }) })
  if (found.some((waiver) => waiver.uses_after_expiry > 0)) context.exitCode = FINDINGS
  if (context.isJson) {
    for (const waiver of found) await context.out.json(waiver)
    return
  }
  if (found.length === 0) {
    context.say('no waiver in this log')
    return
  }
  const { formatTable } = await import('./table.ts')
  const table = formatTable(found, [
    { title: 'entry', value: ({ index }) => String(index) },
    { title: 'state', value: ({ state }) => state.replace('_', '-'), style: ({ state }) => STYLES[state] },
    { title: 'until', value: ({ until }) => until?.slice(0, 16).replace('T', ' ') ?? 'no end' },
    { title: 'controls', value: ({ controls }) => controls.join(', '), least: 12 },
    { title: 'scope', value: scopeText, least: 12, rank: 2 },
    { title: 'owner', value: ({ owner }) => owner, rank: 1 },
  ])
  await context.out.write(table + found.map(usesText).join(''))
}

const STYLES = { open: 'green', open_ended: 'yellow', expiring: 'yellow', expired: 'dim' } as const

function scopeText({ scope }: Waiver): string {
  const pairs = Object.entries(scope).map(([key, value]) => `${key} ${value}`)
  return pairs.length > 0 ? pairs.join(', ') : 'everything'
}

function usesText({ index, uses_after_expiry: uses, first_uses_after_expiry: first }: Waiver): string {
  if (uses === 0) return ''
  const named = first.map((use) => `  entry ${use.index}  ${use.time}  ${use.type}${use.cites ? ', names it' : ''}\n`)
  const more = uses > first.length ? `  and ${uses - first.length} more\n` : ''
  return `\nwaiver of entry ${index} had ended, and was used after that: ${count(uses, 'time')}\n${named.join('')}${more}`
}

function parseTimeArgument(text: string): number {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new InvalidArgumentError('expected a date or a time')
  return ms
}
