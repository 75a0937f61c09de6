/** `indelible approvals`: what agents ask people for, and the answers. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Approvals, Credential, PendingApproval } from '../decision/approvals.ts'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { count, formatPairs, inline } from './output.ts'

interface CredentialFlags {
  readonly identity?: string
  readonly tokenFile?: string
}

interface DecideFlags extends CredentialFlags {
  readonly approve?: boolean
  readonly reject?: boolean
  readonly reason?: string
}

export function addApprovals(program: Command, context: Context): void {
  const approvals = program
    .command('approvals')
    .description('see and decide what agents ask people for')
    .addHelpText(
      'after',
      examples('indelible approvals list', 'indelible approvals decide ID --approve --identity alice@example.org'),
    )
  approvals
    .command('list')
    .description('what waits for a decision')
    .addHelpText('after', examples('indelible approvals list'))
    .action(() => withApprovals(context, (all) => list(all, context)))
  withCredential(approvals.command('show'))
    .description('exactly what was asked for; with an identity, that you have seen it becomes an entry')
    .argument('<id>')
    .addHelpText('after', examples('indelible approvals show 0199… --identity alice@example.org'))
    .action((id: string, flags: CredentialFlags) =>
      withApprovals(context, async (all) => {
        const credential = await credentialOf(flags)
        const pending = await all.show(id, credential ?? undefined)
        await context.answer(pending, () => pendingText(pending))
      }),
    )
  withCredential(approvals.command('decide'))
    .description('approve or reject, with your own key or token')
    .argument('<id>')
    .option('--approve', 'let it happen')
    .option('--reject', 'do not let it happen')
    .option('--reason <text>', 'why')
    .addHelpText(
      'after',
      examples('indelible approvals decide 0199… --reject --reason "wrong customer" --identity alice@example.org'),
    )
    .action((id: string, flags: DecideFlags) => withApprovals(context, (all) => decide(all, id, flags, context)))
}

function withCredential(command: Command): Command {
  return command
    .option('--identity <name>', 'sign with this key: a name, or a key file')
    .option('--token-file <file>', 'show the token in this file (default: $INDELIBLE_IDENTITY_TOKEN)')
}

async function credentialOf({ identity, tokenFile }: CredentialFlags): Promise<Credential | null> {
  if (identity !== undefined) return { signer: (await import('../keys/identities.ts')).loadIdentity(identity) }
  const token = tokenFile === undefined ? process.env.INDELIBLE_IDENTITY_TOKEN : readFileSync(tokenFile, 'utf8').trim()
  return token === undefined ? null : { token }
}

async function withApprovals(context: Context, work: (approvals: Approvals) => Promise<void>): Promise<void> {
  const { openLog } = await import('../log/home.ts')
  const { openApprovals } = await import('../decision/home-approvals.ts')
  await using log = await openLog(context.homeOption)
  await work(await openApprovals(log, context.homeOption))
}

async function list(approvals: Approvals, context: Context): Promise<void> {
  const pending = await approvals.list()
  const { answerRows } = await import('./table.ts')
  await answerRows(context, pending, 'nothing waits for a decision', [
    { title: 'id', value: ({ id }) => id },
    { title: 'tool', value: ({ request }) => request.tool, least: 12 },
    { title: 'approved by', value: ({ approvals: n, request }) => `${n} of ${request.quorum}` },
    {
      title: 'until',
      value: ({ request, isExpired }) => (isExpired ? 'expired' : request.expires.slice(0, 16).replace('T', ' ')),
      style: ({ isExpired }) => (isExpired ? 'dim' : null),
    },
    { title: 'asked by', value: ({ request }) => request.requester.join(' for '), rank: 1 },
  ])
}

function pendingText({ id, digest, request, approvals, isExpired }: PendingApproval): string {
  const pairs: [string, string][] = [
    ['tool', request.tool],
    ['arguments', inline(request.args, 4000)],
  ]
  if (JSON.stringify(request.shown) !== JSON.stringify(request.args)) pairs.push(['shown', inline(request.shown, 4000)])
  pairs.push(
    ['asked by', request.requester.join(' for ')],
    ['run', request.run ?? 'none'],
    ['approvers', `${request.approvers.join(', ')}; ${count(request.quorum, 'approval')} needed, ${approvals} given`],
    ['until', `${request.expires}${isExpired ? ' (expired)' : ''}`],
    ['digest', digest],
  )
  return `request ${id}\n${formatPairs(pairs)}`
}

async function decide(approvals: Approvals, id: string, flags: DecideFlags, context: Context): Promise<void> {
  if ((flags.approve ?? false) === (flags.reject ?? false)) throw new UsageError('expected --approve or --reject')
  const credential = await credentialOf(flags)
  if (!credential) throw new UsageError('who decides? expected --identity, or --token-file')
  const decision = flags.approve ? 'approved' : 'rejected'
  const options = flags.reason === undefined ? {} : { reason: flags.reason }
  const ruling = await approvals.decide(id, decision, credential, options)
  await context.answer({ id, decision, ruling }, () =>
    ruling ? `${decision}: the request is ${ruling.decision}\n` : `${decision}: others have yet to decide\n`,
  )
}
