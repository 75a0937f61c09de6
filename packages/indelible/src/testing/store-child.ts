/** Run by `store-processes.ts` as a process of its own: appends to a log until it is done, or killed. */
import type { LogStore } from '../store/store.ts'
import { BatchWriter, numbered } from './batches.ts'
import type { StoreModule } from './store-kit.ts'

/** The child's one argument, as JSON. */
export interface ChildJob {
  readonly store: StoreModule
  /** Of the series that it appends. */
  readonly label: string
  readonly batchSize: number
  /** Entries to append; `null` for no end. */
  readonly count: number | null
  /** Whether to stop for good under the lock of the first append. */
  readonly hold?: boolean
  /** Whether to seal before the lock is had, where the store takes that. */
  readonly ahead?: boolean
}

const job: ChildJob = JSON.parse(process.argv[2]!)
const module: Record<string, (...args: readonly unknown[]) => LogStore | Promise<LogStore>> = await import(
  String(job.store.module)
)
// A parent that dies closes the pipe: nobody is left to kill this process then.
process.stdin.on('end', () => process.exit(1))
say('ready')
await new Promise((resolve) => process.stdin.once('data', resolve))

const store = await module[job.store.open]!(...job.store.args)
const writer = new BatchWriter(store)
for (let start = 0; job.count === null || start < job.count; start += job.batchSize) {
  const specs = numbered(job.label, job.batchSize, { start, payload: true })
  if (job.ahead) await writer.appendAhead(specs)
  else await writer.append(specs, { underLock: () => (job.hold ? stop() : undefined) })
  say(`kept ${start + job.batchSize}`)
}
await store.close()
process.exit(0)

function stop(): Promise<never> {
  say('locked')
  return new Promise(() => {})
}

/** Writes to a pipe are synchronous: what was said before a kill arrives. */
function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
