/** `indelible hold`: what must stay, whatever retention and requests for erasure say. */
import type { Command } from 'commander'
import type { HoldScope } from '../retention/holds.ts'
import { type Context, examples } from './context.ts'
import { withRetention } from './retention.ts'

interface PlaceFlags extends HoldScope {
  readonly by: string
  readonly matter?: string
}

export function addHold(program: Command, context: Context): void {
  const hold = program
    .command('hold')
    .description('place, list and release legal holds: what they cover is neither purged nor erased')
    .addHelpText(
      'after',
      examples('indelible hold place --run run-42 --by counsel --matter 2026-17', 'indelible hold list'),
    )
  hold
    .command('place')
    .description('place a hold on entries for which all that is given holds')
    .option('--tenant <id>', 'entries of this tenant')
    .option('--run <id>', 'entries of this run')
    .option('--subject <id>', 'entries that concern this person; the log gets a keyed hash of the id')
    .option('--type <type>', 'entries of this type; tool.* means all that begin so')
    .option('--since <time>', 'entries from this time on')
    .option('--until <time>', 'entries before this time')
    .option('--matter <reference>', 'reference of the case, without names: it stays in the log for good')
    .requiredOption('--by <name>', 'who places it')
    .addHelpText('after', examples('indelible hold place --subject customer-7 --by counsel --matter 2026-17'))
    .action(({ by, matter, ...scope }: PlaceFlags) =>
      withRetention(context, async (retention) => {
        const receipt = await retention.placeHold(scope, { by, ...(matter !== undefined && { matter }) })
        await context.answer(receipt, () => `placed ${receipt.hold}: entry ${receipt.index}\n`)
      }),
    )
  hold
    .command('release')
    .description('release a hold')
    .argument('<hold>')
    .requiredOption('--by <name>', 'who releases it')
    .addHelpText('after', examples('indelible hold release hold-0a1b2c3d4e5f --by counsel'))
    .action((id: string, { by }: { by: string }) =>
      withRetention(context, async (retention) => {
        const receipt = await retention.holds.release(id, by)
        await context.answer(receipt, () => `released ${id}: entry ${receipt.index}\n`)
      }),
    )
  hold
    .command('list')
    .description('holds that are active')
    .option('--all', 'those that were released too')
    .addHelpText('after', examples('indelible hold list --all'))
    .action(({ all = false }: { all?: boolean }) =>
      withRetention(context, async ({ holds }) => {
        const found = all ? await holds.all() : await holds.active()
        const { answerRows } = await import('./table.ts')
        await answerRows(context, found, 'no hold is active', [
          { title: 'hold', value: ({ id }) => id },
          { title: 'covers', value: ({ scope }) => scopeText(scope), least: 16 },
          { title: 'matter', value: ({ matter }) => matter ?? '' },
          { title: 'by', value: ({ by }) => by, rank: 1 },
          { title: 'since entry', value: ({ placed }) => String(placed), rank: 2 },
          {
            title: 'state',
            value: ({ released }) => (released === null ? 'active' : `released with entry ${released}`),
          },
        ])
      }),
    )
}

function scopeText(scope: HoldScope): string {
  return Object.entries(scope)
    .map(([key, value]) => (key === 'subject' ? 'a person' : `${key} ${value}`))
    .join(', ')
}
