/** Says in the log that parts are read, before they are shown, if the configuration asks for it. */
import { userInfo } from 'node:os'
import type { ReadFacts } from '../log/reads.ts'
import type { Context } from './context.ts'

/** An entry and the parts of it that are shown. */
export interface ReadEntry {
  readonly index: number
  readonly parts: readonly string[]
}

/**
 * One entry for all of `read`. Nothing is recorded of entries without values.
 * @throws IndelibleError as `openLog` and `Log.record`: what cannot be recorded is not shown
 */
export async function recordReads(
  context: Context,
  command: string,
  read: readonly ReadEntry[],
  format?: string,
): Promise<void> {
  const shown = read.filter(({ parts }) => parts.length > 0)
  if (shown.length === 0) return
  const indexes = shown.map(({ index }) => index)
  await recordRead(context, {
    command,
    entries: shown.length,
    first: indexes.reduce((a, b) => Math.min(a, b)),
    last: indexes.reduce((a, b) => Math.max(a, b)),
    parts: shown.flatMap(({ parts }) => parts),
    ...(format !== undefined && { format }),
  })
}

/** Whether reading is recorded in this home. */
export async function areReadsRecorded(context: Context): Promise<boolean> {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  return loadConfig(resolveHome(context.home)).audit.reads
}

async function recordRead(context: Context, facts: ReadFacts): Promise<void> {
  if (!(await areReadsRecorded(context))) return
  const { openLog } = await import('../log/home.ts')
  const log = await openLog(context.homeOption)
  const by = account()
  await log.recordRead({ ...facts, ...(by !== undefined && { by }) }).finally(() => log.close())
}

/** The account of the operating system; some containers have none. */
function account(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
