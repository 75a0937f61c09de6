/** The client has a method for what the server does, of the server's own types: neither drifts away from the other unnoticed. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, expectTypeOf, it, onTestFinished } from 'vitest'
import type { z } from 'zod'
import { type Client, openClient } from '../src/client/index.ts'
import type * as Told from '../src/client/types.ts'
import type { Principal } from '../src/server/access.ts'
import type { DirectoryReport } from '../src/server/directory.ts'
import type { eraseRequest, holdRequest, keyRequest, retentionRequest } from '../src/server/routes/administer.ts'
import type { exportJob, exportRequest } from '../src/server/routes/exports.ts'
import type { ApiKey } from '../src/server/state.ts'
import { server, toolEnd } from './server-kit.ts'

type Group = 'govern' | 'administer'
type Method<T> = { [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K & string : never }[keyof T]
type Path = Method<Client> | { [G in Group]: `${G}.${Method<Client[G]>}` }[Group]

/** For each operation of the API the client's method, or why there is none. */
const OPERATIONS: Readonly<Record<string, Path | { readonly none: string }>> = {
  recordEvents: 'append',
  recordGap: 'recordGap',
  whoami: 'whoami',
  searchEntries: 'audit',
  readEntry: 'entry',
  readProof: 'entryProof',
  readBytes: 'entryBytes',
  listRuns: 'runs',
  readRun: 'runEntries',
  readTrace: 'trace',
  streamEntries: 'stream',
  createExport: 'createExport',
  readExport: 'exportJob',
  readExportContent: 'exportContent',
  readCheckpoint: 'checkpoint',
  proveInclusion: 'proveInclusion',
  proveConsistency: 'proveConsistency',
  verifyLog: 'verify',
  recordApproval: 'govern.recordApproval',
  recordWaiver: 'govern.recordWaiver',
  recordAttestation: 'govern.recordAttestation',
  listWaivers: 'govern.listWaivers',
  registerDataset: 'govern.registerDataset',
  attestDataset: 'govern.attestDataset',
  registerModel: 'govern.registerModel',
  recordEvaluation: 'govern.recordEvaluation',
  promoteModel: 'govern.promoteModel',
  deployModel: 'govern.deployModel',
  retireModel: 'govern.retireModel',
  lineage: 'govern.lineage',
  listApprovals: 'govern.listApprovals',
  decideApproval: 'govern.decideApproval',
  listKeys: 'administer.listKeys',
  createKey: 'administer.createKey',
  revokeKey: 'administer.revokeKey',
  listTenants: 'administer.listTenants',
  createTenant: 'administer.createTenant',
  listHolds: 'administer.listHolds',
  placeHold: 'administer.placeHold',
  releaseHold: 'administer.releaseHold',
  erase: 'administer.erase',
  retentionPlan: 'administer.retention',
  runRetention: 'administer.runRetention',
  anchorStatus: 'administer.anchors',
  runAnchors: 'administer.runAnchors',
  exportTraces: { none: 'for exporters of OpenTelemetry' },
  exportLogs: { none: 'for exporters of OpenTelemetry' },
  readLogCheckpoint: { none: 'for tlog clients; `checkpoint` has the same' },
  readLogTile: { none: 'for tlog clients' },
  health: { none: 'for whoever supervises the process' },
  ready: { none: 'for what balances the load' },
  metrics: { none: 'for Prometheus' },
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>>
}

