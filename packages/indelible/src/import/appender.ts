/** Hands events to a log in batches of bounded count and size, and counts what became of them. */
import type { Log } from '../log/log.ts'
import type { AgentEvent } from '../record/schema.ts'
import type { MadeEvent } from './event-maker.ts'

const BATCH_EVENTS = 1000
/** About so many characters: parts wait in memory until they are committed. */
const BATCH_LENGTH = 8 * 1024 * 1024

export class Appender {
  appended = 0
  duplicates = 0
  readonly #log: Log
  readonly #signal: AbortSignal | undefined
  #batch: AgentEvent[] = []
  #length = 0
  #ofFileTime = new Set<string>()

  constructor(log: Log, signal: AbortSignal | undefined) {
    this.#log = log
    this.#signal = signal
  }

  async add({ event, isFileTime }: MadeEvent): Promise<void> {
    this.#batch.push(event)
    if (isFileTime) this.#ofFileTime.add(event.id)
    this.#length += lengthOf(event.parts)
    if (this.#batch.length >= BATCH_EVENTS || this.#length >= BATCH_LENGTH) await this.flush()
  }

  /** @throws the signal's reason if it asks to stop; the batch is not appended then */
  async flush(): Promise<void> {
    this.#signal?.throwIfAborted()
    const batch = this.#batch
    const ofFileTime = this.#ofFileTime
    this.#batch = []
    this.#ofFileTime = new Set()
    this.#length = 0
    if (batch.length === 0) return
    const isTimeFilledIn = ({ id }: AgentEvent) => ofFileTime.has(id!)
    const receipts = await this.#log.recordMany(batch, { assurance: 'imported', isTimeFilledIn })
    for (const { duplicate } of receipts) {
      if (duplicate) this.duplicates++
      else this.appended++
    }
  }
}

/** Characters of all strings in a value, about. On a list instead of the stack: nesting is the sender's to choose. */
function lengthOf(value: unknown): number {
  let length = 0
  const rest: unknown[] = [value]
  while (rest.length > 0) {
    const next = rest.pop()
    if (typeof next === 'string') length += next.length
    else if (typeof next === 'object' && next !== null) {
      length += 16
      for (const member of Object.values(next)) rest.push(member)
    } else length += 8
  }
  return length
}
