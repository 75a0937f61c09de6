/** `indelible erase`: parts go for good, and the log says so. */
import type { Command } from 'commander'
import type { ErasureReceipt } from '../log/erasure.ts'
import { parseIndex } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { FINDINGS, UsageError } from './exit.ts'
import { count, formatPairs, printable } from './output.ts'

interface EraseOptions {
  readonly subject?: string
  readonly wholeRuns?: boolean
  readonly index?: number
  readonly run?: string
  readonly part?: string[]
  readonly reason?: string
  readonly by?: string
  readonly approvedBy?: string[]
  readonly resume?: boolean
}

/** A receipt, and where the values may have gone before. */
interface Answer extends ErasureReceipt {
  readonly copies: readonly Copy[]
}

/** An export that the log knows of. */
interface Copy {
  readonly entry: number
  readonly time: string
  readonly format: string
  readonly by: string | null
}

const several = (value: string, all: string[] = []) => [...all, value]

export function addErase(program: Command, context: Context): void {
  program
    .command('erase')
    .description('erase parts for good: of a person, an entry or a run. Entries and proofs stay')
    .option('--subject <id>', 'everything of this person, by the id that events gave or privacy.subjects found')
    .option('--whole-runs', 'with --subject: everything of the runs that their entries belong to')
    .option('--index <n>', 'one entry', parseIndex)
    .option('--run <run>', 'the entries of a run')
    .option('--part <name>', 'only parts of this name; may be repeated', several)
    .option('--reason <code>', 'why, as a code such as gdpr-17: it stays in the log')
    .option('--by <account>', 'who has it done: it stays in the log')
    .option('--approved-by <account>', 'who else agreed; may be repeated', several)
    .option('--resume', 'go on with erasures that are pending')
    .addHelpText(
      'after',
      examples(
        'indelible erase --subject mia_li_3668 --whole-runs --reason gdpr-17 --by dpo',
        'indelible erase --index 12 --part output --reason recorded-in-error --by ops --approved-by dpo',
        'indelible erase --resume',
      ),
    )
    .action((options: EraseOptions) => erase(options, context))
}

async function erase({ resume, ...options }: EraseOptions, context: Context): Promise<void> {
  const { part, reason, by, approvedBy, ...what } = options
  if (resume && Object.keys(options).length > 0) throw new UsageError('--resume takes no other options of erase')
  if (!resume && (reason === undefined || by === undefined)) throw new UsageError('expected --reason and --by')
  const { openLog } = await import('../log/home.ts')
  const log = await openLog({ ...context.homeOption, resumeErasures: false })
  let receipts: readonly ErasureReceipt[]
  try {
    receipts = resume
      ? await log.resumeErasures()
      : [
          await log.erase({
            ...what,
            reason: reason!,
            by: by!,
            ...(part && { part }),
            ...(approvedBy && { approvedBy }),
          }),
        ]
  } finally {
    await log.close()
  }
  if (receipts.length === 0) return context.answer({ erasures: 0 }, () => 'no erasure is pending\n')
  for (const receipt of receipts) {
    if (receipt.state === 'pending') context.exitCode = FINDINGS
    const answer = { ...receipt, copies: await copiesOf(receipt, context) }
    await context.answer(answer, () => describe(answer))
  }
}

/** Exports that the log knows of, made since the first of the entries was there and before they were erased. */
async function copiesOf({ erased, recorded }: ErasureReceipt, context: Context): Promise<Copy[]> {
  const { openQuery } = await import('../query/home-query.ts')
  await using query = await openQuery(context.homeOption)
  const from = erased.reduce((first, [index]) => Math.min(first, index), Number.MAX_SAFE_INTEGER)
  const upTo = recorded[0] ?? Number.MAX_SAFE_INTEGER
  const copies: Copy[] = []
  for await (const { index, record } of query.all({ type: 'audit.exported' }, from)) {
    const { first, last, format, by } = record.audit ?? {}
    const isOther = typeof first === 'number' && typeof last === 'number' && !reaches(erased, first, last)
    if (index > upTo || isOther) continue
    copies.push({
      entry: index,
      time: record.time,
      format: String(format),
      by: typeof by === 'string' ? by : null,
    })
  }
  return copies
}

function reaches(erased: ErasureReceipt['erased'], first: number, last: number): boolean {
  return erased.some(([index]) => index >= first && index <= last)
}

function describe({ erasure, state, entries, parts, recorded, waiting, ciphertext, copies }: Answer): string {
  const what = `${count(parts, 'part')} of ${count(entries, 'entry', 'entries')}`
  const title = state === 'done' ? `erased ${what}` : `pending: ${what} are deleted, and may still be in files`
  const pairs: [string, string][] = [
    ['erasure', erasure],
    ['entries', `recorded in ${recorded.join(', ')}`],
    ...waiting.map((where): [string, string] => ['waiting', printable(where)]),
    ...ciphertext.map((where): [string, string] => ['ciphertext', printable(where)]),
    ...copies.map(({ entry, time, format, by }): [string, string] => [
      'copy',
      printable(`export as ${format} of ${time}${by === null ? '' : ` by ${by}`} (entry ${entry})`),
    ]),
  ]
  const next = state === 'done' ? '' : 'It goes on when the log is opened next, or with indelible erase --resume.\n'
  const elsewhere = 'Backups, and exports that the log was not told of, are not reached: see docs/privacy.md.\n'
  return `${title}\n${formatPairs(pairs)}${next}${elsewhere}`
}
