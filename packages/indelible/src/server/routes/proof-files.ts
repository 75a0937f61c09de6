/** An entry and its proof as files, byte for byte: what `indelible check`, or another tlog client, wants. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { findRow } from '../../log/find-row.ts'
import { indexParam, problemResponses } from '../schemas.ts'
import { recordRead, type Service, type Variables, withLog } from '../service.ts'

const request = { params: z.object({ index: indexParam }) }
const security = [{ bearer: [] }]
const problems = problemResponses(400, 401, 403, 404, 429, 500, 503)

const proofRoute = createRoute({
  method: 'get',
  path: '/v1/entries/{index}/proof',
  operationId: 'readProof',
  summary: 'Proof of one entry, as a file',
  security,
  request,
  responses: {
    200: { description: 'C2SP tlog-proof', content: { 'text/plain': { schema: z.string() } } },
    ...problems,
  },
})

const bytesRoute = createRoute({
  method: 'get',
  path: '/v1/entries/{index}/bytes',
  operationId: 'readBytes',
  summary: 'One entry, byte for byte: what its proof is of',
  security,
  request,
  responses: {
    200: { description: 'the entry', content: { 'application/octet-stream': { schema: z.string() } } },
    ...problems,
  },
})

export function addProofFiles(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  app.openapi(proofRoute, async (c) => {
    const { index } = c.req.valid('param')
    return withLog(service, c, 'read', async (tenant) => {
      const { proof } = await tenant.log.prove(index)
      await recordRead(tenant, c, 'proof', { index })
      return c.text(proof, 200)
    })
  })
  app.openapi(bytesRoute, async (c) => {
    const { index } = c.req.valid('param')
    return withLog(service, c, 'read', async (tenant) => {
      const { entry } = await findRow(tenant.log.store, index)
      await recordRead(tenant, c, 'entry', { index, disclosed: false })
      return c.body(entry as Uint8Array<ArrayBuffer>, 200, { 'content-type': 'application/octet-stream' }) as never
    })
  })
}
