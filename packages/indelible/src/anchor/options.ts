/** Options of an anchor, as a configuration or a trust file has them. */
import type { z } from 'zod'
import type { IndelibleError } from '../errors.ts'
import { quote } from '../note/text.ts'

/** Throws what `fail` makes of the first thing that is wrong, naming it. */
export function parseOptions<T>(schema: z.ZodType<T>, options: unknown, fail: (message: string) => IndelibleError): T {
  const parsed = schema.safeParse(options)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const keys = issue!.code === 'unrecognized_keys' ? `: ${issue!.keys.map(quote).join(', ')}` : ''
  throw fail(`${['options', ...issue!.path].join('.')}: ${issue!.message}${keys}`)
}
