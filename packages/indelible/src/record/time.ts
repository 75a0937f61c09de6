/** RFC 3339 times. Entries hold them in UTC with `Z` and three or six digits, so that equal instants have few spellings. */
import { IndelibleError } from '../errors.ts'

const UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z$/
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
  const ms = msOf(text)
  if (ms === null) {
    throw new IndelibleError('ERR_ENTRY_INVALID', 'not a time of the form YYYY-MM-DDTHH:MM:SS.mmm[mmm]Z')
  }
  return ms
}

/** By hand, because a verifier reads two times an entry: `Date.parse` and the round trip that it needs take ten times as long. */
function msOf(text: string): number | null {
  if (!UTC.test(text)) return null
  const [year, month, day] = [digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2)]
  const [hour, minute, second] = [digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2)]
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = month === 2 && isLeap ? 29 : DAYS[month]
  if (days === undefined || day < 1 || day > days || hour > 23 || minute > 59 || second > 59) return null
  // Date.UTC takes years before 100 for those of the twentieth century; 400 years are the same days again.
  const ms = Date.UTC(year + 400, month - 1, day, hour, minute, second, digits(text, 20, 3))
  return ms - MS_OF_400_YEARS
}

const DAYS = [undefined, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const MS_OF_400_YEARS = 146_097 * 86_400_000

function digits(text: string, start: number, length: number): number {
  let value = 0
  for (let i = start; i < start + length; i++) value = value * 10 + text.charCodeAt(i) - 48
  return value
}

/** Whether {@link parseTime} takes `text`. */
export function isTime(text: string): boolean {
  return msOf(text) !== null
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
