/** Searching and reading: `GET /v1/audit`, entries, runs. For auditors; a reader sees his own runs. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { fromUtf8 } from '../../bytes.ts'
import type { EntryFilter } from '../../query/filter.ts'
import type { QueryHit } from '../../query/query.ts'
import { HttpProblem } from '../problem.ts'
import { FILTER_KEYS, filterQuery, indexParam, oneOrMore, problemResponses } from '../schemas.ts'
import {
  authorize,
  maySeeParts,
  recordRead,
  type ServerContext,
  type Service,
  type Variables,
  withLog,
} from '../service.ts'

const hit = z
  .object({
    index: z.number().int(),
    entry: z.any().openapi({ description: 'the entry, verbatim' }),
    proof: z.string().optional(),
  })
  .openapi('Hit')

const auditRoute = createRoute({
  method: 'get',
  path: '/v1/audit',
  operationId: 'searchEntries',
  summary: 'Search entries',
  description:
    'For auditors and administrators. The format follows Accept: JSON (default), `application/x-ndjson` or `text/csv`.',
  security: [{ bearer: [] }],
  request: {
    query: z.strictObject({
      ...filterQuery,
      limit: z.coerce.number().int().min(1).max(10_000).optional(),
      cursor: z.string().max(256).optional(),
      order: z.enum(['ascending', 'descending']).optional(),
      proofs: z.enum(['true', 'false']).optional(),
    }),
  },
  responses: {
    200: {
      description: 'one page',
      content: {
        'application/json': {
          schema: z.object({
            hits: z.array(hit),
            next: z.string().nullable(),
            previous: z.string().nullable(),
            size: z.number().int(),
          }),
        },
        'application/x-ndjson': { schema: z.string() },
        'text/csv': { schema: z.string() },
      },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const entryRoute = createRoute({
  method: 'get',
  path: '/v1/entries/{index}',
  operationId: 'readEntry',
  summary: 'Read one entry',
  security: [{ bearer: [] }],
  request: { params: z.object({ index: indexParam }) },
  responses: {
    200: {
      description: 'the entry, its disclosures as far as the key may see them, and its proof',
      content: {
        'application/json': {
          schema: z.object({
            index: z.number().int(),
            entry: z.any(),
            disclosures: z.record(z.string(), z.string()),
            proof: z.string(),
          }),
        },
      },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const run = z
  .object({
    run: z.string(),
    parent: z.string().nullable(),
    agent: z.string().nullable(),
    model: z.string().nullable(),
    start: z.string(),
    end: z.string(),
    first: z.number().int(),
    last: z.number().int(),
    entries: z.number().int(),
    tools: z.number().int(),
    errors: z.number().int(),
    denied: z.number().int(),
    outcome: z.string().nullable(),
  })
  .openapi('Run')

const runsRoute = createRoute({
  method: 'get',
  path: '/v1/runs',
  operationId: 'listRuns',
  summary: 'List runs, the latest first',
  security: [{ bearer: [] }],
  request: {
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(1000).optional(),
      before: indexParam.optional(),
    }),
  },
  responses: {
    200: { description: 'runs', content: { 'application/json': { schema: z.object({ runs: z.array(run) }) } } },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const runRoute = createRoute({
  method: 'get',
  path: '/v1/runs/{run}',
  operationId: 'readRun',
  summary: 'One run with its entries',
  security: [{ bearer: [] }],
  request: { params: z.object({ run: z.string().min(1).max(256) }) },
  responses: {
    200: {
      description: 'the run; at most 10,000 of its entries',
      content: { 'application/json': { schema: z.object({ run, hits: z.array(hit) }) } },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const traceRoute = createRoute({
  method: 'get',
  path: '/v1/runs/{run}/trace',
  operationId: 'readTrace',
  summary: 'One run as a trace: its actions, paired and in order, with the proof of what they were made from',
  security: [{ bearer: [] }],
  request: {
    params: z.object({ run: z.string().min(1).max(256) }),
    query: z.strictObject({ disclose: oneOrMore('names of parts whose values go along, for a key that may see them') }),
  },
  responses: {
    200: { description: 'trace.schema.json', content: { 'application/json': { schema: z.any() } } },
    ...problemResponses(400, 401, 403, 404, 422, 429, 500, 503),
  },
})

export function addReading(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  addTrace(app, service)
  app.openapi(auditRoute, async (c) => {
    const { limit, cursor, order, proofs } = c.req.valid('query')
    const filter = filterOf(c)
    return withLog(service, c, 'read', async (tenant) => {
      const page = await tenant.query.page(filter, {
        ...(limit !== undefined && { limit }),
        ...(cursor !== undefined && { cursor }),
        ...(order !== undefined && { order }),
        proofs: proofs === 'true',
      })
      await recordRead(tenant, c, 'audit', { filters: Object.keys(filter), entries: page.hits.length })
      const wanted = accepted(c)
      if (wanted === 'json') {
        const { next, previous, size } = page
        return c.body(
          `{"hits":[${page.hits.map(hitText).join(',')}],"next":${JSON.stringify(next)},"previous":${JSON.stringify(previous)},"size":${size}}`,
          200,
          { 'content-type': 'application/json' },
        ) as never
      }
      if (page.next !== null) c.header('indelible-next', page.next)
      if (wanted === 'ndjson') {
        return c.body(page.hits.map((one) => `${hitText(one)}\n`).join(''), 200, {
          'content-type': 'application/x-ndjson',
        }) as never
      }
      const { csvRows } = await import('../../export/csv.ts')
      return c.body(csvRows(page.hits), 200, { 'content-type': 'text/csv; charset=utf-8' }) as never
    })
  })

  app.openapi(entryRoute, async (c) => {
    const { index } = c.req.valid('param')
    return withLog(service, c, 'read', async (tenant) => {
      const { entry, disclosures } = await tenant.log.read(index)
      const { proof } = await tenant.log.prove(index)
      await recordRead(tenant, c, 'entry', { index, disclosed: maySeeParts(c) })
      const shown = maySeeParts(c) ? Object.fromEntries(disclosures) : {}
      return c.body(
        `{"index":${index},"entry":${fromUtf8(entry)},"disclosures":${JSON.stringify(shown)},"proof":${JSON.stringify(proof)}}`,
        200,
        { 'content-type': 'application/json' },
      ) as never
    })
  })

  app.openapi(runsRoute, async (c) => {
    const { limit, before } = c.req.valid('query')
    const { actor } = ownRunsOnly(c)
    return withLog(service, c, 'read_own', async (tenant) => {
      const runs = await tenant.query.runs({
        ...(limit !== undefined && { limit }),
        ...(before !== undefined && { before }),
      })
      const own = actor === null ? runs : runs.filter(({ agent }) => agent === actor)
      await recordRead(tenant, c, 'runs', { runs: own.length })
      return c.json({ runs: own }, 200)
    })
  })

  app.openapi(runRoute, async (c) => {
    const { run: name } = c.req.valid('param')
    const { actor } = ownRunsOnly(c)
    return withLog(service, c, 'read_own', async (tenant) => {
      const found = await tenant.query.run(name)
      if (!found || (actor !== null && found.agent !== actor)) {
        throw new HttpProblem(404, 'ERR_ENTRY_NOT_FOUND', 'no such run')
      }
      const { hits } = await tenant.query.page({ run: name }, { limit: 10_000, order: 'ascending' })
      await recordRead(tenant, c, 'run', { run: name, entries: hits.length })
      return c.body(`{"run":${JSON.stringify(found)},"hits":[${hits.map(hitText).join(',')}]}`, 200, {
        'content-type': 'application/json',
      }) as never
    })
  })
}

function addTrace(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  app.openapi(traceRoute, async (c) => {
    const { run: name } = c.req.valid('param')
    const disclose = c.req.queries('disclose') ?? []
    const { actor } = ownRunsOnly(c)
    if (disclose.length > 0 && !maySeeParts(c)) {
      throw new HttpProblem(403, 'ERR_FORBIDDEN', 'this key may not see parts')
    }
    return withLog(service, c, 'read_own', async (tenant) => {
      const found = await tenant.query.run(name)
      if (!found || (actor !== null && found.agent !== actor)) {
        throw new HttpProblem(404, 'ERR_ENTRY_NOT_FOUND', 'no such run')
      }
      const { trace } = await import('../../export/trace.ts')
      const { exportSourceOf } = await import('../export-source.ts')
      let text = ''
      const source = await exportSourceOf(tenant, { format: 'trace', filter: {}, run: name, disclose })
      const { entries } = await trace.write(source, (chunk) => {
        text += chunk
      })
      await recordRead(tenant, c, 'trace', { run: name, entries, parts: disclose })
      return c.body(text, 200, { 'content-type': 'application/json' }) as never
    })
  })
}

/** `null`: all runs. Of a reader: those of his own agent, and of one who has none, none. */
function ownRunsOnly(c: ServerContext): { readonly actor: string | null } {
  const principal = authorize(c, 'read_own')
  return { actor: principal.role === 'reader' ? (principal.actor ?? '') : null }
}

/** Entries stand in answers verbatim: they are canonical JSON. */
export function hitText({ index, entry, proof }: QueryHit): string {
  return `{"index":${index},"entry":${fromUtf8(entry)}${proof === undefined ? '' : `,"proof":${JSON.stringify(proof)}`}}`
}

/** The filters in a request's query; a parameter may be repeated. */
export function filterOf(c: ServerContext): EntryFilter {
  const filter: Record<string, string | string[]> = {}
  for (const key of FILTER_KEYS) {
    const values = c.req.queries(key)
    if (!values || values.length === 0) continue
    filter[key] = values.length === 1 ? values[0]! : values
  }
  return filter as EntryFilter
}

function accepted(c: ServerContext): 'json' | 'ndjson' | 'csv' {
  const accept = c.req.header('accept') ?? ''
  if (accept.includes('application/x-ndjson')) return 'ndjson'
  return accept.includes('text/csv') ? 'csv' : 'json'
}
