/** `indelible archive`: compresses the files of old days of a `file:` store, in place. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { count } from './output.ts'

export function addArchive(program: Command, context: Context): void {
  program
    .command('archive')
    .description('compress the files of old days of a file: store; they are read and verified as before')
    .requiredOption('--before <date>', 'compress days before this one (UTC), such as 2026-01-31', parseDate)
    .addHelpText(
      'after',
      examples('indelible archive --before 2026-01-01', 'zcat .indelible/log/audit-*.jsonl.gz | grep tool.end'),
    )
    .action((options: { before: string }) => archive(options, context))
}

function parseDate(text: string): string {
  const isDate = /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text))
  if (!isDate) throw new UsageError(`--before: expected a date such as 2026-01-31, found ${text}`)
  return text
}

async function archive({ before }: { before: string }, context: Context): Promise<void> {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const { openStoreAt } = await import('../store/stores.ts')
  const { FileStore } = await import('../store/file.ts')
  const home = resolveHome(context.home)
  const { origin, store: url } = loadConfig(home).log
  const store = await openStoreAt(url, { home, origin })
  try {
    if (!(store instanceof FileStore)) throw new UsageError('only a file: store has files of days')
    const files = await store.archive(before)
    const text = files.map((file) => `  ${file}.gz\n`).join('')
    await context.answer({ files }, () => `compressed ${count(files.length, 'file', 'files')}\n${text}`)
  } finally {
    await store.close()
  }
}
