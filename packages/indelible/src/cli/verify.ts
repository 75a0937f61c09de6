/** `indelible verify`: the whole log, against the keys and the checkpoint that this user trusts. */
import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { SplitViewJson } from '../verify/split-view.ts'
import { parseIndex } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS, OK, UsageError } from './exit.ts'
import { Progress } from './progress.ts'

interface VerifyOptions {
  macKey?: string
  trust?: string
  from?: number
  to?: number
  pin: boolean
  receipts?: string[]
  evidenceOut?: string
}

export function addVerify(program: Command, context: Context): void {
  program
    .command('verify')
    .description('check that nothing in the log was altered, left out or cut off')
    .option('--mac-key <file>', 'mac verification key, to check the HMAC chain and its epochs')
    .option(
      '--trust <file>',
      "the log's vkey, a C2SP policy, or a trust file with required anchors, got from elsewhere than the home",
    )
    .option(
      '--receipts <path...>',
      'receipts that callers kept: files or folders of .tlog-proof, or JSON lines of record',
    )
    .option('--evidence-out <file>', 'where the proof of a split view goes (default: split-view-SIZE-SIZE.json)')
    .option('--from <index>', 'first entry to check', parseIndex)
    .option('--to <index>', 'entry to stop before', parseIndex)
    .option('--no-pin', 'neither use nor keep the checkpoint that was accepted last')
    .addHelpText(
      'after',
      examples(
        'indelible verify',
        'indelible verify --mac-key mac.key --trust log.vkey',
        'indelible verify --trust trust.json',
      ),
    )
    .action((options: VerifyOptions) => verify(options, context))
}

async function verify(
  { macKey, trust, from, to, pin, receipts, evidenceOut }: VerifyOptions,
  context: Context,
): Promise<void> {
  const { verifyHome } = await import('../log/verify-home.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const { loadConfig } = await import('../config/config.ts')
  const { parseMacVerificationKey } = await import('../chain/verification-key.ts')
  const { readKeptReceipts, readKeyText, readTrust } = await import('./files.ts')
  const home = resolveHome(context.home)
  using progress = new Progress('checked')
  const report = await verifyHome({
    home,
    ...(macKey !== undefined && { macKey: parseMacVerificationKey(readKeyText(macKey)) }),
    ...(trust !== undefined && { trust: await readTrust(trust, () => loadConfig(home).log.origin) }),
    ...(receipts !== undefined && { receipts: readKeptReceipts(receipts) }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(!pin && { pins: null }),
    onProgress: progress.update,
  }).catch((error) => {
    const isRange = error instanceof RangeError && error.message.startsWith('range ')
    throw isRange ? new UsageError(error.message) : error
  })
  progress[Symbol.dispose]()
  context.exitCode = report.verdict === 'verified' ? OK : FINDINGS
  const { describeReport } = await import('./report-text.ts')
  const file = report.split_view && writeSplitView(report.split_view, evidenceOut)
  if (file !== undefined) context.say(`both signed checkpoints and the proof are in ${file}: give it to others`)
  await context.answer(file === undefined ? report : { ...report, split_view_file: file }, () => describeReport(report))
}

/** Under a name of its own for each pair, so that none is lost by verifying again. */
function writeSplitView(view: SplitViewJson, out?: string): string {
  const sizeOf = (note: string) => note.split('\n', 2)[1]
  const file = out ?? `split-view-${sizeOf(view.older)}-${sizeOf(view.newer)}.json`
  writeFileSync(file, `${JSON.stringify(view, null, 2)}\n`)
  return file
}
