/** `indelible status`: where a log stands. Needs no keys, changes nothing, and judges nothing: `doctor` and `verify` do. */
import type { Command } from 'commander'
import type { LogFacts } from './home-facts.ts'
import { type Context, examples } from './context.ts'
import { COULD_NOT_TELL, describeFailure } from './exit.ts'
import { count, formatPairs, paint, printable } from './output.ts'
import { agoText, bytesText } from './units.ts'

export function addStatus(program: Command, context: Context): void {
  program
    .command('status')
    .description('say where the log stands: entries, checkpoint, index, pin, writers, disk')
    .option('--line', 'in one line, for prompts and for monitoring; ends with 3 if the store cannot be read')
    .addHelpText('after', examples('indelible status', 'indelible status --line'))
    .action((options: { line?: boolean }) => status(options, context))
}

interface Status {
  readonly origin: string
  readonly home: string
  readonly store: { readonly uri: string; readonly file: string; readonly bytes: number }
  readonly entries: number
  readonly last_entry: { readonly time: string; readonly age_seconds: number }
  readonly checkpoint: { readonly size: number; readonly age_seconds: number }
  readonly epoch: { readonly log: number; readonly clock: number | null; readonly seconds: number | null }
  readonly index: Behind | { readonly error: string } | null
  /** `behind` is negative if the log has fewer entries than are remembered of it. */
  readonly pin: (Behind & { readonly directory: string }) | { readonly error: string } | null
  readonly writers: { readonly alive: number; readonly killed: number; readonly elsewhere: number }
  readonly spool: { readonly waiting: number }
  readonly disk: { readonly free_bytes: number }
}

interface Behind {
  readonly size: number
  readonly behind: number
}

async function status({ line = false }: { line?: boolean }, context: Context): Promise<void> {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home.ts')
  const home = resolveHome(context.home)
  const { origin } = loadConfig(home).log
  let found: Status
  try {
    found = await readStatus(home)
  } catch (error) {
    // One that monitoring can tell from all that a log can be asked.
    const { code, message } = describeFailure(error)
    context.exitCode = COULD_NOT_TELL
    const text = `indelible ${printable(origin)}: cannot be read: ${printable(message)} (${code})\n`
    return context.answer({ origin, home, error: { code, message } }, () => text)
  }
  await context.answer(found, () => (line ? describeLine(found) : describe(found)))
}

async function readStatus(home: string): Promise<Status> {
  const { dirname, join } = await import('node:path')
  const { loadConfig } = await import('../config/config.ts')
  const { withoutPassword } = await import('../config/sources.ts')
  const facts = await import('./home-facts.ts')
  const { indexedEntries } = await import('../query/index-state.ts')
  const { Pins } = await import('../keys/pins.ts')
  const config = loadConfig(home)
  const { origin } = config.log
  const pins = new Pins()
  // The log last: whatever is compared with it must not be ahead only because the log has grown meanwhile.
  const pin = attempt(() => pins.read(origin)?.size ?? null)
  const indexed = attempt(() => indexedEntries(join(home, 'index.db')))
  const log = await facts.readLog(home)
  const now = Date.now()
  const age = (now - Date.parse(log.head.observed)) / 1000
  const file = facts.databaseFile(home, config)
  return {
    origin,
    home,
    store: { uri: String(withoutPassword(config.log.store)), file, bytes: facts.databaseBytes(file) },
    entries: log.head.size,
    last_entry: { time: log.head.observed, age_seconds: age },
    checkpoint: { size: log.size, age_seconds: age },
    epoch: epochOf(log, log.clock && facts.epochNow(log.clock, now)),
    index: behindOf(indexed, log),
    pin: withDirectory(behindOf(pin, log), pins.directory),
    writers: facts.readWriters(home),
    spool: { waiting: facts.readSpool(home) },
    disk: { free_bytes: facts.readDisk(dirname(file)).freeBytes },
  }
}

/** What is beside the log must not keep its status from being told. */
function attempt<T>(work: () => T): T | { readonly error: string } {
  try {
    return work()
  } catch (error) {
    return { error: describeFailure(error).message }
  }
}

function behindOf(size: number | null | { error: string }, log: LogFacts): Behind | { error: string } | null {
  return typeof size === 'number' ? { size, behind: log.head.size - size } : size
}

function withDirectory<T extends Behind | { error: string } | null>(pin: T, directory: string) {
  return pin && 'size' in pin ? { ...pin, directory } : (pin as { error: string } | null)
}

function epochOf({ head, clock }: LogFacts, now: number | null): Status['epoch'] {
  return { log: head.epoch, clock: now, seconds: clock?.seconds ?? null }
}

function describeLine({ origin, entries, last_entry, checkpoint, index, pin }: Status): string {
  const facts = [
    count(entries, 'entry', 'entries'),
    `last ${agoText(last_entry.age_seconds * 1000)}`,
    `checkpoint ${checkpoint.size}`,
    behindText('index', index),
    behindText('pin', pin),
  ]
  return `indelible ${printable(origin)}: ${facts.join(', ')}\n`
}

function behindText(what: string, state: Behind | { error: string } | null): string {
  if (state === null) return `no ${what}`
  if ('error' in state) return `${what} unreadable`
  return state.behind >= 0 ? `${what} ${state.behind} behind` : `${what} ${-state.behind} ahead`
}

function describe(found: Status): string {
  const { store, last_entry: last, checkpoint, epoch, index, pin, writers, disk } = found
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
    ['index', index === null ? 'none yet: the first query makes it' : stateText(index)],
    ['pin', pin === null ? 'none: indelible verify makes it' : stateText(pin)],
    ['writers', writing.join(', ')],
    ['spool', found.spool.waiting === 0 ? 'nothing waits' : `${count(found.spool.waiting, 'file')} waiting`],
    ['disk', `${bytesText(disk.free_bytes)} free`],
  ]
  return `${paint('bold', printable(found.origin))}\n${formatPairs(pairs.map(([label, text]) => [label, printable(text)]))}`
}

function stateText(state: Exclude<Status['index'] | Status['pin'], null>): string {
  if ('error' in state) return `cannot be read: ${state.error}`
  const where = 'directory' in state ? `, in ${state.directory}` : ''
  if (state.behind < 0) return `at ${state.size}, ${-state.behind} ahead of the log: run indelible verify${where}`
  return `at ${state.size}, ${state.behind} behind${where}`
}
