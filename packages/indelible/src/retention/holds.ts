/** Legal holds: what they cover may be neither purged nor erased until they are released. */
import { randomBytes } from 'node:crypto'
import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { findRecord } from '../log/find-row.ts'
import type { Log, Receipt } from '../log/log.ts'
import type { QueryEngine } from '../query/query.ts'
import { readStatements } from '../query/statements.ts'
import type { ReadRecord } from '../record/entry.ts'
import { normalizeTime } from '../record/time.ts'

/** What a hold covers: entries for which all that is given holds. */
export interface HoldScope {
  readonly tenant?: string
  readonly run?: string
  /** A person, as in an event's `subjects`. Stands in the log as a keyed hash only. */
  readonly subject?: string
  /** May end in `.*`. */
  readonly type?: string
  /** Event times, the second exclusive. */
  readonly since?: string
  readonly until?: string
}

export interface Hold {
  readonly id: string
  /** As stated in the log; `subject` is a keyed hash, base64url. */
  readonly scope: HoldScope
  readonly matter: string | null
  readonly by: string
  readonly placed: number
  readonly released: number | null
}

export class HoldRegister {
  readonly #log: Log
  readonly #query: QueryEngine

  constructor(log: Log, query: QueryEngine) {
    this.#log = log
    this.#query = query
  }

  /** Every hold that was ever placed, in the order of the log. */
  async all(): Promise<Hold[]> {
    const holds = new Map<string, Hold>()
    for (const { index, record } of await readStatements(this.#log, this.#query, 'audit.hold.')) {
      const { hold, scope, matter, by } = record.audit ?? {}
      if (typeof hold !== 'string') continue
      const known = holds.get(hold)
      if (record.type === 'audit.hold.released') {
        if (known) holds.set(hold, { ...known, released: index })
      } else {
        const place = { id: hold, scope: (scope ?? {}) as HoldScope, by: String(by), placed: index, released: null }
        holds.set(hold, { ...place, matter: typeof matter === 'string' ? matter : null })
      }
    }
    return [...holds.values()]
  }

  async active(): Promise<Hold[]> {
    return (await this.all()).filter(({ released }) => released === null)
  }

  /**
   * @param matter reference of the case, without names: it stands in the log for good
   * @throws IndelibleError `ERR_HOLD_INVALID` for a scope that covers nothing, or a time that is none
   */
  async place(scope: HoldScope, { matter, by }: { matter?: string; by: string }): Promise<Receipt & { hold: string }> {
    const stated: Record<string, string> = {}
    for (const [key, value] of Object.entries(scope)) {
      if (value === undefined) continue
      stated[key] =
        key === 'since' || key === 'until'
          ? timeOf(key, value)
          : key === 'subject'
            ? value.trim() && toBase64Url(this.#log.subjectMac(value))
            : value
    }
    if (Object.keys(stated).length === 0) {
      throw new IndelibleError('ERR_HOLD_INVALID', 'a hold covers something: name a tenant, run, person, type or time')
    }
    const blank = Object.entries(stated).find(([, value]) => value.trim() === '')
    if (blank) throw new IndelibleError('ERR_HOLD_INVALID', `${blank[0]}: missing or blank, so it covers nothing`)
    const { since, until } = stated
    if (since !== undefined && until !== undefined && until <= since) {
      throw new IndelibleError('ERR_HOLD_INVALID', 'until is not after since: it covers nothing')
    }
    if (by.trim() === '') throw new IndelibleError('ERR_HOLD_INVALID', 'a hold is placed by somebody: missing or blank')
    const hold = `hold-${randomBytes(6).toString('hex')}`
    const audit = { hold, scope: stated, by, ...(matter !== undefined && { matter }) }
    return { ...(await this.#log.recordAudit('audit.hold.placed', audit)), hold }
  }

  /** @throws IndelibleError `ERR_HOLD_NOT_FOUND` if no such hold is active */
  async release(id: string, by: string): Promise<Receipt> {
    if (!(await this.active()).some((hold) => hold.id === id)) {
      throw new IndelibleError('ERR_HOLD_NOT_FOUND', 'no such hold is active')
    }
    return this.#log.recordAudit('audit.hold.released', { hold: id, by })
  }

  /** The first entry below `below` that a hold covers, and which hold; `null` if none does. */
  async firstHeld(below: number): Promise<{ readonly index: number; readonly hold: string } | null> {
    let first: { index: number; hold: string } | null = null
    for (const hold of await this.active()) {
      const index = await this.#firstOf(hold, first?.index ?? below)
      if (index !== null) first = { index, hold: hold.id }
    }
    return first
  }

  /**
   * Refuses to let go of entries that are held.
   * @param entries to be erased, in part or in whole
   * @throws IndelibleError `ERR_HELD` naming the hold
   */
  async assertNotHeld(entries: AsyncIterable<{ readonly index: number; readonly record: ReadRecord }>): Promise<void> {
    const holds = await this.active()
    if (holds.length === 0) return
    const persons = new Map<string, ReadonlySet<number>>()
    for (const { scope } of holds) {
      if (scope.subject === undefined || persons.has(scope.subject)) continue
      const indexes = new Set<number>()
      for await (const index of this.#entriesOf(scope.subject)) indexes.add(index)
      persons.set(scope.subject, indexes)
    }
    for await (const { index, record } of entries) {
      const held = holds.find(({ scope }) => covers(scope, index, record, persons))
      if (held)
        throw new IndelibleError('ERR_HELD', `entry ${index} is under ${held.id}: it is neither erased nor purged`)
    }
  }

  async *#entriesOf(subject: string): AsyncGenerator<number> {
    for await (const chunk of this.#log.store.subjectEntries(fromBase64Url(subject))) yield* chunk
  }

  async #firstOf({ scope }: Hold, below: number): Promise<number | null> {
    const { subject, ...filter } = scope
    if (subject === undefined) {
      for await (const { index } of this.#query.all(filter)) return index < below ? index : null
      return null
    }
    for await (const index of this.#entriesOf(subject)) {
      if (index >= below) return null
      const record = await findRecord(this.#log.store, index)
      if (covers(scope, index, record, new Map([[subject, new Set([index])]]))) return index
    }
    return null
  }
}

function covers(
  { tenant, run, subject, type, since, until }: HoldScope,
  index: number,
  record: ReadRecord,
  persons: ReadonlyMap<string, ReadonlySet<number>>,
): boolean {
  if (tenant !== undefined && record.tenant !== tenant) return false
  if (run !== undefined && record.run?.id !== run) return false
  if (type !== undefined && !(type.endsWith('.*') ? record.type.startsWith(type.slice(0, -1)) : record.type === type))
    return false
  if (since !== undefined && record.time < since) return false
  if (until !== undefined && record.time >= until) return false
  return subject === undefined || (persons.get(subject)?.has(index) ?? false)
}

function timeOf(member: string, text: string): string {
  const time = normalizeTime(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
  if (time === null) throw new IndelibleError('ERR_HOLD_INVALID', `${member}: expected a date or a time`)
  return time
}
