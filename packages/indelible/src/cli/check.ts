/** `indelible check`: a proof that somebody handed over, offline, without the log. Loads no store. */
import type { Command } from 'commander'
import { toBase64 } from '../bytes.ts'
import { type Context, examples } from './context.ts'
import { count, formatPairs, paint, printable } from './output.ts'

interface CheckOptions {
  entry: string
  vkey: string
}

const MAX_PROOF_BYTES = 2 ** 22

export function addCheck(program: Command, context: Context): void {
  program
    .command('check')
    .description('check a proof and its entry against a vkey: offline, without the log')
    .argument('<proof>', 'a .tlog-proof file')
    .requiredOption('--entry <file>', 'the entry')
    .requiredOption('--vkey <file|vkey>', "the log's vkey, got from its operator and not with the proof")
    .addHelpText('after', examples('indelible check entry-12.tlog-proof --entry entry-12.json --vkey log.vkey'))
    .action((proof: string, options: CheckOptions) => check(proof, options, context))
}

async function check(proof: string, { entry, vkey }: CheckOptions, context: Context): Promise<void> {
  const { checkProof } = await import('../verify/check-proof.ts')
  const { MAX_ENTRY_BYTES } = await import('../record/entry.ts')
  const { readSmallFile, readSmallText, readVkeys } = await import('./files.ts')
  const { origin, keys } = readVkeys(vkey)
  const { index, record, checkpoint, not_checked } = checkProof(
    readSmallText(proof, MAX_PROOF_BYTES, 'ERR_PROOF_INVALID'),
    readSmallFile(entry, MAX_ENTRY_BYTES, 'ERR_ENTRY_INVALID'),
    { origin, keys },
  )
  const { size, root } = checkpoint
  const { describeRecord } = await import('./entry-text.ts')
  await context.answer({ verdict: 'verified', origin, index, size, root: toBase64(root), record, not_checked }, () => {
    const verdict = `${paint('green', 'verified')}: entry ${index} of ${printable(origin)}, in a log of ${count(size, 'entry', 'entries')}`
    const checkpointText = formatPairs([['checkpoint', `size ${size}, root ${toBase64(root)}`]])
    const open = not_checked.map((what) => `  - ${what}\n`).join('')
    return `${verdict}\n${describeRecord(record)}${checkpointText}${paint('bold', 'not checked')}\n${open}`
  })
}
