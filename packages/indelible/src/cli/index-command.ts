/** `indelible index`: the derived index, which may be deleted at any time. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'
import { count } from './output.ts'
import { Progress } from './progress.ts'

export function addIndex(program: Command, context: Context): void {
  const index = program
    .command('index')
    .description('keep the index of queries; it is derived from the log and never evidence')
    .addHelpText('after', examples('indelible index rebuild'))
  index
    .command('rebuild')
    .description('make the index anew')
    .addHelpText('after', examples('indelible index rebuild'))
    .action(() => rebuild(context))
}

async function rebuild(context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  using progress = new Progress('indexed')
  await using query = await openQuery({ ...context.homeOption, update: false })
  const indexed = await query.rebuild({ onProgress: progress.update })
  progress[Symbol.dispose]()
  await context.answer({ indexed }, () => `indexed ${count(indexed, 'entry', 'entries')}\n`)
}
