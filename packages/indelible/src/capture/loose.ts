/** Values from frameworks and models, in which nothing is taken for granted. */

export type Loose = Readonly<Record<string, unknown>>

/** `value` if it can have members, else nothing that has any. */
export function loose(value: unknown): Loose {
  return typeof value === 'object' && value !== null ? (value as Loose) : {}
}

/** `value` if it is a text that says something. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