async function operator(configure?: object) {
  const made = await server(configure ? { configure } : {})
  const client = await openClient({ url: made.url, key: made.operator, tenant: 'default' })
  onTestFinished(() => client.close())
  return { made, client }
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-operations-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

describe('the client', () => {
  it('has a method for each operation of openapi.json, or a reason to have none', async () => {
    const { made, client } = await operator()
    const { body } = (await made.json('/openapi.json')) as { readonly body: OpenApi }
    const ids = Object.values(body.paths).flatMap((methods) => Object.values(methods).map((one) => one.operationId))
    expect(ids.toSorted()).toEqual(Object.keys(OPERATIONS).toSorted())
    for (const path of Object.values(OPERATIONS)) {
      if (typeof path === 'object') continue
      const [first, second] = path.split('.') as [keyof Client, string?]
      const method = second === undefined ? client[first] : (client[first] as never)[second]
      expect(method, path).toBeTypeOf('function')
    }
    // And no method of these that nothing is asked with.
    for (const group of ['govern', 'administer'] as const) {
      const names = Object.getOwnPropertyNames(Object.getPrototypeOf(client[group]))
      const known = [...Object.values(OPERATIONS), 'govern.drawLineage', 'administer.verifyServer']
      for (const name of names) if (name !== 'constructor') expect(known).toContain(`${group}.${name}`)
    }
  })

  it('says of what it asks and is told what the server says', () => {
    expectTypeOf<Told.ApiKey>().toEqualTypeOf<ApiKey>()
    expectTypeOf<Told.KeyRole>().toEqualTypeOf<Principal['role']>()
    expectTypeOf<Told.KeyRequest>().toExtend<z.input<typeof keyRequest>>()
    expectTypeOf<Told.ExportJob>().toEqualTypeOf<Readonly<z.output<typeof exportJob>>>()
    expectTypeOf<Told.ServersReport['findings']>().toEqualTypeOf<DirectoryReport['findings']>()
    expectTypeOf<keyof z.input<typeof keyRequest>>().toEqualTypeOf<keyof Told.KeyRequest>()
    expectTypeOf<keyof z.input<typeof exportRequest>>().toEqualTypeOf<keyof Told.ExportRequest>()
    expectTypeOf<keyof z.input<typeof holdRequest>['scope']>().toEqualTypeOf<keyof Placed>()
    expectTypeOf<keyof z.input<typeof eraseRequest>>().toEqualTypeOf<keyof Erased>()
    expectTypeOf<keyof z.input<typeof retentionRequest>>().toEqualTypeOf<keyof Retained>()
  })
})
type Placed = Parameters<Client['administer']['placeHold']>[0]
type Erased = Parameters<Client['administer']['erase']>[0]
type Retained = NonNullable<Parameters<Client['administer']['runRetention']>[0]>

describe('what people decide and register', () => {
  it('is recorded, read back, and refused where it says nothing', async () => {
    const { client } = await operator()
    const { govern } = client
    const contentHash = `sha256:${'ab'.repeat(32)}`
    const owner = 'mlops'
    await govern.registerDataset({ owner, datasetId: 'claims', version: '1', source: 's3://claims', contentHash })
    const registered = await govern.registerModel({ owner, modelId: 'triage', version: '3' })
    expect(registered.origin).toBe(client.origin)
    const { nodes } = await govern.lineage('triage@3')
    expect(nodes.length).toBeGreaterThan(0)
    expect(await govern.drawLineage('triage@3')).toContain('<svg')
    await expect(govern.lineage('nobody')).rejects.toMatchObject({ serverCode: 'ERR_LINEAGE_NOT_FOUND', status: 404 })
    await expect(govern.registerModel({} as never)).rejects.toMatchObject({ status: 422 })
    expect(await govern.listWaivers()).toEqual([])
    expect(await govern.listApprovals()).toEqual([])
  })
})

describe('an administrator', () => {
  it('makes keys, and revokes them', async () => {
    const { made, client } = await operator()
    const { administer } = client
    const made1 = await administer.createKey({ role: 'auditor', label: 'audit 2026', disclose: true })
    const auditor = await openClient({ url: made.url, key: made1.key })
    onTestFinished(() => auditor.close())
    expect(await auditor.whoami()).toMatchObject({ role: 'auditor', tenant: 'default' })
    expect((await administer.listKeys()).map(({ prefix }) => prefix)).toContain(made1.prefix)
    await administer.revokeKey(made1.prefix)
    await expect(auditor.audit()).rejects.toMatchObject({ status: 401 })
    await expect(administer.revokeKey('ik_none')).rejects.toMatchObject({ serverCode: 'ERR_KEY_NOT_FOUND' })
    await expect(auditor.administer.listTenants()).rejects.toMatchObject({ status: 401 })
  })

  it('makes tenants, and has the server verify what it says of all logs', async () => {
    const { client } = await operator()
    const { origin } = await client.administer.createTenant('hospital')
    expect(await client.administer.listTenants()).toMatchObject([{ tenant: 'default' }, { tenant: 'hospital', origin }])
    expect(await client.administer.verifyServer()).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('places holds, erases what none covers, and sees what retention would do', async () => {
    const { client } = await operator({ privacy: { mode: 'full' } })
    const { administer } = client
    const { index } = await client.record(toolEnd({ run: { id: 'r' }, parts: { output: { value: 'gone' } } }) as never)
    const { hold } = await administer.placeHold({ run: 'r' }, 'case 7')
    expect(await administer.listHolds()).toMatchObject([{ id: hold, scope: { run: 'r' }, matter: 'case 7' }])
    await expect(administer.erase({ run: 'r', reason: 'gdpr-17' })).rejects.toMatchObject({ code: 'ERR_HELD' })
    await administer.releaseHold(hold)
    expect(await administer.erase({ index, reason: 'gdpr-17' })).toMatchObject({ parts: 1 })
    expect((await client.entry(index)).disclosures).toEqual({})
    const { plan, status } = await administer.retention()
    expect([plan.from, plan.below, status.holds]).toEqual([0, 0, 0])
    expect((await administer.runRetention()).purged).toEqual([])
    expect(await administer.anchors()).toEqual([])
    expect(await administer.runAnchors()).toEqual({ busy: false, outcomes: [] })
  })
})

describe('an export into a file', () => {
  it('is waited for, goes on where a connection broke, and has the digest that the server says', async () => {
    const { made, client } = await operator()
    await client.recordMany(Array.from({ length: 2000 }, () => toolEnd()) as never)
    const path = join(folder(), 'all.jsonl')
    let breaks = 3
    const ranges: (string | null)[] = []
    const flaky = (async (url: string, init: RequestInit) => {
      const response = await fetch(url, init)
      if (!url.endsWith('/content')) return response
      ranges.push(new Headers(init.headers).get('range'))
      return breaks-- > 0 ? cutAfter(response, 100_000) : response
    }) as typeof fetch
    const other = await openClient({ url: made.url, key: made.operator, tenant: 'default', fetch: flaky })
    onTestFinished(() => other.close())
    const states: string[] = []
    const job = await other.saveExport({ format: 'jsonl' }, path, {
      pollMs: 20,
      onProgress: ({ state }) => states.push(state),
    })
    expect(states.at(-1)).toBe('done')
    const bytes = readFileSync(path)
    expect(bytes.length).toBe(job.bytes)
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(job.sha256)
    expect(ranges[0]).toBeNull()
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range!))).toBe(true)
    expect(ranges).toHaveLength(4)
    expect(existsSync(`${path}.part`)).toBe(false)
    writeFileSync(`${path}.part`, Buffer.alloc(100))
    await expect(other.resumeExport(job.id, path)).rejects.toMatchObject({ code: 'ERR_SERVER_REFUSED' })
    await other.resumeExport(job.id, path)
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })
})

