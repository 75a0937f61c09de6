/** `indelible check`: a proof or a bundle that somebody handed over, offline, without the log. Loads no store. */
import { closeSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Command } from 'commander'
import type { Trust } from '../anchor/trust.ts'
import { toBase64 } from '../bytes.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS, OK, UsageError } from './exit.ts'
import { count, formatPairs, paint, printable } from './output.ts'
import { Progress } from './progress.ts'

interface CheckOptions {
  entry?: string
  vkey?: string
  trust?: string
}

const MAX_PROOF_BYTES = 2 ** 22

export function addCheck(program: Command, context: Context): void {
  program
    .command('check')
    .description('check a proof and its entry, an evidence bundle, or a split view: offline, without the log')
    .argument('<file>', 'a .tlog-proof file, an .evidence.zip, or the evidence of a split view')
    .option('--entry <file>', 'the entry that the proof is of')
    .option('--vkey <file|vkey>', "the log's vkey, got from its operator and not with the proof")
    .option('--trust <file>', 'instead of a vkey: a C2SP policy, or a trust file, of your own')
    .addHelpText(
      'after',
      examples(
        'indelible check entry-12.tlog-proof --entry entry-12.json --vkey log.vkey',
        'indelible check run-42.evidence.zip --vkey log.vkey',
        'indelible check entry-12.tlog-proof --entry entry-12.json --trust log.policy',
        'indelible check split-view-40-52.json --vkey log.vkey',
      ),
    )
    .action((file: string, options: CheckOptions) => check(file, options, context))
}

async function check(file: string, options: CheckOptions, context: Context): Promise<void> {
  const trust = await readPolicy(options)
  if (options.entry !== undefined) return checkEntry(file, options.entry, trust, context)
  const start = startOf(file)
  if (isZip(start)) return checkEvidence(file, trust, context)
  if (start.toString().startsWith('{')) return checkSplit(file, trust, context)
  throw new UsageError('a proof needs --entry, the entry that it is of; an evidence bundle is a zip archive')
}

async function readPolicy({ vkey, trust }: CheckOptions): Promise<Trust> {
  const { readTrust, readVkeys } = await import('./files.ts')
  if ((vkey === undefined) === (trust === undefined)) throw new UsageError('expected --vkey or --trust, one of them')
  if (vkey !== undefined) return readVkeys(vkey)
  return readTrust(trust!, () => {
    throw new UsageError('the policy names several logs: say which in a trust file, with "origin"')
  })
}

/** A zip archive begins with the header of its first file, an empty one with its end. */
function isZip(start: Buffer): boolean {
  return ['504b0304', '504b0506'].includes(start.toString('hex'))
}

function startOf(path: string): Buffer {
  const fd = openSync(path, 'r')
  try {
    const start = Buffer.alloc(4)
    return start.subarray(0, readSync(fd, start))
  } finally {
    closeSync(fd)
  }
}

async function checkSplit(path: string, trust: Trust, context: Context): Promise<void> {
  const { checkSplitView, parseSplitView } = await import('../verify/split-view.ts')
  const { readSmallText } = await import('./files.ts')
  const view = parseSplitView(readSmallText(path, MAX_PROOF_BYTES, 'ERR_PROOF_INVALID'))
  const { older, newer, implied } = checkSplitView(view, trust)
  // The file holds: that is bad news of the log.
  context.exitCode = FINDINGS
  const found = {
    verdict: 'split_view',
    origin: trust.origin,
    older: { size: older.size, root: toBase64(older.root) },
    newer: { size: newer.size, root: toBase64(newer.root), root_at_older_size: toBase64(implied) },
  }
  await context.answer(found, () => {
    const pairs = formatPairs([
      [`signed at ${older.size}`, `root ${found.older.root}`],
      [
        `signed at ${newer.size}`,
        `root ${found.newer.root}, of which the first ${older.size} have ${toBase64(implied)}`,
      ],
    ])
    return `${paint('red', 'split view')}: a key of ${printable(trust.origin)} signed two histories\n${pairs}`
  })
}

async function checkEvidence(path: string, trust: Trust, context: Context): Promise<void> {
  const { checkBundle } = await import('../verify/check-bundle.ts')
  const { describeBundle } = await import('./report-text.ts')
  await using file = await open(path)
  const { size } = await file.stat()
  const read = async (start: number, end: number) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start)
    return new Uint8Array(buffer.subarray(0, bytesRead))
  }
  using progress = new Progress('checked')
  const report = await checkBundle(
    { size, read },
    { ...trust, nowMs: Date.now() },
    {
      onProgress: (entries) => progress.update(entries, entries),
    },
  )
  progress[Symbol.dispose]()
  context.exitCode = report.verdict === 'verified' ? OK : FINDINGS
  await context.answer(report, () => describeBundle(report))
}

async function checkEntry(path: string, entry: string, trust: Trust, context: Context): Promise<void> {
  const { checkProof, UNWITNESSED } = await import('../verify/check-proof.ts')
  const { MAX_ENTRY_BYTES } = await import('../record/entry.ts')
  const { checkProofAnchors } = await import('../verify/proof-anchors.ts')
  const { readSmallFile, readSmallText } = await import('./files.ts')
  const { origin } = trust
  const proof = readSmallText(path, MAX_PROOF_BYTES, 'ERR_PROOF_INVALID')
  const {
    index,
    record,
    checkpoint,
    not_checked: unchecked,
  } = checkProof(proof, readSmallFile(entry, MAX_ENTRY_BYTES, 'ERR_ENTRY_INVALID'), trust)
  const { anchored, not_checked: unanchored } = await checkProofAnchors(proof, trust)
  const not_checked = [...unchecked.filter((what) => what !== UNWITNESSED), ...unanchored]
  const { size, root } = checkpoint
  const { describeRecord } = await import('./entry-text.ts')
  const { anchorText } = await import('./report-text.ts')
  await context.answer(
    { verdict: 'verified', origin, index, size, root: toBase64(root), record, anchored, not_checked },
    () => {
      const verdict = `${paint('green', 'verified')}: entry ${index} of ${printable(origin)}, in a log of ${count(size, 'entry', 'entries')}`
      const checkpointText = formatPairs([
        ['checkpoint', `size ${size}, root ${toBase64(root)}`],
        ...anchored.map((one): [string, string] => ['anchored by', anchorText(one)]),
      ])
      const open = not_checked.map((what) => `  - ${what}\n`).join('')
      return `${verdict}\n${describeRecord(record)}${checkpointText}${paint('bold', 'not checked')}\n${open}`
    },
  )
}
