/** Takes events in: from a body as it was sent to the text of the answer. What it acknowledges is durable. */
import { isIndelibleError, OutcomeUnknownError } from '../errors.ts'
import type { Receipt } from '../log/log.ts'
import { parseJson } from '../record/jcs.ts'
import type { AgentEvent } from '../record/schema.ts'
import type { Principal } from './access.ts'
import { textOf } from './body.ts'
import { HttpProblem, problemOf } from './problem.ts'
import { asciiJson, ReceiptWriter } from './receipt-text.ts'
import { type Service, tenantOfPrincipal, withTenant } from './service.ts'
import type { TenantLog } from './tenants.ts'
import { type Grow, Waiting } from './waiting.ts'

/** A request with events. */
export interface Delivery {
  /** Reads the body, unpacked; called once, when there is room for it. */
  readonly body: (grow: Grow) => Promise<Uint8Array>
  readonly contentType: string | undefined
  readonly principal: Principal
  /** The tenant that the request names, if it does. */
  readonly tenant: string | undefined
  /** Whether all are to be taken, or none. */
  readonly isAtomic: boolean
}

/** One event: 201 and its receipt. Several: 200 and one result for each. */
export interface Taken {
  readonly status: 200 | 201
  /** JSON, ASCII. */
  readonly text: string
}

export type IngestParts = Pick<Service, 'config' | 'tenants' | 'metrics'>

type ItemResult = Receipt | { readonly error: { readonly code: string; readonly message: string } }

export class Ingest {
  readonly #service: IngestParts
  readonly #receipts = new ReceiptWriter()
  /** What waits for the log, of all who write. */
  readonly waiting: Waiting

  constructor(service: IngestParts) {
    this.#service = service
    this.waiting = new Waiting(() => service.config)
  }

  /** @throws HttpProblem and IndelibleError: nothing of a single event, of an atomic request or of one that cannot be read was written */
  take({ body, contentType, principal, tenant: named, isAtomic }: Delivery): Promise<Taken> {
    const { max_batch: maxBatch } = this.#service.config
    return this.waiting.hold(async (grow) => {
      const text = textOf(await body(grow))
      const events = contentType?.startsWith('application/x-ndjson') ? parseLines(text) : parseJson(text)
      const tenant = tenantOfPrincipal(principal, 'append', named)
      return await withTenant(this.#service, tenant, async (log) => {
        if (!Array.isArray(events)) return await this.#takeOne(log, events as unknown as AgentEvent)
        if (events.length > maxBatch) {
          const message = `${events.length} events, at most ${maxBatch} in one request`
          throw new HttpProblem(413, 'ERR_BODY_TOO_LARGE', message)
        }
        return await this.#takeMany(log, events as unknown as AgentEvent[], isAtomic)
      })
    })
  }

  async #takeOne({ log }: TenantLog, event: AgentEvent): Promise<Taken> {
    const receipt = await log.record(event, REPORTED)
    this.#service.metrics.count(receipt.duplicate ? 'duplicates' : 'events', {})
    return { status: 201, text: this.#receipts.text(receipt) }
  }

  async #takeMany({ log }: TenantLog, events: readonly AgentEvent[], isAtomic: boolean): Promise<Taken> {
    const results = isAtomic ? await log.recordMany(events, REPORTED) : await this.#recordEach(log, events)
    this.#count(results)
    const texts = results.map((result) => ('error' in result ? asciiJson(result) : this.#receipts.text(result)))
    return { status: 200, text: `{"results":[${texts.join(',')}]}` }
  }

  /** All of them in one commit where all are good; otherwise each by itself, in the same order, so that none is lost for another. */
  async #recordEach(log: TenantLog['log'], events: readonly AgentEvent[]): Promise<ItemResult[]> {
    const settled = await Promise.allSettled(events.map((event) => log.record(event, REPORTED)))
    const isDurable = (one: PromiseSettledResult<Receipt>) => one.status === 'fulfilled'
    try {
      refuseUnknown(settled)
      return settled.map(resultOf)
    } catch (error) {
      this.#count(settled.filter(isDurable).map(({ value }) => value))
      throw error
    }
  }

  #count(results: readonly ItemResult[]): void {
    const tally = { events: 0, duplicates: 0, refused: 0 }
    for (const result of results) tally['error' in result ? 'refused' : result.duplicate ? 'duplicates' : 'events']++
    for (const [name, n] of Object.entries(tally)) {
      if (n > 0) this.#service.metrics.count(name as keyof typeof tally, {}, n)
    }
  }
}

/** @throws what is no fault of one event: a bug of ours, or a log that takes nothing */
function resultOf(outcome: PromiseSettledResult<Receipt>): ItemResult {
  if (outcome.status === 'fulfilled') return outcome.value
  const problem = problemOf(outcome.reason)
  if (!problem || problem.status >= 500) throw outcome.reason
  return { error: { code: problem.code, message: (outcome.reason as Error).message } }
}

/** Whoever repeats the request needs the ids of all of it: also of what is durable, since this answer has no receipts. */
function refuseUnknown(settled: readonly PromiseSettledResult<Receipt>[]): void {
  const unknown = settled.find((one) => one.status === 'rejected' && one.reason instanceof OutcomeUnknownError)
  if (!unknown) return
  const ids = settled.map((one) => {
    if (one.status === 'fulfilled') return one.value.id
    return one.reason instanceof OutcomeUnknownError ? one.reason.ids[0]! : null
  })
  const { code, message } = (unknown as PromiseRejectedResult).reason as OutcomeUnknownError
  throw new HttpProblem(503, code, message, 1, ids)
}

/** What came over a network was observed by nobody here. */
const REPORTED = { assurance: 'reported' } as const

function parseLines(text: string): unknown[] {
  const events: unknown[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    try {
      events.push(parseJson(line))
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      throw new HttpProblem(400, error.code, `line ${i + 1}: ${error.message}`)
    }
  }
  return events
}
