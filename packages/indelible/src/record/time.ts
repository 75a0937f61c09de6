/** RFC 3339 times. Entries hold them in UTC with `Z` and three or six digits, so that equal instants have few spellings. */
import { IndelibleError } from '../errors.ts'

const UTC = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})(\d{3})?Z$/
const ANY = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/

/** `YYYY-MM-DDTHH:MM:SS.mmmZ` of ms since 1970. */
export function formatTime(ms: number): string {
  // Many events are recorded within one millisecond.
  if (ms !== last.ms) last = { ms, text: new Date(ms).toISOString() }
  return last.text
}
let last = { ms: 0, text: '1970-01-01T00:00:00.000Z' }

/**
 * Ms since 1970 of a time as entries hold it.
 * @throws IndelibleError `ERR_ENTRY_INVALID` if it has another form or is no instant of the calendar
 */
export function parseTime(text: string): number {
  const match = UTC.exec(text)
  // Date.parse rolls 30 February over into March without a word; the round trip does not.
  const ms = match ? Date.parse(`${text.slice(0, 23)}Z`) : Number.NaN
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(text.slice(0, 23))) {
    throw new IndelibleError('ERR_ENTRY_INVALID', 'not a time of the form YYYY-MM-DDTHH:MM:SS.mmm[mmm]Z')
  }
  return ms
}

/** Whether {@link parseTime} takes `text`. */
export function isTime(text: string): boolean {
  try {
    parseTime(text)
    return true
  } catch {
    return false
  }
}

/**
 * Any RFC 3339 time as entries hold it: UTC, three digits of a second, or six where the source has more than three.
 * @returns `null` if `source` is not a time, or one of a year before 0 or after 9999
 */
export function normalizeTime(source: string): string | null {
  if (UTC.test(source) && isTime(source)) return source
  const match = ANY.exec(source)
  if (!match) return null
  const [, date, clock, fraction = '', zone] = match
  const ms = Date.parse(`${date}T${clock}.000${zone!.toUpperCase()}`)
  if (Number.isNaN(ms)) return null
  // A date that the calendar does not have: shift the instant back into the given zone and compare.
  const offset = /^[Zz]$/.test(zone!) ? 0 : Date.parse(`1970-01-01T00:00:00.000${zone}`)
  if (!new Date(ms - offset).toISOString().startsWith(`${date}T${clock}`)) return null
  const digits = fraction.length > 3 ? fraction.padEnd(6, '0').slice(0, 6) : fraction.padEnd(3, '0')
  const text = `${new Date(ms).toISOString().slice(0, 20)}${digits}Z`
  // In UTC it may lie before the year 0 or after 9999, which have no four digits.
  return isTime(text) ? text : null
}
