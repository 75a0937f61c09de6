/** `indelible check`: a proof or a bundle that somebody handed over, offline, without the log. Loads no store. */
import { closeSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Command } from 'commander'
import { toBase64 } from '../bytes.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS, OK, UsageError } from './exit.ts'
import { count, formatPairs, paint, printable } from './output.ts'
import { Progress } from './progress.ts'

interface CheckOptions {
  entry?: string
  vkey: string
}

const MAX_PROOF_BYTES = 2 ** 22

export function addCheck(program: Command, context: Context): void {
  program
    .command('check')
    .description('check a proof and its entry, or an evidence bundle, against a vkey: offline, without the log')
    .argument('<file>', 'a .tlog-proof file, or an .evidence.zip')
    .option('--entry <file>', 'the entry that the proof is of')
    .requiredOption('--vkey <file|vkey>', "the log's vkey, got from its operator and not with the proof")
    .addHelpText(
      'after',
      examples(
        'indelible check entry-12.tlog-proof --entry entry-12.json --vkey log.vkey',
        'indelible check run-42.evidence.zip --vkey log.vkey',
      ),
    )
    .action((file: string, options: CheckOptions) => check(file, options, context))
}

async function check(file: string, { entry, vkey }: CheckOptions, context: Context): Promise<void> {
  if (entry !== undefined) return checkEntry(file, entry, vkey, context)
  if (!isZip(file))
    throw new UsageError('a proof needs --entry, the entry that it is of; an evidence bundle is a zip archive')
  await checkEvidence(file, vkey, context)
}

/** A zip archive begins with the header of its first file, an empty one with its end. */
function isZip(path: string): boolean {
  const fd = openSync(path, 'r')
  try {
    const start = Buffer.alloc(4)
    return readSync(fd, start) === 4 && ['504b0304', '504b0506'].includes(start.toString('hex'))
  } finally {
    closeSync(fd)
  }
}

async function checkEvidence(path: string, vkey: string, context: Context): Promise<void> {
  const { checkBundle } = await import('../verify/check-bundle.ts')
  const { readVkeys } = await import('./files.ts')
  const { describeBundle } = await import('./report-text.ts')
  await using file = await open(path)
  const { size } = await file.stat()
  const read = async (start: number, end: number) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start)
    return new Uint8Array(buffer.subarray(0, bytesRead))
  }
  using progress = new Progress('checked')
  const report = await checkBundle({ size, read }, readVkeys(vkey), {
    onProgress: (entries) => progress.update(entries, entries),
  })
  progress[Symbol.dispose]()
  context.exitCode = report.verdict === 'verified' ? OK : FINDINGS
  await context.answer(report, () => describeBundle(report))
}

async function checkEntry(proof: string, entry: string, vkey: string, context: Context): Promise<void> {
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
