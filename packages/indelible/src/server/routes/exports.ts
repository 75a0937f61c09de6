/** `/v1/exports`: what leaves the log as a file, as a job with progress and a download that can be resumed. */
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { may } from '../access.ts'
import { readJson } from '../body.ts'
import { type ExportJob, Exports } from '../exports.ts'
import { HttpProblem } from '../problem.ts'
import { filterQuery, problemResponses } from '../schemas.ts'
import { maySeeParts, type ServerContext, type Service, tenantFor, type Variables, withLog } from '../service.ts'

const FORMATS = ['jsonl', 'csv', 'evidence', 'trace'] as const

export const exportRequest = z.strictObject({
  format: z.enum(FORMATS),
  filter: z.strictObject(filterQuery).optional(),
  run: z.string().min(1).max(256).optional(),
  disclose: z.array(z.string().max(64)).max(64).optional(),
})

export const exportJob = z
  .object({
    id: z.string(),
    format: z.enum(FORMATS),
    state: z.enum(['queued', 'running', 'done', 'failed']),
    entries: z.number().int(),
    size: z.number().int().nullable(),
    created: z.string(),
    finished: z.string().nullable(),
    expires: z.string().nullable(),
    bytes: z.number().int().nullable(),
    sha256: z.string().nullable(),
    gone: z.number().int(),
    error: z.string().nullable(),
  })
  .openapi('Export')

const security = [{ bearer: [] }]
const params = z.object({ id: z.string().min(1).max(64) })

const createRouteOf = createRoute({
  method: 'post',
  path: '/v1/exports',
  operationId: 'createExport',
  summary: 'Begin an export',
  description:
    'Parts go along for a key that may see them. What was exported is an entry of the log (`audit.exported`).',
  security,
  request: { body: { required: true, content: { 'application/json': { schema: exportRequest } } } },
  responses: {
    202: { description: 'the job', content: { 'application/json': { schema: exportJob } } },
    ...problemResponses(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
  },
})

const readRoute = createRoute({
  method: 'get',
  path: '/v1/exports/{id}',
  operationId: 'readExport',
  summary: 'How far an export has come',
  security,
  request: { params },
  responses: {
    200: { description: 'the job', content: { 'application/json': { schema: exportJob } } },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const contentRoute = createRoute({
  method: 'get',
  path: '/v1/exports/{id}/content',
  operationId: 'readExportContent',
  summary: 'What was exported; `Range` resumes',
  security,
  request: { params },
  responses: {
    200: { description: 'all of it', content: { 'application/octet-stream': { schema: z.any() } } },
    206: { description: 'a range', content: { 'application/octet-stream': { schema: z.any() } } },
    416: { description: 'the range is outside of it' },
    ...problemResponses(400, 401, 403, 404, 409, 429, 500, 503),
  },
})

export function addExports(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  const exports = new Exports(service)
  service.onStop(() => exports.stop())
  // Registered, not routed by the framework: it would neither bound nor unpack the body.
  app.openAPIRegistry.registerPath(createRouteOf)
  app.post(createRouteOf.path, async (c) => {
    const tenant = tenantFor(c, 'read')
    const parsed = exportRequest.safeParse(await readJson(c.req.raw, service.config.max_body_bytes))
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new HttpProblem(
        422,
        'ERR_REQUEST_INVALID',
        `${issue!.path.map(String).join('.') || 'body'}: ${issue!.message}`,
      )
    }
    const { format, filter = {}, run, disclose = [] } = parsed.data
    if (disclose.length > 0 && !maySeeParts(c))
      throw new HttpProblem(403, 'ERR_FORBIDDEN', 'this key may not see parts')
    const asked = { format, filter: JSON.parse(JSON.stringify(filter)), disclose, ...(run !== undefined && { run }) }
    // That there is such a tenant.
    await withLog(service, c, 'read', async () => {})
    return c.json(shown(exports.create(tenant, c.get('principal').id, asked)), 202)
  })
  app.openapi(readRoute, (c) => c.json(shown(jobFor(exports, c, c.req.valid('param').id)), 200))
  app.openapi(contentRoute, (c) => {
    const found = jobFor(exports, c, c.req.valid('param').id)
    if (found.disclose.length > 0 && !maySeeParts(c))
      throw new HttpProblem(403, 'ERR_FORBIDDEN', 'this key may not see parts')
    if (found.state !== 'done') throw new HttpProblem(409, 'ERR_EXPORT_UNFINISHED', `the export is ${found.state}`)
    return serve(c, found, exports.contentPath(found)) as never
  })
}

/** Of whoever asked for it, and of administrators of the tenant. */
function jobFor(exports: Exports, c: ServerContext, id: string): ExportJob {
  const tenant = tenantFor(c, 'read')
  const principal = c.get('principal')
  const found = exports.find(id)
  if (!found || found.tenant !== tenant || (found.by !== principal.id && !may(principal, 'administer'))) {
    throw new HttpProblem(404, 'ERR_EXPORT_NOT_FOUND', 'no such export, or it has expired')
  }
  return found
}

function shown({ tenant, by, filter, run, disclose, owner, ...rest }: ExportJob): z.infer<typeof exportJob> {
  return rest
}

const EXTENSIONS = { jsonl: '.jsonl', csv: '.csv', evidence: '.evidence.zip', trace: '.trace.json' } as const

function serve(c: ServerContext, { id, format, bytes, sha256 }: ExportJob, path: string): Response {
  const size = bytes!
  const etag = `"${sha256}"`
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename="${id}${EXTENSIONS[format]}"`,
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-store',
    etag,
  }
  const condition = c.req.header('if-range')
  const asked = condition === undefined || condition === etag ? c.req.header('range') : undefined
  const range = asked === undefined ? null : rangeOf(asked, size)
  if (range === 'outside') return new Response(null, { status: 416, headers: { 'content-range': `bytes */${size}` } })
  const { start, end } = range ?? { start: 0, end: size - 1 }
  headers['content-length'] = String(end - start + 1)
  if (range) headers['content-range'] = `bytes ${start}-${end}/${size}`
  const body = size === 0 ? null : Readable.toWeb(createReadStream(path, { start, end }))
  return new Response(body as unknown as ReadableStream, { status: range ? 206 : 200, headers })
}

/** One range of bytes, RFC 9110 §14; `null` for what is none, and is answered with all of it. */
function rangeOf(text: string, size: number): { readonly start: number; readonly end: number } | 'outside' | null {
  const match = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(text.trim())
  if (!match || (match[1] === '' && match[2] === '')) return null
  const [, first, last] = match
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? 'outside' : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return null
  return start >= size ? 'outside' : { start, end }
}