function cutAfter(response: Response, most: number): Response {
  let length = 0
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      if (length >= most) return controller.error(new Error('cut'))
      length += chunk.length
      controller.enqueue(chunk)
    },
  })
  return new Response(response.body!.pipeThrough(cut), { status: response.status, headers: response.headers })
}

describe('docs/server.md', () => {
  const page = readFileSync(new URL('../../../docs/server.md', import.meta.url), 'utf8')
  const blocks = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, block]) => block!)

  it('has examples that run', async () => {
    const { made } = await operator()
    const here = folder()
    const said: string[] = []
    const cache = fileURLToPath(new URL('../../../node_modules/.cache', import.meta.url))
    mkdirSync(cache, { recursive: true })
    for (const [i, block] of blocks.entries()) {
      // Of an administrator the first: an operator names a tenant.
      const key = i === 0 ? made.key({ role: 'administrator', tenant: 'default' }) : made.operator
      const code = block
        .replaceAll('http://127.0.0.1:8787', made.url)
        .replace('.indelible-client', join(here, 'client'))
        .replace('models.evidence.zip', join(here, 'models.evidence.zip'))
      // Where the workspace's packages are found by their names.
      const file = join(cache, `example-${process.pid}-${i}.mjs`)
      writeFileSync(file, code)
      onTestFinished(() => rmSync(file, { force: true }))
      const run = promisify(execFile)(process.execPath, [file], { env: { ...process.env, INDELIBLE_KEY: key } })
      said.push((await run).stdout)
    }
    expect(said[0]).toBe('')
    expect(said[1]).toMatch(/^[1-9]\n403 ERR_FORBIDDEN\n1 [0-9a-f]{64}\n$/)
    expect(existsSync(join(here, 'models.evidence.zip'))).toBe(true)
    const { body } = await made.json('/v1/audit?type=tool.end')
    expect(body.hits).toHaveLength(1)
  })
})
