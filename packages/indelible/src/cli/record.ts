/**
 * `indelible record`: events from stdin, receipts to stdout.
 *
 * The lines that arrive together are recorded together, one group after the other: when a line is refused, exactly the
 * lines before it are in the log.
 */
import type { Command } from 'commander'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { AgentEvent } from '../record/schema.ts'
import { type Context, examples } from './context.ts'
import { addEventFlags, type EventFlags, eventOf } from './event-flags.ts'
import { LineError, PIPE_CLOSED } from './exit.ts'
import { Interrupt } from './interrupt.ts'
import { type Line, readLines } from './lines.ts'

/** Longest line, in bytes; what is kept of a part is at most half of it. */
const MAX_LINE_BYTES = 16 * 1024 * 1024

export function addRecord(program: Command, context: Context): void {
  addEventFlags(program.command('record'))
    .description('record events from stdin, one JSON object a line, or one from flags; print a receipt for each')
    .option('--adopt', 'go on with a home that was copied, restored or moved to this host')
    .addHelpText(
      'after',
      examples(
        `echo '{"type":"tool.end","actor":{"type":"agent","id":"bot"},"outcome":"success"}' | indelible record`,
        'indelible record < events.ndjson > receipts.ndjson',
        'indelible record --type handoff --actor agent:triage --run run-42 --part reason="asked for a person"',
      ),
    )
    .action((options: RecordOptions) => record(options, context))
}

interface RecordOptions extends EventFlags {
  readonly adopt?: boolean
}

async function record({ adopt = false, ...flags }: RecordOptions, context: Context): Promise<void> {
  const { openLog } = await import('../log/home.ts')
  const event = eventOf(flags)
  if (event !== null) {
    await using log = await openLog({ adopt, ...context.homeOption })
    await context.out.json(await log.record(event, { assurance: 'reported' }))
    return
  }
  const log = await openLog({ adopt, ...context.homeOption })
  const { stdin } = process
  using interrupt = new Interrupt(() => stdin.destroy())
  try {
    if (stdin.isTTY) context.say('waiting for events on stdin: one JSON object a line, Ctrl-D ends')
    for await (const lines of readLines(stdin, MAX_LINE_BYTES)) {
      await recordLines(log, lines, context)
      if (context.out.isClosed) {
        context.exitCode = PIPE_CLOSED
        break
      }
      if (interrupt.exitCode !== null) break
    }
  } catch (error) {
    // A stream that is destroyed while it is read says so.
    if (interrupt.exitCode === null || isRefusal(error)) throw error
  } finally {
    await log.close()
  }
  if (interrupt.exitCode !== null) context.exitCode = interrupt.exitCode
}

interface Parsed {
  readonly line: number
  readonly event: AgentEvent
}

async function recordLines(log: Log, lines: readonly Line[], context: Context): Promise<void> {
  const { parsed, refused } = await parseLines(lines)
  try {
    await recordGroup(log, parsed, context)
  } catch (error) {
    if (!isEventFault(error)) throw new LineError(parsed[0]!.line, error as Error, parsed.at(-1)!.line)
    // The group was refused as a whole: find the line.
    for (const one of parsed) {
      await recordGroup(log, [one], context).catch((cause) => {
        throw new LineError(one.line, cause)
      })
    }
  }
  if (refused) throw refused
}

async function recordGroup(log: Log, parsed: readonly Parsed[], { out }: Context): Promise<void> {
  const receipts = await log.recordMany(
    parsed.map(({ event }) => event),
    { assurance: 'reported' },
  )
  if (receipts.length > 0) await out.write(receipts.map((receipt) => `${JSON.stringify(receipt)}\n`).join(''))
}

/** The events up to the first line that is none. */
async function parseLines(lines: readonly Line[]): Promise<{ parsed: Parsed[]; refused: LineError | null }> {
  const { parseJson } = await import('../record/jcs.ts')
  const parsed: Parsed[] = []
  for (const { number, text, fault } of lines) {
    try {
      if (fault !== undefined) throw new IndelibleError('ERR_JSON_INVALID', fault)
      // Whether it is an event is the log's to say.
      if (text.trim() !== '') parsed.push({ line: number, event: parseJson(text) as unknown as AgentEvent })
    } catch (error) {
      return { parsed, refused: new LineError(number, error as Error) }
    }
  }
  return { parsed, refused: null }
}

/** Whether it is the event that is to blame, and nothing was written. */
function isEventFault(error: unknown): boolean {
  return isIndelibleError(
    error,
    'ERR_EVENT_INVALID',
    'ERR_ENTRY_TOO_LARGE',
    'ERR_ID_CONFLICT',
    'ERR_DISCLOSURE_INVALID',
  )
}

function isRefusal(error: unknown): boolean {
  return error instanceof LineError || isIndelibleError(error)
}
