/** `indelible approve`, `waive` and `attest`: governance decisions, from flags or asked for one by one. */
import { type Command, InvalidArgumentError } from 'commander'
import type { Receipt } from '../log/log.ts'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { parseJsonFlag, requireOwner, withOwner } from './owner-flags.ts'

/** What all three take; `decide-prompts.ts` asks for what is missing. */
export interface DecisionFlags {
  owner?: string
  rationale?: string
  statement?: string
  modelId?: string
  modelVersion?: string
  deploymentId?: string
  datasetId?: string
  datasetVersion?: string
  runId?: string
  tenant?: string
  constraints?: unknown
  references?: unknown[]
  waivedControls?: string[]
  timeBoundUntil?: string
  end?: boolean
  reject?: boolean
  meaning?: string
  printedName?: string
  subjectDigest?: string
  identity?: string
  interactive?: boolean
}

export type DecisionKind = 'approve' | 'waive' | 'attest'

export function addDecisions(program: Command, context: Context): void {
  add(program, context, 'approve', 'record that somebody approves a model, deployment, dataset or run')
    .option('--rationale <text>', 'why')
    .option('--reject', 'record that it was rejected')
    .addHelpText(
      'after',
      examples(
        'indelible approve --owner alice@example.org --rationale "evaluation passed" --model-id support-7b',
        'indelible approve --interactive',
      ),
    )
  add(program, context, 'waive', 'record that somebody sets controls aside for a time')
    .option('--rationale <text>', 'why')
    .option('--waived-controls <controls>', 'controls, as a JSON array or with commas between', parseNames)
    .option('--no-end', 'say on purpose that the waiver has no end')
    .addHelpText(
      'after',
      examples(
        'indelible waive --owner alice@example.org --rationale "no GPU for the fairness run yet" --model-id support-7b --waived-controls FAIR-2 --time-bound-until 2026-12-31',
      ),
    )
  add(program, context, 'attest', 'record what somebody vouches for')
    .option('--statement <text>', 'what')
    .addHelpText(
      'after',
      examples('indelible attest --owner bob@example.org --statement "no patient data in it" --dataset-id tickets'),
    )
}

function add(program: Command, context: Context, kind: DecisionKind, description: string): Command {
  return program
    .command(kind)
    .description(description)
    .option('--owner <name>', 'who decides (default: $INDELIBLE_OWNER, else $AUDIT_OWNER); never invented')
    .option('--model-id <id>', 'model that it is about')
    .option('--model-version <version>', 'version of the model')
    .option('--deployment-id <id>', 'deployment that it is about')
    .option('--dataset-id <id>', 'dataset that it is about')
    .option('--dataset-version <version>', 'version of the dataset')
    .option('--run-id <id>', 'run that it is about')
    .option('--tenant <id>', 'tenant')
    .option('--subject-digest <digest>', 'digest of what was decided, such as sha256:…')
    .option('--constraints <json>', 'conditions, as JSON', parseJsonFlag)
    .option('--references <list>', 'where more is written: a JSON array, or with commas between', parseList)
    .option('--time-bound-until <time>', 'until when it holds: a date, or a time')
    .option('--identity <name>', "sign it with the owner's own key: see indelible identity new")
    .option('--meaning <text>', 'what the signature means')
    .option('--printed-name <name>', 'name as printed beside the signature')
    .option('-i, --interactive', 'ask for what is missing')
    .action((flags: DecisionFlags) => decide(kind, flags, context))
}

async function decide(kind: DecisionKind, given: DecisionFlags, context: Context): Promise<void> {
  let flags: DecisionFlags = withOwner(given)
  if (given.interactive) {
    if (!process.stdin.isTTY) throw new UsageError('--interactive asks at a terminal, and stdin is none')
    const { askForDecision } = await import('./decide-prompts.ts')
    flags = await askForDecision(kind, flags, context)
  }
  requireOwner(flags)
  const { openLog } = await import('../log/home.ts')
  const decisions = await import('../decision/decisions.ts')
  const signer = flags.identity ? (await import('../keys/identities.ts')).loadIdentity(flags.identity) : null
  const options = signer ? { signer } : {}
  await using log = await openLog(context.homeOption)
  if (signer) await checkRegistered(log, signer.key, context)
  const { identity, interactive, reject, end, rationale, statement, waivedControls, ...scope } = flags
  let receipt: Receipt
  // What is missing is for the schema to say, of flags and of prompts alike.
  if (kind === 'approve') {
    const input = { ...scope, rationale, decision: reject ? 'rejected' : 'approved' }
    receipt = await decisions.recordApproval(log, input as never, options)
  } else if (kind === 'waive') {
    const input = { ...scope, rationale, waivedControls, ...(end === false && { noEnd: true }) }
    receipt = await decisions.recordWaiver(log, input as never, options)
  } else {
    receipt = await decisions.recordAttestation(log, { ...scope, statement } as never, options)
  }
  const done = { approve: reject ? 'rejected' : 'approved', waive: 'waived', attest: 'attested' }[kind]
  await context.answer(receipt, () => {
    const signed = signer ? ', signed' : ''
    return `${done} by ${flags.owner}${signed}: entry ${receipt.index}\n  show it with: indelible show ${receipt.index}\n`
  })
}

/** A key that the log does not know would make a signature that nobody can check. */
async function checkRegistered(log: import('../log/log.ts').Log, key: { name: string }, context: Context) {
  const { IdentityRegister } = await import('../decision/register.ts')
  const { openQuery } = await import('../query/home-query.ts')
  await using query = await openQuery(context.homeOption)
  await new IdentityRegister(log, query).active(key.name)
}

/** A JSON array, or texts with commas between. */
export function parseList(text: string): unknown[] {
  if (!text.trimStart().startsWith('[')) {
    return text
      .split(',')
      .map((one) => one.trim())
      .filter(Boolean)
  }
  const value = parseJsonFlag(text)
  if (!Array.isArray(value)) throw new InvalidArgumentError('expected a JSON array')
  return value
}

function parseNames(text: string, previous: string[] = []): string[] {
  const names = parseList(text)
  if (!names.every((name) => typeof name === 'string')) throw new InvalidArgumentError('expected names of controls')
  return [...previous, ...names]
}
