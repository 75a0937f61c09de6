/** `indelible copy`: the same log in another store. Keys, pins and the vault stay where they are. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'
import { FINDINGS, OK, UsageError } from './exit.ts'
import { Interrupt } from './interrupt.ts'
import { count, printable } from './output.ts'
import { Progress } from './progress.ts'

export function addCopy(program: Command, context: Context): void {
  program
    .command('copy')
    .description('copy the log into another store: same entries, same root, same proofs')
    .requiredOption('--to <url>', 'store to copy to, such as file:DIR or sqlite:PATH; relative to the home')
    .addHelpText(
      'after',
      `
Interrupted, it goes on where it stopped; called again later, it brings the copy up to date. To go on with the copy,
stop all writers, copy once more, and set log.store to the same URL.
${examples('indelible copy --to file:audit', 'indelible config set log.store file:audit')}`,
    )
    .action((options: { to: string }) => copy(options, context))
}

async function copy({ to }: { to: string }, context: Context): Promise<void> {
  const { loadConfig } = await import('../config/config.ts')
  const { withoutPassword } = await import('../config/sources.ts')
  const { copyLog } = await import('../log/copy-log.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const { verifyCopy } = await import('../log/verify-home.ts')
  const { createStoreAt, openStoreAt } = await import('../store/stores.ts')
  const home = resolveHome(context.home)
  const { origin, store: from } = loadConfig(home).log
  if (to === from) throw new UsageError('the log is in that store already')
  // As they are stored: what a vault has sealed stays sealed.
  const source = await openStoreAt(from, { home, origin, readOnly: true })
  try {
    const target = await createStoreAt(to, { home, origin })
    try {
      const stop = new AbortController()
      using interrupt = new Interrupt(() => stop.abort())
      using progress = new Progress('copied')
      const outcome = await copyLog(source, target, { origin, signal: stop.signal, onProgress: progress.update })
      progress[Symbol.dispose]()
      const url = String(withoutPassword(to))
      const { toBase64 } = await import('../bytes.ts')
      const answer = { origin, to: url, size: outcome.size, root: toBase64(outcome.root), copied: outcome.copied }
      if (!outcome.isComplete) {
        context.exitCode = interrupt.exitCode ?? OK
        const text = `interrupted: ${count(outcome.copied, 'entry', 'entries')} copied; run it again to go on\n`
        return await context.answer({ ...answer, verdict: 'unfinished' }, () => text)
      }
      using checked = new Progress('verified')
      const report = await verifyCopy(to, { home, onProgress: checked.update })
      checked[Symbol.dispose]()
      context.exitCode = report.verdict === 'verified' ? OK : FINDINGS
      const { describeReport } = await import('./report-text.ts')
      const text = `copied ${count(outcome.copied, 'entry', 'entries')} to ${printable(url)}, ${outcome.size} in all\n`
      await context.answer({ ...answer, verdict: report.verdict, findings: report.findings }, () => {
        return report.verdict === 'verified'
          ? `${text}  root ${answer.root}\n  the copy verifies\n`
          : text + describeReport(report)
      })
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}
