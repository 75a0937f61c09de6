/** `indelible verify`: the whole log, against the keys and the checkpoint that this user trusts. */
import type { Command } from 'commander'
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
}

export function addVerify(program: Command, context: Context): void {
  program
    .command('verify')
    .description('check that nothing in the log was altered, left out or cut off')
    .option('--mac-key <file>', 'mac verification key, to check the HMAC chain and its epochs')
    .option('--trust <file>', "the log's vkey, or a C2SP policy with log lines, got from elsewhere than the home")
    .option('--from <index>', 'first entry to check', parseIndex)
    .option('--to <index>', 'entry to stop before', parseIndex)
    .option('--no-pin', 'neither use nor keep the checkpoint that was accepted last')
    .addHelpText('after', examples('indelible verify', 'indelible verify --mac-key mac.key --trust log.vkey'))
    .action((options: VerifyOptions) => verify(options, context))
}

async function verify({ macKey, trust, from, to, pin }: VerifyOptions, context: Context): Promise<void> {
  const { verifyHome } = await import('../log/verify-home.ts')
  const { resolveHome } = await import('../log/home.ts')
  const { loadConfig } = await import('../config/config.ts')
  const { parseMacVerificationKey } = await import('../chain/verification-key.ts')
  const { readKeyText, readTrust } = await import('./files.ts')
  const home = resolveHome(context.home)
  using progress = new Progress('checked')
  const report = await verifyHome({
    home,
    ...(macKey !== undefined && { macKey: parseMacVerificationKey(readKeyText(macKey)) }),
    ...(trust !== undefined && { trust: readTrust(trust, () => loadConfig(home).log.origin) }),
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
  await context.answer(report, () => describeReport(report))
}
