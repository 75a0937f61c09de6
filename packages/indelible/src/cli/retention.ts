/** `indelible retention`: what may go by the rules, and letting it go. */
import { readFileSync, writeFileSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import type { Limit, RetentionPlan } from '../retention/plan.ts'
import type { Retention, RetentionRun } from '../retention/retention.ts'
import { parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { count, formatPairs, paint } from './output.ts'
import { Progress } from './progress.ts'

interface RunFlags {
  readonly by: string
  readonly below?: number
  readonly clockIsRight?: boolean
  readonly approval?: string[]
  readonly dryRun?: boolean
}

interface ApproveFlags extends RunFlags {
  readonly identity: string
  readonly out?: string
}

export function addRetention(program: Command, context: Context): void {
  const retention = program
    .command('retention')
    .description('purge by the rules of the configuration: proofs stay, and verify tells a purge from a loss')
    .addHelpText(
      'after',
      examples(
        'indelible config set retention.default \'{"ceiling_days": 365}\'',
        'indelible retention plan',
        'indelible retention run --by operations',
      ),
    )
  retention
    .command('plan')
    .description('what would go now, and what stands in the way; changes nothing')
    .option('--clock-is-right', 'go on although the clock jumped forward lately')
    .addHelpText('after', examples('indelible retention plan'))
    .action(({ clockIsRight = false }: { clockIsRight?: boolean }) =>
      withRetention(context, async (all) => {
        const plan = await all.plan({ trustClock: clockIsRight })
        await context.answer(plan, () => planText(plan))
      }),
    )
  withRunFlags(retention.command('run'))
    .description('purge and erase what is over age')
    .option('--approval <file>', 'signature of an approver; may be repeated', addTo)
    .option('--dry-run', 'say what would be done')
    .addHelpText('after', examples('indelible retention run --by operations'))
    .action((flags: RunFlags) => withRetention(context, (all) => run(all, flags, context)))
  withRunFlags(retention.command('approve'))
    .description('sign the purge that the rules allow now; nothing is purged')
    .requiredOption('--identity <name>', 'key of the approver')
    .option('--out <file>', 'write the signature there')
    .addHelpText(
      'after',
      examples('indelible retention approve --by operations --identity alice@example.org --out alice.approval'),
    )
    .action((flags: ApproveFlags) => withRetention(context, (all) => approve(all, flags, context)))
  retention
    .command('status')
    .description('rules, purges so far, and holds')
    .addHelpText('after', examples('indelible retention status'))
    .action(() => withRetention(context, (all) => status(all, context)))
}

function withRunFlags(command: Command): Command {
  return command
    .requiredOption('--by <name>', 'who authorises it: stands in the log')
    .option('--below <index>', 'purge less than the rules allow: a multiple of 256', parseEdge)
    .option('--clock-is-right', 'go on although the clock jumped forward lately')
}

export async function withRetention(context: Context, work: (retention: Retention) => Promise<void>): Promise<void> {
  const { openLog } = await import('../log/home.ts')
  const { openRetention } = await import('../retention/retention.ts')
  await using log = await openLog(context.homeOption)
  await work(await openRetention(log, context.homeOption))
}

function optionsOf({ by, below, clockIsRight = false }: RunFlags) {
  return { by, trustClock: clockIsRight, ...(below !== undefined && { below }) }
}

async function run(retention: Retention, flags: RunFlags, context: Context): Promise<void> {
  if (flags.dryRun) {
    const plan = await retention.plan(optionsOf(flags))
    await context.answer(plan, () => planText(plan))
    return
  }
  using progress = new Progress('read')
  const approvals = (flags.approval ?? []).map((file) => readFileSync(file, 'utf8'))
  const done = await retention.run({ ...optionsOf(flags), approvals, onProgress: progress.update })
  progress[Symbol.dispose]()
  await context.answer(done, () => runText(done))
}

async function approve(retention: Retention, flags: ApproveFlags, context: Context): Promise<void> {
  const { loadIdentity } = await import('../keys/identities.ts')
  const signer = loadIdentity(flags.identity)
  const text = await retention.approvalText(optionsOf(flags))
  const signature = text === null ? null : await retention.approve(optionsOf(flags), signer)
  if (text === null || signature === null) {
    context.say('nothing may go now: there is nothing to approve')
    return
  }
  if (flags.out !== undefined) writeFileSync(flags.out, signature)
  await context.answer({ text, signature, ...(flags.out !== undefined && { file: flags.out }) }, () =>
    flags.out === undefined ? signature : `approved, signed by ${signer.key.name}: ${flags.out}\n${text}`,
  )
}

async function status(retention: Retention, context: Context): Promise<void> {
  const state = await retention.status()
  await context.answer(state, () => {
    const pairs: [string, string][] = [
      ['entries', `${state.min_index} to ${state.size - 1} are here; below ${state.min_index} was purged`],
      [
        'default',
        state.rules.default.ceiling_days === undefined
          ? 'entries stay for good'
          : `entries stay ${state.rules.default.ceiling_days} days`,
      ],
      ['rules', count(state.rules.rules.length, 'rule')],
      ['schedule', state.rules.schedule ?? 'none: indelible retention run'],
      ['holds', count(state.holds, 'active hold')],
      [
        'last purge',
        state.last_purge === null
          ? 'none'
          : `below ${state.last_purge.below}, entry ${state.last_purge.entry}, by ${state.last_purge.by}`,
      ],
    ]
    return formatPairs(pairs, '')
  })
}

function planText(plan: RetentionPlan): string {
  const head =
    plan.below > plan.from
      ? `${paint('bold', count(plan.below - plan.from, 'entry', 'entries'))} may go: ${plan.from} to ${plan.below - 1}\n`
      : 'no entry may go now\n'
  const parts = plan.parts.map(({ filter, below }) => {
    const of = Object.values(filter).join(' of ') || 'all entries'
    return `disclosures of ${of} below ${below} are over age\n`
  })
  return `${head}${parts.join('')}${plan.limits.slice(0, 5).map(limitText).join('')}`
}

function limitText({ index, code, message }: Limit): string {
  return `  entry ${String(index).padEnd(9)} ${code.padEnd(8)} ${message}\n`
}

function runText({ plan, purged, purged_again: again, parts_erased: parts, pending }: RetentionRun): string {
  const lines = purged.map(
    ({ from, below, intent }) => `purged entries ${from} to ${below - 1}, as entry ${intent} says\n`,
  )
  if (again > 0) lines.push(`purged ${count(again, 'entry', 'entries')} again that had come back\n`)
  if (parts > 0) lines.push(`erased ${count(parts, 'part')} by age\n`)
  if (lines.length === 0) lines.push(planText(plan))
  if (pending.length > 0) lines.push(`may still be in: ${pending.join('; ')}. Run it again later\n`)
  return lines.join('')
}

/** Of what may be purged below. */
function parseEdge(text: string): number {
  const index = parsePositive(text)
  if (index % 256 !== 0) throw new InvalidArgumentError('expected a multiple of 256')
  return index
}

function addTo(file: string, files: string[] = []): string[] {
  if (file === '') throw new InvalidArgumentError('expected a file')
  return [...files, file]
}
