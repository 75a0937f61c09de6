/** Asks for a decision at a terminal: Enter takes what is offered, and what is left empty is left out. */
import { isCancel, text } from '@clack/prompts'
import type { Context } from './context.ts'
import { type DecisionFlags, type DecisionKind, parseList } from './decide.ts'
import { UsageError } from './exit.ts'

/** Where suggestions come from: the last entries of the log. */
const RECENT = 50

interface Recent {
  readonly modelId: string[]
  readonly deploymentId: string[]
  readonly datasetId: string[]
  readonly runId: string[]
}

/** @throws UsageError if somebody gave up; nothing was written */
export async function askForDecision(
  kind: DecisionKind,
  given: DecisionFlags,
  context: Context,
): Promise<DecisionFlags> {
  const recent = await recentIds(context)
  const flags: DecisionFlags = { ...given }
  flags.owner = await needed('Owner: who decides?', given.owner)
  if (kind === 'attest') {
    flags.statement = await needed('Statement: what is vouched for?', given.statement)
  } else {
    flags.rationale = await needed('Rationale: why?', given.rationale)
  }
  if (kind === 'waive') {
    const controls = await needed('Waived controls, with commas between', given.waivedControls?.join(', '))
    flags.waivedControls = parseList(controls) as string[]
  }
  for (const [key, what] of SCOPES) {
    // The last one seen is a suggestion, not an answer: Enter must not widen a scope that nobody asked for.
    const known = recent[key]
    const hint = known.length > 0 ? `seen lately: ${known.slice(0, 5).join(', ')}` : 'Enter for none'
    const value = await ask(what, { initial: given[key], placeholder: hint })
    if (value !== undefined) flags[key] = value
  }
  if (given.constraints === undefined) {
    const constraints = await asked(
      'Constraints, as JSON',
      { placeholder: '{"max_users": 100}, Enter for none' },
      JSON.parse,
    )
    if (constraints !== undefined) flags.constraints = constraints
  }
  if (given.references === undefined) {
    const references = await asked('References, with commas between', { placeholder: 'Enter for none' }, parseList)
    if (references !== undefined) flags.references = references
  }
  const placeholder = kind === 'waive' ? 'a date, or "none" for a waiver without end' : 'a date, Enter for no end'
  const until = await ask('Holds until', { initial: given.timeBoundUntil, placeholder, required: kind === 'waive' })
  if (kind === 'waive' && until === 'none') flags.end = false
  else if (until !== undefined) flags.timeBoundUntil = until
  return flags
}

const SCOPES = [
  ['modelId', 'Model'],
  ['deploymentId', 'Deployment'],
  ['datasetId', 'Dataset'],
  ['runId', 'Run'],
] as const

interface AskOptions {
  readonly initial?: string | undefined
  readonly placeholder?: string
  readonly required?: boolean
}

/** `undefined` for what was left empty. */
async function ask(
  message: string,
  options: AskOptions,
  check?: (text: string) => unknown,
): Promise<string | undefined> {
  const { initial, placeholder, required = false } = options
  const answer = await text({
    message,
    output: process.stderr,
    ...(initial !== undefined && { initialValue: initial }),
    ...(placeholder !== undefined && { placeholder }),
    validate: (given = '') => {
      if (given.trim() === '') return required ? 'this is needed' : undefined
      try {
        check?.(given)
      } catch {
        return 'cannot be read'
      }
      return undefined
    },
  })
  if (isCancel(answer)) throw new UsageError('given up: nothing was recorded')
  return answer === undefined || answer.trim() === '' ? undefined : answer.trim()
}

/** What a decision cannot be without. */
async function needed(message: string, initial: string | undefined): Promise<string> {
  return (await ask(message, { initial, required: true }))!
}

async function asked<T>(message: string, options: AskOptions, parse: (text: string) => T): Promise<T | undefined> {
  const answer = await ask(message, options, parse)
  return answer === undefined ? undefined : parse(answer)
}

async function recentIds(context: Context): Promise<Recent> {
  const { openQuery } = await import('../query/home-query.ts')
  await using query = await openQuery(context.homeOption)
  const { hits } = await query.page({}, { limit: RECENT })
  const unique = (values: (string | undefined)[]) => [...new Set(values.filter((value) => value !== undefined))]
  return {
    modelId: unique(hits.map(({ record }) => record.model?.name)),
    deploymentId: unique(hits.map(({ record }) => record.deployment?.id)),
    datasetId: unique(hits.map(({ record }) => record.dataset?.id)),
    runId: unique(hits.map(({ record }) => record.run?.id)),
  }
}
