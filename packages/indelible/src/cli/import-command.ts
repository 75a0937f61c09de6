/** `indelible import`: what other systems have recorded. */
import { type Command, Option } from 'commander'
import type { ImportSummary } from '../import/import.ts'
import type { Mode } from '../record/event.ts'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { Interrupt } from './interrupt.ts'
import { count, printable } from './output.ts'
import { Progress } from './progress.ts'

interface ImportCommandOptions {
  readonly from: string
  readonly capture?: string
  readonly skipBad?: boolean
  readonly acceptBroken?: boolean
  readonly adopt?: boolean
}

const FORMATS = ['chat', 'claude-code', 'selectools', 'llm-audit-trail', 'events']

export function addImport(program: Command, context: Context): void {
  program
    .command('import')
    .description('take over what other systems have recorded; importing a file twice adds nothing')
    .argument('<file...>', 'files, also gzipped')
    .addOption(new Option('--from <format>', 'what they are').choices(FORMATS).makeOptionMandatory())
    .option('--capture <mode>', 'what is kept of texts: none, fingerprint, keys, preview, full')
    .option('--skip-bad', 'leave malformed lines out, and record that as a gap')
    .option('--accept-broken', 'import although the chain of the file itself does not hold')
    .option('--adopt', 'go on with a home that was copied, restored or moved to this host')
    .addHelpText(
      'after',
      examples(
        'indelible import --from chat runs.jsonl',
        'indelible import --from llm-audit-trail --capture full audit.jsonl.gz',
      ),
    )
    .action((files: string[], options: ImportCommandOptions) => importFiles(files, options, context))
}

async function importFiles(
  files: readonly string[],
  { adopt = false, capture, ...options }: ImportCommandOptions,
  context: Context,
): Promise<void> {
  const { openLog } = await import('../log/home.ts')
  const { importFile } = await import('../import/import.ts')
  const mode = capture === undefined ? undefined : await modeNamed(capture)
  const stop = new AbortController()
  await using log = await openLog({ ...context.homeOption, adopt, ...(mode && { capture: mode }) })
  using interrupt = new Interrupt(() => stop.abort())
  for (const file of files) {
    using progress = new Progress('read')
    const summary = await importFile(log, file, { ...options, signal: stop.signal, onProgress: progress.update })
    progress[Symbol.dispose]()
    await context.answer({ file, ...summary }, () => describe(file, summary))
    if (interrupt.exitCode !== null) {
      context.exitCode = interrupt.exitCode
      context.say('interrupted: import again for the rest')
      return
    }
  }
}

/** A mode by our name or another system's. */
async function modeNamed(name: string): Promise<Mode> {
  const { parseMode } = await import('../privacy/modes.ts')
  const mode = parseMode(name)
  if (mode === null) throw new UsageError('--capture: expected none, fingerprint, keys, preview or full')
  return mode
}

function describe(file: string, summary: ImportSummary): string {
  const { appended, duplicates, runs, skipped, chain, touched } = summary
  const facts = [
    `${count(appended, 'entry', 'entries')} added`,
    duplicates > 0 ? `${count(duplicates, 'event')} in the log before` : '',
    runs > 0 ? count(runs, 'run') : '',
    skipped > 0 ? `${count(skipped, 'malformed line')} left out` : '',
    chain ? `its own chain ${chain.verified ? 'holds' : 'does not hold'}` : '',
    touched ? 'it was written to meanwhile: what is imported is what it was before' : '',
  ]
  return `${printable(file)}: ${facts.filter((fact) => fact !== '').join('; ')}\n`
}
