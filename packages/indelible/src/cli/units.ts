/** Amounts of bytes and of time, for people. */

const BYTE_UNITS = ['kB', 'MB', 'GB', 'TB', 'PB']

/** `512 bytes`, `1.2 MB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  let value = bytes / 1000
  let unit = 0
  for (; value >= 999.5 && unit < BYTE_UNITS.length - 1; unit++) value /= 1000
  return `${value.toFixed(value < 10 ? 1 : 0)} ${BYTE_UNITS[unit]}`
}

const TIME_UNITS: readonly (readonly [string, number, number])[] = [
  ['s', 1000, 120],
  ['min', 60_000, 120],
  ['h', 3_600_000, 48],
  ['days', 86_400_000, 730],
  ['years', 365 * 86_400_000, Number.POSITIVE_INFINITY],
]

/** `3 s`, `5 min`, `2 h`, `4 days`, `3 years`. */
export function durationText(ms: number): string {
  const [unit, length] = TIME_UNITS.find(([, size, most]) => ms / size < most)!
  return `${Math.floor(ms / length)} ${unit}`
}

/** `3 s ago`, or how far in the future. */
export function agoText(ms: number): string {
  return ms >= 0 ? `${durationText(ms)} ago` : `${durationText(-ms)} in the future`
}
