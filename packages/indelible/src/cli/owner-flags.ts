/** What the commands have in common by which people say something for the record. */
import { type Command, InvalidArgumentError } from 'commander'
import { IndelibleError } from '../errors.ts'
import type { Log, Receipt } from '../log/log.ts'
import type { Context } from './context.ts'

export function addOwner(command: Command): Command {
  return command
    .option('--owner <name>', 'who says so (default: $INDELIBLE_OWNER, else $AUDIT_OWNER)')
    .option('--tenant <id>', 'tenant')
}

/** The owner of the flags, or of the environment; never one that nobody named. */
export function withOwner<T extends { owner?: string }>(flags: T): T {
  const owner = flags.owner ?? process.env.INDELIBLE_OWNER ?? process.env.AUDIT_OWNER
  return owner === undefined ? flags : { ...flags, owner }
}

/**
 * The schema says it as well, and knows nothing of flags.
 * @throws IndelibleError `ERR_DECISION_INVALID`
 */
export function requireOwner({ owner }: { readonly owner?: string }): void {
  if (owner !== undefined && owner.trim() !== '') return
  throw new IndelibleError('ERR_DECISION_INVALID', 'owner: missing or blank; name who decides with --owner')
}

export function parseJsonFlag(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidArgumentError('expected JSON')
  }
}

/** `name=0.93`, repeated: numbers, `true`, `false`, or texts. */
export function parseMetric(text: string, previous: Record<string, unknown> = {}): Record<string, unknown> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('expected NAME=VALUE')
  const value = text.slice(equals + 1)
  const parsed =
    value === 'true'
      ? true
      : value === 'false'
        ? false
        : value !== '' && !Number.isNaN(Number(value))
          ? Number(value)
          : value
  return { ...previous, [text.slice(0, equals)]: parsed }
}

/** Records, and prints the receipt. */
export async function recordWith(context: Context, what: string, work: (log: Log) => Promise<Receipt>): Promise<void> {
  const { openLog } = await import('../log/home.ts')
  await using log = await openLog(context.homeOption)
  const receipt = await work(log)
  await context.answer(receipt, () => `${what}: entry ${receipt.index}\n`)
}
