/** `indelible tail`: the last entries, and those that come. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { HomeQuery } from '../query/home-query.ts'
import type { QueryHit } from '../query/query.ts'
import type { LogStore } from '../store/store.ts'
import { parseIndex } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { addFilterOptions, type FilterOptions, filterOf } from './filters.ts'
import { Interrupt } from './interrupt.ts'
import { hitJson } from './list.ts'

/** How often the log is asked for new entries, ms; and how often where the store says when there are some. */
const INTERVAL_MS = 250
const TOLD_INTERVAL_MS = 1000

/** Waits until the log may have grown. */
class Growth {
  readonly #signal: AbortSignal
  readonly #end: (() => Promise<void>) | undefined
  #told = Promise.withResolvers<void>()

  constructor(store: LogStore, signal: AbortSignal) {
    this.#signal = signal
    this.#end = store.subscribe?.(() => this.#told.resolve())
  }

  async wait(): Promise<void> {
    const timer = new AbortController()
    const signal = AbortSignal.any([this.#signal, timer.signal])
    const interval = this.#end ? TOLD_INTERVAL_MS : INTERVAL_MS
    await Promise.race([sleep(interval, undefined, { signal }).catch(() => {}), this.#told.promise])
    timer.abort()
    this.#told = Promise.withResolvers()
  }

  async end(): Promise<void> {
    await this.#end?.()
  }
}

interface TailOptions extends FilterOptions {
  readonly follow?: boolean
  readonly lines: number
}

export function addTail(program: Command, context: Context): void {
  addFilterOptions(program.command('tail').description('print the last entries, and with -f those that come'))
    .option('-f, --follow', 'go on as the log grows; Ctrl-C ends')
    .option('-n, --lines <n>', 'how many of the last ones', parseIndex, 10)
    .addHelpText('after', examples('indelible tail -f', 'indelible tail -f --outcome denied --json'))
    .action((options: TailOptions) => tail(options, context))
}

async function tail({ follow, lines, ...options }: TailOptions, context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  const stop = new AbortController()
  using _ = new Interrupt(() => stop.abort())
  await using query = await openQuery(context.homeOption)
  const filter = filterOf(options)
  let from = (await query.page({}, { limit: 1 })).size
  if (lines > 0) {
    const page = await query.page(filter, { limit: Math.min(lines, 10_000) })
    from = page.size
    for (const hit of page.hits.toReversed()) await print(hit, context)
  }
  if (!follow) return
  const growth = new Growth(query.store, stop.signal)
  while (!stop.signal.aborted && !context.out.isClosed) {
    from = await printNew(query, filter, from, context)
    await growth.wait()
  }
  await growth.end()
}

async function printNew(
  query: HomeQuery,
  filter: ReturnType<typeof filterOf>,
  from: number,
  context: Context,
): Promise<number> {
  const head = await query.store.head()
  const size = head?.size ?? 0
  if (size <= from) return from
  for await (const hit of query.all(filter, from)) {
    if (hit.index >= size) break
    await print(hit, context)
  }
  return size
}

async function print(hit: QueryHit, context: Context): Promise<void> {
  if (context.isJson) return context.out.write(hitJson(hit))
  const { entryLine } = await import('./entry-table.ts')
  await context.out.write(entryLine(hit))
}
