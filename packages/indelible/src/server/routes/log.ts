/**
 * The log as tlog-tiles lays it out, under `/v1/logs/{origin}/`: checkpoint and hash tiles. Never entry bundles: entries are for
 * those who may read them. And proofs, and verification.
 */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { toBase64 } from '../../bytes.ts'
import { isIndelibleError } from '../../errors.ts'
import { parseCheckpoint } from '../../note/checkpoint.ts'
import { parseNote } from '../../note/signed-note.ts'
import { proveConsistency, proveInclusion } from '../../tree/proof.ts'
import { readTileOf, sourceNodeReader } from '../../tree/source.ts'
import { parseTilePath, type TileId } from '../../tree/tile.ts'
import { may } from '../access.ts'
import { HttpProblem } from '../problem.ts'
import { indexParam, problemResponses } from '../schemas.ts'
import {
  authorize,
  recordRead,
  type ServerContext,
  type Service,
  TENANT_HEADER,
  type Variables,
  withLog,
} from '../service.ts'
import type { TenantLog } from '../tenants.ts'

const checkpointRoute = createRoute({
  method: 'get',
  path: '/v1/checkpoint',
  operationId: 'readCheckpoint',
  summary: 'The latest signed checkpoint of the log',
  security: [{ bearer: [] }],
  responses: {
    200: { description: 'a signed note (C2SP tlog-checkpoint)', content: { 'text/plain': { schema: z.string() } } },
    ...problemResponses(400, 401, 403, 404, 429, 503),
  },
})

