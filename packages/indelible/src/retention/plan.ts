/** What retention asks for now: how far entries may go, and what stands in the way. Reads; changes nothing. */
import type { RetentionConfig } from '../config/retention-section.ts'
import { IndelibleError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { EntryFilter } from '../query/filter.ts'
import type { QueryEngine } from '../query/query.ts'
import { parseEntry } from '../record/entry.ts'
import { parseTime } from '../record/time.ts'
import { TILE_WIDTH } from '../tree/tile.ts'
import type { HoldRegister } from './holds.ts'

/** Something that keeps entries from `index` on from going. */
export interface Limit {
  readonly index: number
  /** `age`: too young for its class. `kept`: its class has no end. `hold`. `vouched`: nobody has vouched for more. */
  readonly code: 'age' | 'kept' | 'hold' | 'vouched' | 'end'
  readonly message: string
}

export interface RetentionPlan {
  /** Entries `[from, below)` may go. Equal: nothing. */
  readonly from: number
  readonly below: number
  readonly basis: string
  /** Everything that limits it, the first that does so first. */
  readonly limits: readonly Limit[]
  /** Entries of which some disclosures are over age, by rule. */
  readonly parts: readonly PartsPlan[]
}

/** Disclosures of entries `[0, below)` that answer the filter are over age. */
export interface PartsPlan {
  readonly filter: EntryFilter
  readonly below: number
  readonly basis: string
}

const DAY_MS = 86_400_000

/** A clock that jumped forward by more makes retention stop until a person has looked, ms. */
const SUSPICIOUS_JUMP_MS = 3_600_000
const JUMP_MEMORY_MS = 7 * DAY_MS

export interface PlanOptions {
  readonly nowMs: number
  /** Size up to which somebody else vouches for the log. */
  readonly vouched: number
  /** A person says that the clock is right although it jumped. */
  readonly trustClock?: boolean
}

function vouchedText(size: number, by: RetentionConfig['vouched_by']): string {
  const more = by === 'anchor' ? 'indelible anchor now' : 'indelible verify'
  return `the log is vouched for up to size ${size}; further with ${more}`
}

/** @throws IndelibleError `ERR_RETENTION_CLOCK` if the clock is behind the log, or jumped forward lately */
export async function planRetention(
  log: Log,
  query: QueryEngine,
  holds: HoldRegister,
  config: RetentionConfig,
  { nowMs, vouched, trustClock = false }: PlanOptions,
): Promise<RetentionPlan> {
  const head = await log.store.head()
  if (!head) return { from: 0, below: 0, basis: '', limits: [], parts: [] }
  if (!trustClock) await checkClock(query, head.observed, nowMs)
  const { minIndex: from, size } = head
  const olderThan = (days: number) => indexAt(log, from, size, nowMs - days * DAY_MS)
  const limits: Limit[] = []
  const whole = config.default
  if (whole.ceiling_days === undefined) {
    limits.push({ index: from, code: 'kept', message: 'retention.default has no ceiling_days: entries stay for good' })
  } else {
    const index = await olderThan(whole.ceiling_days)
    limits.push({ index, code: 'age', message: `entries stay ${whole.ceiling_days} days` })
  }
  for (const rule of config.rules) {
    const filter = filterOf(rule)
    const name = Object.values(filter).join(' of ')
    const start = rule.ceiling_days === undefined ? from : await olderThan(rule.ceiling_days)
    const code = rule.ceiling_days === undefined ? 'kept' : 'age'
    const message =
      rule.ceiling_days === undefined ? `${name} stays for good` : `${name} stays ${rule.ceiling_days} days`
    for await (const { index } of query.all(filter, start)) {
      limits.push({ index, code, message })
      break
    }
  }
  const held = await holds.firstHeld(size)
  if (held)
    limits.push({
      index: Math.max(held.index, from),
      code: 'hold',
      message: `entry ${held.index} is under ${held.hold}`,
    })
  limits.push({ index: vouched, code: 'vouched', message: vouchedText(vouched, config.vouched_by) })
  // What the writer goes on from is never purged.
  limits.push({ index: size - 1, code: 'end', message: 'the log ends' })
  limits.sort((a, b) => a.index - b.index)
  const below = Math.max(from, Math.floor(limits[0]!.index / TILE_WIDTH) * TILE_WIDTH)
  const parts: PartsPlan[] = []
  for (const rule of [...config.rules, whole]) {
    if (rule.parts_days === undefined) continue
    const end = await olderThan(rule.parts_days)
    if (end > below)
      parts.push({
        filter: filterOf(rule as Class),
        below: end,
        basis: rule.basis ?? `parts stay ${rule.parts_days} days`,
      })
  }
  const basis = whole.basis ?? `entries stay ${whole.ceiling_days} days`
  return { from, below, basis, limits, parts }
}

/**
 * Whether a floor keeps an entry from being erased on request.
 * @throws IndelibleError `ERR_HELD`
 */
export function assertAboveFloor(
  config: RetentionConfig,
  index: number,
  record: { readonly type: string; readonly tenant?: string | undefined; readonly observed: string },
  nowMs: number,
): void {
  const rule = config.rules.find((one) => answers(one, record)) ?? config.default
  if (rule.floor_days === undefined || nowMs - parseTime(record.observed) >= rule.floor_days * DAY_MS) return
  const message = `entry ${index} stays ${rule.floor_days} days${rule.basis ? ` (${rule.basis})` : ''}: it is not erased before`
  throw new IndelibleError('ERR_HELD', message)
}

interface Class {
  readonly tenant?: string | undefined
  readonly type?: string | undefined
}

function answers(
  { tenant, type }: Class,
  record: { readonly type: string; readonly tenant?: string | undefined },
): boolean {
  if (tenant !== undefined && tenant !== record.tenant) return false
  if (type === undefined) return true
  return type.endsWith('.*') ? record.type.startsWith(type.slice(0, -1)) : record.type === type
}

function filterOf({ tenant, type }: Class): EntryFilter {
  return { ...(tenant !== undefined && { tenant }), ...(type !== undefined && { type }) }
}

/** The first entry from `from` on that was accepted after `ms`; `size` if all are older. Accepted times never decrease. */
async function indexAt(log: Log, from: number, size: number, ms: number): Promise<number> {
  let [low, high] = [from, size]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const observed = await observedAt(log, middle)
    if (parseTime(observed) > ms) high = middle
    else low = middle + 1
  }
  return low
}

async function observedAt(log: Log, index: number): Promise<string> {
  for await (const [row] of log.store.entries(index, index + 1)) if (row) return parseEntry(row.entry).observed
  throw new IndelibleError('ERR_STORE_CORRUPT', `entry ${index} is missing: run indelible verify`)
}

/** A clock that is wrong would purge what must stay. */
async function checkClock(query: QueryEngine, observed: string, nowMs: number): Promise<void> {
  if (nowMs < parseTime(observed) - 5000) {
    throw new IndelibleError('ERR_RETENTION_CLOCK', `the clock is behind the log, whose last entry is of ${observed}`)
  }
  for await (const { index, record } of query.all({ type: 'audit.recovered' })) {
    const { kind, by_ms: byMs } = record.audit ?? {}
    const isJump = kind === 'clock_jump' && typeof byMs === 'number' && byMs > SUSPICIOUS_JUMP_MS
    if (!isJump || nowMs - parseTime(record.observed) > JUMP_MEMORY_MS) continue
    const message = `the clock jumped forward before entry ${index}: make sure that it is right, then say so`
    throw new IndelibleError('ERR_RETENTION_CLOCK', message)
  }
}
