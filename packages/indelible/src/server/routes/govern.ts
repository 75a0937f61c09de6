/** What people decide and register: each route does what its command does, by the same functions. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import {
  approvalInput,
  attestationInput,
  recordApproval,
  recordAttestation,
  recordWaiver,
  waiverInput,
} from '../../decision/decisions.ts'
import { listWaivers } from '../../decision/waivers.ts'
import * as lifecycle from '../../lifecycle/lifecycle.ts'
import { lineageOf } from '../../lifecycle/lineage.ts'
import type { Log, Receipt } from '../../log/log.ts'
import { readJson } from '../body.ts'
import { problemResponses } from '../schemas.ts'
import { recordRead, type Service, type Variables, withLog } from '../service.ts'
import { receiptSchema } from './events.ts'

type Recorder = (log: Log, input: never) => Promise<Receipt>

/** Paths, what they take, and what records it. The input is judged by the function, as it is on the command line. */
const WRITES: readonly {
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly schema: z.ZodType
  readonly record: Recorder
}[] = [
  {
    path: '/v1/decisions/approvals',
    id: 'recordApproval',
    summary: 'Record that somebody approves or rejects',
    schema: approvalInput(),
    record: recordApproval as Recorder,
  },
  {
    path: '/v1/decisions/waivers',
    id: 'recordWaiver',
    summary: 'Record that somebody sets controls aside',
    schema: waiverInput(),
    record: recordWaiver as Recorder,
  },
  {
    path: '/v1/decisions/attestations',
    id: 'recordAttestation',
    summary: 'Record what somebody vouches for',
    schema: attestationInput(),
    record: recordAttestation as Recorder,
  },
  {
    path: '/v1/datasets',
    id: 'registerDataset',
    summary: 'Register a version of a dataset',
    schema: lifecycle.datasetInput(),
    record: lifecycle.registerDataset as Recorder,
  },
  {
    path: '/v1/datasets/attestations',
    id: 'attestDataset',
    summary: 'Vouch for a version of a dataset',
    schema: lifecycle.datasetAttestationInput(),
    record: lifecycle.attestDataset as Recorder,
  },
  {
    path: '/v1/models',
    id: 'registerModel',
    summary: 'Register a version of a model',
    schema: lifecycle.modelInput(),
    record: lifecycle.registerModel as Recorder,
  },
  {
    path: '/v1/models/evaluations',
    id: 'recordEvaluation',
    summary: 'Record the result of an evaluation',
    schema: lifecycle.evaluationInput(),
    record: lifecycle.recordEvaluation as Recorder,
  },
  {
    path: '/v1/models/promotions',
    id: 'promoteModel',
    summary: 'Say that a version goes to another stage',
    schema: lifecycle.promotionInput(),
    record: lifecycle.promoteModel as Recorder,
  },
  {
    path: '/v1/models/deployments',
    id: 'deployModel',
    summary: 'Say that a model runs somewhere',
    schema: lifecycle.deploymentInput(),
    record: lifecycle.deployModel as Recorder,
  },
  {
    path: '/v1/models/retirements',
    id: 'retireModel',
    summary: 'Say that a model, or a deployment, is no more',
    schema: lifecycle.retirementInput(),
    record: lifecycle.retireModel as Recorder,
  },
]

const waiversRoute = createRoute({
  method: 'get',
  path: '/v1/decisions/waivers',
  operationId: 'listWaivers',
  summary: 'Waivers with their state, and uses after they had ended',
  security: [{ bearer: [] }],
  responses: {
    200: {
      description: 'waivers',
      content: { 'application/json': { schema: z.object({ waivers: z.array(z.any()) }) } },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const lineageRoute = createRoute({
  method: 'get',
  path: '/v1/lineage/{name}',
  operationId: 'lineage',
  summary: 'What a model, deployment, dataset or run comes from, and what comes of it',
  security: [{ bearer: [] }],
  request: { params: z.object({ name: z.string().min(1).max(512) }) },
  responses: {
    200: {
      description: 'nodes, edges, gaps',
      content: { 'application/json': { schema: z.any() }, 'image/svg+xml': { schema: z.string() } },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

/** As JSON Schema: these schemas are the library's own, and know nothing of OpenAPI. */
function describeInput(schema: z.ZodType): object {
  const { $schema, ...described } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return described
}

export function addGovernance(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  for (const { path, id, summary, schema, record } of WRITES) {
    app.openAPIRegistry.registerPath({
      method: 'post',
      path,
      operationId: id,
      summary,
      security: [{ bearer: [] }],
      request: { body: { required: true, content: { 'application/json': { schema: describeInput(schema) } } } },
      responses: {
        201: { description: 'its receipt', content: { 'application/json': { schema: receiptSchema } } },
        ...problemResponses(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
      },
    })
    app.post(path, async (c) => {
      const input = await readJson(c.req.raw, service.config.max_body_bytes)
      return withLog(service, c, 'govern', async ({ log }) => c.json(await record(log, input as never), 201))
    })
  }
  app.openapi(waiversRoute, (c) =>
    withLog(service, c, 'read', async (tenant) => {
      const waivers = await listWaivers(tenant.query)
      await recordRead(tenant, c, 'waivers', { waivers: waivers.length })
      return c.json({ waivers } as never, 200) as never
    }),
  )
  app.openapi(lineageRoute, async (c) => {
    const { name } = c.req.valid('param')
    return withLog(service, c, 'read', async (tenant) => {
      const found = await lineageOf(tenant.query, name)
      await recordRead(tenant, c, 'lineage', { nodes: found.nodes.length })
      if ((c.req.header('accept') ?? '').includes('image/svg+xml')) {
        const { drawLineage } = await import('../../lifecycle/picture.ts')
        return c.body(drawLineage(found), 200, { 'content-type': 'image/svg+xml' }) as never
      }
      return c.json(found as unknown, 200) as never
    })
  })
}
