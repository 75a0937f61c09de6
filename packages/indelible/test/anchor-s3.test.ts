/** Copies in a real S3 server. It takes some seconds to start, so all that needs one is here. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openAnchor, openAnchorVerifier } from '../src/anchor/kinds.ts'
import { putHeaders, S3Client } from '../src/anchor/s3-client.ts'
import { utf8 } from '../src/bytes.ts'
import { createLog, openLog, Pins, verifyHome } from '../src/index.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { AnchorTestLog, describeAnchor, receiptOf } from '../src/testing/index.ts'
import { anchorNow } from './anchor-defences.ts'
import { Cleanup, setConfig, use } from './anchor-kit.ts'
import { TestRgw, whyNoRgw } from './rgw-kit.ts'

const ORIGIN = 'copied.example/log'
const missing = whyNoRgw()
let rgw: TestRgw
let buckets = 0

beforeAll(async () => {
  if (missing === null) rgw = await TestRgw.start()
}, 90_000)
const cleanup = new Cleanup()
afterAll(async () => {
  await cleanup.run()
  await rgw?.stop()
})

const client = (bucket: string) =>
  new S3Client({
    endpoint: rgw.endpoint,
    bucket,
    region: 'us-east-1',
    accessKeyEnv: 'AWS_ACCESS_KEY_ID',
    secretKeyEnv: 'AWS_SECRET_ACCESS_KEY',
    sessionTokenEnv: 'AWS_SESSION_TOKEN',
    env: rgw.env,
    fetch,
    clock: Date.now,
  })
const signal = AbortSignal.timeout(120_000)

async function makeBucket(lock: boolean): Promise<{ bucket: string; s3: S3Client; options: Record<string, unknown> }> {
  const bucket = `bucket-${++buckets}`
  const s3 = client(bucket)
  const headers = { ...(lock && { 'x-amz-bucket-object-lock-enabled': 'true' }) }
  expect((await s3.send({ method: 'PUT', headers, signal })).status).toBe(200)
  return { bucket, s3, options: { endpoint: rgw.endpoint, bucket } }
}

const config = (options: Record<string, unknown>) => ({ name: 's', kind: 's3', required: true, options })
const open = (options: Record<string, unknown>, more: Parameters<typeof use>[2] = {}) =>
  openAnchor(config(options), use('.', ORIGIN, { env: rgw.env, ...more }))

describe.skipIf(missing !== null)(missing ?? 'Ceph radosgw', () => {
  describeAnchor(
    's3',
    async ({ origin }) => {
      const { options } = await makeBucket(false)
      let url = rgw.endpoint
      const where = () => use('.', origin, { env: rgw.env })
      return {
        open: () => openAnchor(config({ ...options, endpoint: url, prefix: 'logs/a/' }), where()),
        verifier: () => openAnchorVerifier(config({ ...options, prefix: 'logs/a/' }), where()),
        cut: async () => {
          url = 'http://127.0.0.1:9'
        },
        lacks: { offline: 'the proof is the copy, not the receipt' },
      }
    },
    { describe, it },
  )

  for (const mode of ['compliance', 'governance'] as const) {
    it(`a ${mode}-locked checkpoint cannot be deleted or shortened through the S3 API by its owner`, async () => {
      const { s3, options } = await makeBucket(true)
      const anchor = await open({ ...options, lock: mode, retain: '1d' })
      await anchor.probe!(signal)
      const log = await AnchorTestLog.make(ORIGIN)
      const checkpoint = await log.grow(300)
      const receipt = receiptOf(anchor, checkpoint, await anchor.anchor(log.task(checkpoint)))
      const key = 'checkpoint/0000000000000301'
      const head = await s3.send({ method: 'HEAD', key, signal })
      const versionId = head.headers.get('x-amz-version-id')!
      expect(head.headers.get('x-amz-object-lock-mode')).toBe(mode.toUpperCase())
      const until = Date.parse(head.headers.get('x-amz-object-lock-retain-until-date')!)
      expect(until).toBeGreaterThan(Date.now() + 23 * 3_600_000)

      expect((await s3.send({ method: 'DELETE', key, query: { versionId }, signal })).status).toBe(403)
      for (const seconds of [1, 3600, 80_000]) {
        const date = new Date(Date.now() + seconds * 1000).toISOString()
        const body = utf8(
          `<Retention><Mode>${mode.toUpperCase()}</Mode><RetainUntilDate>${date}</RetainUntilDate></Retention>`,
        )
        const shorter = await s3.send({ method: 'PUT', key, query: { retention: '', versionId }, body, signal })
        expect(shorter.status).toBe(403)
      }
      if (mode === 'compliance') {
        // Nor by who may bypass governance.
        const headers = { 'x-amz-bypass-governance-retention': 'true' }
        expect((await s3.send({ method: 'DELETE', key, query: { versionId }, headers, signal })).status).toBe(403)
      }
      // A delete marker, and another version over it, hide it from who asks for the newest: not from us.
      expect((await s3.send({ method: 'DELETE', key, signal })).status).toBe(204)
      const forged = utf8(checkpoint.note.replace('\n301\n', '\n302\n'))
      await s3.send({ method: 'PUT', key, body: forged, headers: putHeaders(forged, null, Date.now()), signal })
      const verifier = await openAnchorVerifier(config(options), use('.', ORIGIN, { env: rgw.env }))
      const vouchers = await verifier.ask!(ORIGIN)
      expect(vouchers).toMatchObject([{ note: checkpoint.note, by: [expect.stringContaining('tried to delete')] }])
      expect(await verifier.check(receipt, [])).toMatchObject({ note: checkpoint.note })
    })
  }

  it('shows a verifier that a whole home was put back as it was', async () => {
    const { options } = await makeBucket(true)
    const home = join(cleanup.folder(), 'home')
    const { vkey } = await createLog({ home, origin: ORIGIN, pins: new Pins(join(cleanup.folder(), 'pins')) })
    const lock = { lock: 'compliance', retain: '1d' }
    setConfig(home, { list: [{ name: 's', kind: 's3', options: { ...options, ...lock } }] })
    const grow = async () => {
      const log = await openLog({ home })
      await log.recordMany(Array.from({ length: 300 }, () => ({ type: 'tool.end', actor: { type: 'agent', id: 'a' } })))
      await log.close()
      await anchorNow(home, rgw.env)
    }
    const verify = async () => {
      const verifier = await openAnchorVerifier(config(options), use('.', ORIGIN, { env: rgw.env }))
      return verifyHome({ home, pins: null, trust: { origin: ORIGIN, keys: [parseVkey(vkey)], anchors: [verifier] } })
    }
    await grow()
    cpSync(home, `${home}-early`, { recursive: true })
    await grow()
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    rmSync(home, { recursive: true })
    cpSync(`${home}-early`, home, { recursive: true })
    expect(await verify()).toMatchObject({ verdict: 'failed', findings: [{ code: 'rolled_back' }] })
    // Nor is it anchored any more.
    await expect(anchorNow(home, rgw.env)).rejects.toThrow('its end is gone')
  })

  it('is probed again without leaving anything more behind', async () => {
    const { s3, options } = await makeBucket(true)
    for (let i = 0; i < 2; i++) await (await open({ ...options, lock: 'compliance', retain: '1d' })).probe!(signal)
    const list = await s3.send({ method: 'GET', query: { versions: '' }, signal })
    expect(
      Buffer.from(list.body)
        .toString()
        .match(/<Version>/g),
    ).toHaveLength(1)
  })

  it('a bucket without Object Lock is refused where a lock is asked for', async () => {
    const { options } = await makeBucket(false)
    await (await open(options)).probe!(signal)
    const anchor = await open({ ...options, lock: 'compliance', retain: '1d' })
    await expect(anchor.probe!(signal)).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
  })

  it('a clock that is wrong is named, with both times', async () => {
    const { options } = await makeBucket(false)
    const anchor = await open(options, { clock: () => Date.now() - 3_600_000 })
    const log = await AnchorTestLog.make(ORIGIN)
    await expect(anchor.anchor(log.task(await log.grow(1)))).rejects.toMatchObject({
      code: 'ERR_ANCHOR_REFUSED',
      message: expect.stringMatching(/clock is wrong: it is 20.*Z there and 20.*Z here/),
    })
  })

  it('wrong credentials, no bucket: refused, and no secret in the message', async () => {
    const { options } = await makeBucket(false)
    const log = await AnchorTestLog.make(ORIGIN)
    const task = log.task(await log.grow(1))
    const secret = 'not-the-secret'
    for (const [more, env] of [
      [{}, { ...rgw.env, AWS_SECRET_ACCESS_KEY: secret }],
      [{}, { ...rgw.env, AWS_ACCESS_KEY_ID: secret }],
      [{ bucket: 'no-such-bucket' }, rgw.env],
    ] as const) {
      const failure = await (await open({ ...options, ...more }, { env })).anchor(task).catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
      expect(String(failure)).not.toContain(secret)
    }
    await expect((await open(options, { env: {} })).anchor(task)).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringContaining('AWS_ACCESS_KEY_ID'),
    })
  })

  it('of sixteen that write one name at once, one does', async () => {
    const { s3 } = await makeBucket(false)
    const put = (i: number) => {
      const body = utf8(`writer ${i}`)
      return s3.send({ method: 'PUT', key: 'race', body, headers: { 'if-none-match': '*' }, signal })
    }
    const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => put(i)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  it('lists more than fit one page', async () => {
    const { options } = await makeBucket(false)
    const log = await AnchorTestLog.make(ORIGIN)
    const anchor = await open(options)
    const checkpoint = await log.grow(1)
    await anchor.anchor(log.task(checkpoint))
    const s3 = client(options.bucket as string)
    const sizes = Array.from({ length: 1004 }, (_, i) => i + 10)
    const put = (size: number) =>
      s3.send({ method: 'PUT', key: `checkpoint/${String(size).padStart(16, '0')}`, body: utf8('x'), signal })
    while (sizes.length > 0) await Promise.all(sizes.splice(0, 16).map(put))
    await expect(anchor.anchor(log.task(await log.grow(1)))).rejects.toMatchObject({
      code: 'ERR_ANCHOR_REFUSED',
      message: expect.stringContaining('checkpoint/0000000000001013'),
    })
  })
})
