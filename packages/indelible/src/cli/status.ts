/** `indelible status`: where a log stands. Needs no keys, changes nothing, and judges nothing: `doctor` and `verify` do. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'
import { COULD_NOT_TELL, describeFailure } from './exit.ts'
import { count, formatPairs, paint, printable } from './output.ts'
import type { Memory, Status } from './status-read.ts'
import { agoText, bytesText } from './units.ts'

export function addStatus(program: Command, context: Context): void {
  program
    .command('status')
    .description('say where the log stands: entries, checkpoint, index, pin, writers, disk')
    .option('--line', 'in one line, for prompts and monitoring; ends with 3 if the store cannot be read')
    .addHelpText('after', examples('indelible status', 'indelible status --line'))
    .action((options: { line?: boolean }) => status(options, context))
}

async function status({ line = false }: { line?: boolean }, context: Context): Promise<void> {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const { readStatus } = await import('./status-read.ts')
  const home = resolveHome(context.home)
  const { origin } = loadConfig(home).log
  let found: Status
  try {
    found = await readStatus(home)
  } catch (error) {
    // On stdout, and of one exit code: for a prompt or a monitor this is an answer.
    const { code, message } = describeFailure(error)
    context.exitCode = COULD_NOT_TELL
    const text = `indelible ${printable(origin)}: cannot be read: ${printable(message)} (${code})\n`
    return context.answer({ origin, home, error: { code, message } }, () => text)
  }
  await context.answer(found, () => (line ? describeLine(found) : describe(found)))
}

function describeLine({ origin, entries, last_entry, checkpoint, index, pin, anchors }: Status): string {
  const facts = [
    count(entries, 'entry', 'entries'),
    `last ${agoText(last_entry.age_seconds * 1000)}`,
    `checkpoint ${checkpoint.size}`,
    shortText('index', index),
    shortText('pin', pin),
    ...shortAnchors(anchors),
  ]
  return `indelible ${printable(origin)}: ${facts.join(', ')}\n`
}

function shortText(what: string, memory: Memory | null): string {
  if (memory === null) return `no ${what}`
  if ('error' in memory) return `${what} unreadable`
  return memory.behind >= 0 ? `${what} ${memory.behind} behind` : `${what} ${-memory.behind} ahead`
}

function describe(found: Status): string {
  const { store, last_entry: last, checkpoint, epoch, index, pin, writers, spool, disk } = found
  const ago = agoText(last.age_seconds * 1000)
  const length = epoch.seconds === null ? '' : `, of ${epoch.seconds} s each`
  const clock = epoch.clock === null || epoch.clock <= epoch.log ? '' : `; by the clock it is ${epoch.clock}`
  const writing = [`${writers.alive} alive`]
  if (writers.killed > 0) writing.push(`${writers.killed} killed`)
  if (writers.elsewhere > 0) writing.push(`${writers.elsewhere} of another host or container`)
  const pairs: [string, string][] = [
    ['home', found.home],
    ['store', `${store.uri}, ${bytesText(store.bytes)} in ${store.file}`],
    ['entries', `${found.entries}, the last of ${last.time} (${ago})`],
    ['checkpoint', `at ${checkpoint.size}, made ${ago}`],
    ['epoch', `${epoch.log}${length}${clock}`],
    ['index', index === null ? 'none yet: the first query makes it' : memoryText(index)],
    ['pin', pin === null ? 'none: indelible verify makes it' : `${memoryText(pin)}, in ${pin.directory}`],
    ['anchors', anchorsText(found.anchors)],
    ['writers', writing.join(', ')],
    ['spool', spool.waiting === 0 ? 'nothing waits' : `${count(spool.waiting, 'file')} waiting`],
    ['disk', `${bytesText(disk.free_bytes)} free`],
    ...found.warnings.map((text): [string, string] => ['warning', text]),
  ]
  const lines = formatPairs(pairs.map(([label, text]) => [label, printable(text)]))
  return `${paint('bold', printable(found.origin))}\n${lines}`
}

function memoryText(memory: Memory): string {
  if ('error' in memory) return `cannot be read: ${memory.error}`
  if (memory.behind < 0) return `at ${memory.size}, ${-memory.behind} ahead of the log: run indelible verify`
  return `at ${memory.size}, ${memory.behind} behind`
}

/** Only where there are anchors: the line is short. */
function shortAnchors(anchors: Status['anchors']): string[] {
  if ('error' in anchors) return ['anchors unreadable']
  return anchors.map(({ name, behind, late }) => `${name} ${behind} behind${late ? ' (late)' : ''}`)
}

function anchorsText(anchors: Status['anchors']): string {
  if ('error' in anchors) return `cannot be read: ${anchors.error}`
  if (anchors.length === 0) return 'none: nobody else vouches for this log'
  return shortAnchors(anchors).join(', ')
}