const inclusionRoute = createRoute({
  method: 'get',
  path: '/v1/proofs/inclusion',
  operationId: 'proveInclusion',
  summary: 'Prove that an entry is in the tree',
  security: [{ bearer: [] }],
  request: { query: z.strictObject({ index: indexParam, size: indexParam.optional() }) },
  responses: {
    200: {
      description: 'RFC 6962 audit path, and the checkpoint if none was asked for by size',
      content: {
        'application/json': {
          schema: z.object({
            index: z.number().int(),
            size: z.number().int(),
            proof: z.array(z.string()),
            checkpoint: z.string().optional(),
          }),
        },
      },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const consistencyRoute = createRoute({
  method: 'get',
  path: '/v1/proofs/consistency',
  operationId: 'proveConsistency',
  summary: 'Prove that the log only grew',
  security: [{ bearer: [] }],
  request: { query: z.strictObject({ from: indexParam, to: indexParam.optional() }) },
  responses: {
    200: {
      description: 'RFC 6962 consistency proof',
      content: {
        'application/json': {
          schema: z.object({
            from: z.number().int(),
            to: z.number().int(),
            proof: z.array(z.string()),
            checkpoint: z.string().optional(),
          }),
        },
      },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const verifyRoute = createRoute({
  method: 'post',
  path: '/v1/verify',
  operationId: 'verifyLog',
  summary: 'Verify the whole log, as this server sees it',
  description:
    'A convenience: the verdict comes from the party under examination. An auditor verifies with his own program. For an operator who names no tenant: the directory log, and each log against what the directory says of it.',
  security: [{ bearer: [] }],
  responses: {
    200: { description: 'the report', content: { 'application/json': { schema: z.any() } } },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

export function addLog(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  app.openapi(checkpointRoute, (c) =>
    withLog(service, c, 'read_own', async ({ log }) => c.text((await log.checkpoint())!, 200)),
  )

  app.openapi(inclusionRoute, async (c) => {
    const { index, size: wanted } = c.req.valid('query')
    return withLog(service, c, 'read', async (tenant) => {
      const { note, size } = await headOf(tenant)
      const at = wanted ?? size
      if (at > size || index >= at) throw outside(`entry ${index} in a tree of ${at}`, size)
      const proof = await proveInclusion(index, at, sourceNodeReader(tenant.log.store, at))
      return c.json(
        { index, size: at, proof: proof.map(toBase64), ...(wanted === undefined && { checkpoint: note }) },
        200,
      )
    })
  })

  app.openapi(consistencyRoute, async (c) => {
    const { from, to: wanted } = c.req.valid('query')
    return withLog(service, c, 'read', async (tenant) => {
      const { note, size } = await headOf(tenant)
      const to = wanted ?? size
      if (to > size || from > to) throw outside(`sizes ${from} and ${to}`, size)
      const proof = from === 0 ? [] : await proveConsistency(from, to, sourceNodeReader(tenant.log.store, to))
      return c.json({ from, to, proof: proof.map(toBase64), ...(wanted === undefined && { checkpoint: note }) }, 200)
    })
  })

  app.openapi(verifyRoute, (c) => {
    // An operator who names no tenant means the server: its own log, and all others against it.
    const { tenant: own } = c.get('principal')
    if (own === null && c.req.header(TENANT_HEADER) === undefined) return verifyServer(service, c)
    return withLog(service, c, 'read', async (tenant) => {
      const { verifyHome } = await import('../../log/verify-home.ts')
      const report = await verifyHome({ home: tenant.home })
      await recordRead(tenant, c, 'verify', { verdict: report.verdict })
      return c.json(report, 200) as never
    })
  })

  describeTiles(app)
  // Not `/*`, which would take `/v1/logs` too. Plain routes: their paths are C2SP's, not ours. Origins have slashes, so the rest of the path is taken apart here.
  app.get('/v1/logs/:rest{.+}', async (c) => {
    const rest = decoded(new URL(c.req.url).pathname.slice('/v1/logs/'.length))
    const at = rest.search(/\/(checkpoint$|tile\/)/)
    if (at < 0) throw notFound()
    const [origin, path] = [rest.slice(0, at), rest.slice(at + 1)]
    const tenant = await tenantOf(service, c, origin)
    const answer = await service.tenants.use(tenant, ({ log }) => serveTile(c, log, path))
    if (answer === null) throw notFound()
    return answer
  })
}

function describeTiles(app: OpenAPIHono<{ Variables: Variables }>): void {
  const log = z.string().regex(/^[0-9a-f]{16}$/)
  const given = [
    ['checkpoint', 'readLogCheckpoint', 'The latest signed checkpoint', 'text/plain', { log }],
    [
      'tile/{level}/{tile}',
      'readLogTile',
      'A tile of hashes; those over 999 and partial ones have more segments, as C2SP says',
      'application/octet-stream',
      { log, level: z.coerce.number().int().min(0).max(63), tile: z.string().regex(/^[0-9]{3}$/) },
    ],
  ] as const
  for (const [path, operationId, summary, type, params] of given) {
    app.openAPIRegistry.registerPath({
      method: 'get',
      path: `/v1/logs/indelible.invalid/{log}/${path}`,
      operationId,
      summary,
      security: [{ bearer: [] }],
      request: { params: z.object(params) },
      responses: {
        200: { description: 'as C2SP tlog-tiles has it', content: { [type]: { schema: z.string() } } },
        ...problemResponses(400, 401, 403, 404, 429, 500, 503),
      },
    })
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw notFound()
  }
}

async function verifyServer(service: Service, c: ServerContext): Promise<never> {
  authorize(c, 'operate')
  const { verifyHome } = await import('../../log/verify-home.ts')
  const { logs, findings } = await service.directory.check()
  const directory = await verifyHome({ home: service.home })
  const verdict = findings.length > 0 ? 'failed' : directory.verdict
  return c.json({ verdict, directory, logs, findings }, 200) as never
}

/** Checkpoints and hash tiles say nothing but how much was logged; where the configuration says so, everybody may have them. */
async function tenantOf(service: Service, c: ServerContext, origin: string): Promise<string> {
  const folder = /^indelible\.invalid\/([0-9a-f]{16})$/.exec(origin)?.[1]
  const row = folder === undefined ? undefined : service.state.tenants().find((one) => one.folder === folder)
  if (service.config.public_tiles) {
    if (!row) throw notFound()
    return row.tenant
  }
  const principal = c.get('principal')
  const isAllowed = row && may(principal, 'read') && (principal.tenant === null || principal.tenant === row.tenant)
  if (!isAllowed) {
    authorize(c, 'read')
    throw notFound()
  }
  return row.tenant
}

async function serveTile(c: ServerContext, log: TenantLog['log'], path: string): Promise<Response> {
  if (path === 'checkpoint') {
    return c.text((await log.checkpoint())!, 200, {
      'cache-control': 'no-store',
      'content-type': 'text/plain; charset=utf-8',
    })
  }
  const { size } = await headOf({ log })
  const bytes = await readTileOf(log.store, tileAt(path), size)
  if (!bytes) throw notFound()
  // A tile of that width never changes.
  return c.body(bytes as Uint8Array<ArrayBuffer>, 200, {
    'content-type': 'application/octet-stream',
    'cache-control': 'max-age=31536000, immutable',
  })
}

function tileAt(path: string): TileId {
  try {
    return parseTilePath(path)
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    throw notFound()
  }
}

async function headOf({ log }: Pick<TenantLog, 'log'>): Promise<{ note: string; size: number }> {
  const note = (await log.checkpoint())!
  return { note, size: parseCheckpoint(parseNote(note).text).size }
}

function outside(what: string, size: number): HttpProblem {
  return new HttpProblem(400, 'ERR_RANGE_INVALID', `${what}: the log has ${size} entries`)
}

function notFound(): HttpProblem {
  return new HttpProblem(404, 'ERR_NOT_FOUND', 'there is no such thing')
}
