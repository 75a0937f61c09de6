/** What a framework hands over, looked at member by member, never trusted. */
export type Fields = Readonly<Record<string, unknown>>

/** `value`, if it has members. */
export function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

/** `value` as a list; nothing for what is none. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** `value`, if it is a text that says something. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
