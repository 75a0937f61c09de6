/** What the API's description says again and again. */
import { z } from '@hono/zod-openapi'
import { ASSURANCES, OUTCOMES } from '../record/schema.ts'
import { HttpProblem } from './problem.ts'

export const problem = z
  .object({
    type: z.literal('about:blank'),
    status: z.number().int(),
    code: z.string().openapi({ example: 'ERR_EVENT_INVALID' }),
    detail: z.string(),
    request_id: z.string(),
    ids: z.array(z.string().nullable()).optional(),
  })
  .openapi('Problem')

const DESCRIPTIONS: Readonly<Record<number, string>> = {
  400: 'the request cannot be understood',
  401: 'no key, or one that does not count',
  403: 'this key may not do that',
  404: 'there is no such thing',
  409: 'it contradicts what is there',
  413: 'too large',
  415: 'another coding or media type',
  422: 'understood, and refused; nothing was written',
  429: 'too many requests; see Retry-After',
  500: 'what is stored cannot be read or proven',
  503: 'not now; see Retry-After. Nothing was acknowledged',
}

export function problemResponses<S extends number>(...statuses: S[]) {
  const content = { 'application/problem+json': { schema: problem } }
  return Object.fromEntries(statuses.map((status) => [status, { description: DESCRIPTIONS[status]!, content }])) as {
    [K in S]: { description: string; content: { 'application/problem+json': { schema: typeof problem } } }
  }
}

/** One value, or several of which one must fit. */
export const oneOrMore = (description: string) =>
  z
    .union([z.string(), z.array(z.string())])
    .optional()
    .openapi({ description, type: 'array', items: { type: 'string' } })

/** The filters of the query model, as query parameters. */
export const filterQuery = {
  type: oneOrMore('event types; `tool.*` means all that begin so'),
  actor: oneOrMore('ids of actors'),
  on_behalf_of: oneOrMore('for whom'),
  session: oneOrMore('sessions'),
  run: oneOrMore('runs'),
  tool: oneOrMore('names of tools'),
  model: oneOrMore('names of models'),
  outcome: z.union([z.enum(OUTCOMES), z.array(z.enum(OUTCOMES))]).optional(),
  decision: oneOrMore('decisions of policies'),
  assurance: z.union([z.enum(ASSURANCES), z.array(z.enum(ASSURANCES))]).optional(),
  since: z.string().optional().openapi({ description: 'event time, inclusive: a date or RFC 3339' }),
  until: z.string().optional().openapi({ description: 'event time, exclusive' }),
  text: z
    .string()
    .max(1024)
    .optional()
    .openapi({ description: 'words that all occur in attributes or disclosed parts' }),
}

export const FILTER_KEYS = Object.keys(filterQuery)

/** A number in a path or a query. */
export const indexParam = z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)

/** What is said of parameters and bodies that do not fit. The name of an unknown one is told, so that it can be corrected. */
export function badRequest({ issues: [issue] }: z.core.$ZodError): HttpProblem {
  const where = issue!.path.map(String).join('.')
  const what =
    issue!.code === 'unrecognized_keys' ? `does not know ${issue!.keys.join(', ').slice(0, 100)}` : issue!.message
  return new HttpProblem(400, 'ERR_REQUEST_INVALID', `${where === '' ? 'request' : where}: ${what}`)
}
