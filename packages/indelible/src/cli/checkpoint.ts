/** `indelible checkpoint`: the latest signed note, as it is, to be kept or handed to a witness. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'

export function addCheckpoint(program: Command, context: Context): void {
  program
    .command('checkpoint')
    .description('print the latest signed checkpoint')
    .addHelpText('after', examples('indelible checkpoint > /mnt/elsewhere/checkpoint'))
    .action(() => checkpoint(context))
}

async function checkpoint(context: Context): Promise<void> {
  const { LogReader } = await import('./reader.ts')
  await using log = await LogReader.open(context.home)
  const { checkpoint: note, size } = await log.head()
  await context.answer({ origin: log.origin, size, checkpoint: note }, () => note)
}
