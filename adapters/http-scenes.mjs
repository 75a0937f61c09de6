/** What every adapter for an HTTP framework has to record: the same requests over loopback, the same entries. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TestStage } from 'indelible/testing'

/** How the routes behave that each harness has to have; `ran` counts handlers. */
export const ROUTES = {
  /** `GET /patients/:id` → JSON; `POST /echo` → the body; `GET /fail` throws {@link boom}; `GET /secret` → 403; `GET /stream` and
   * `GET /wait` answer with {@link chunks}; `GET /text` → {@link long}; `GET /health` is skipped. */
  boom: () => Object.assign(new RangeError('the card of 4111 1111 1111 1111 was declined'), { code: 'E_CARD' }),
  long: 'x'.repeat(200_000),
  async *chunks() {
    yield 'Hello, '
    await sleep(5)
    yield 'world.'
  },
  /** Until whoever asked has left. */
  async *endless() {
    for (;;) {
      yield 'tick\n'
      await sleep(5)
    }
  },
}

/**
 * @param harness `start(stage, options)` starts an app with the adapter on it, on a free port of loopback: `{url, ran, close}`;
 * its `who` reads the header `x-user`
 */
export function describeHttpAdapter({ name, framework, start, unknownVersion, bypasses = [] }) {
  const passed = new Set()
  const wanted = []
  const scene = (title, body, onFailure = 'continue', options = {}) => {
    wanted.push(title)
    it(title, async () => {
      const stage = await TestStage.open(onFailure)
      const app = await start(stage, options)
      try {
        await body(stage, app)
        passed.add(title)
      } finally {
        await app.close()
        await stage.close()
      }
    })
  }

  describe(`${name} adapter (${framework})`, () => {
    scene('records who asked what, and how it went', async (stage, { url }) => {
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      const headers = { 'x-user': 'dr-7', traceparent, authorization: 'Bearer s3cret', cookie: 'id=s3cret' }
      assert.equal((await fetch(`${url}/patients/12?fields=name`, { headers })).status, 200)
      const [asked, answered] = await entries(stage, 2)
      assert.deepEqual([asked.record.type, asked.record.outcome], ['http.request', 'pending'])
      assert.deepEqual([answered.record.type, answered.record.outcome], ['http.response', 'success'])
      assert.equal(asked.record.call, answered.record.call)
      for (const { record } of [asked, answered]) {
        assert.deepEqual(record.actor, { type: 'user', id: 'dr-7' })
        assert.equal(record.trace.trace_id, '0af7651916cd43dd8448eb211c80319c')
      }
      assert.equal(asked.parts.path, '/patients/12?fields=name')
      assert.deepEqual(pick(answered.record.attributes, 'method', 'route', 'status'), ['GET', '/patients/:id', 200])
      assert.ok(answered.record.duration_ms > 0)
      assert.doesNotMatch(JSON.stringify([asked, answered]), /s3cret/)
      assert.doesNotMatch(JSON.stringify([asked.record, answered.record]), /patients\/12/)
    })
    scene('records bodies as parts', async (stage, { url }) => {
      const body = { name: 'Ann', tags: [1, 2] }
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${url}/echo`, { method: 'POST', headers, body: JSON.stringify(body) })
      assert.deepEqual(await response.json(), { got: body })
      const [asked, { record, parts }] = await entries(stage, 2)
      assert.equal(asked.record.actor.id, 'anonymous')
      assert.deepEqual(parts, { input: body, output: { got: body } })
      assert.equal(record.attributes.bytes, JSON.stringify({ got: body }).length)
    })
    scene('keeps no more of a body than it may', async (stage, { url }) => {
      assert.equal(await (await fetch(`${url}/text`)).text(), ROUTES.long)
      const [, { record, parts }] = await entries(stage, 2)
      assert.deepEqual(pick(record.attributes, 'bytes', 'clipped'), [200_000, true])
      assert.equal(parts.output.length, 64 * 1024)
    })
    scene(
      'keeps no bodies where it is told so',
      async (stage, { url }) => {
        const headers = { 'content-type': 'application/json' }
        await (await fetch(`${url}/echo`, { method: 'POST', headers, body: '{"a":1}' })).text()
        const [, { parts }] = await entries(stage, 2)
        assert.deepEqual(parts, {})
      },
      'continue',
      { bodies: false },
    )
    scene('records a handler that throws', async (stage, { url }) => {
      assert.equal((await fetch(`${url}/fail`)).status, 500)
      const [, { record }] = await entries(stage, 2)
      assert.deepEqual([record.type, record.outcome, record.attributes.status], ['http.response', 'failure', 500])
      assert.deepEqual([record.error.type, record.error.code], ['RangeError', 'E_CARD'])
    })
    scene('tells what was denied from what was not found', async (stage, { url }) => {
      assert.equal((await fetch(`${url}/secret`)).status, 403)
      assert.equal((await fetch(`${url}/nowhere/12`)).status, 404)
      const all = await entries(stage, 4)
      const outcomes = all.filter(({ record }) => record.type === 'http.response').map(({ record }) => record.outcome)
      assert.deepEqual(outcomes, ['denied', 'failure'])
      assert.doesNotMatch(JSON.stringify(all.map(({ record }) => record)), /nowhere/)
    })
    scene('passes a stream on, and records it when it ends', async (stage, { url }) => {
      assert.equal(await (await fetch(`${url}/stream`)).text(), 'Hello, world.')
      const [, { record, parts }] = await entries(stage, 2)
      assert.deepEqual([record.attributes.bytes, parts.output], [13, 'Hello, world.'])
    })
    scene('records that whoever asked has left', async (stage, { url }) => {
      const abort = new AbortController()
      const response = await fetch(`${url}/wait`, { signal: abort.signal })
      await response.body.getReader().read()
      abort.abort()
      const [, { record }] = await entries(stage, 2)
      assert.deepEqual([record.type, record.outcome, record.attributes.route], ['http.abort', 'failure', '/wait'])
    })
    scene('keeps requests apart that come at once', async (stage, { url }) => {
      const ids = Array.from({ length: 20 }, (_, i) => i)
      await Promise.all(
        ids.map(async (id) => (await fetch(`${url}/patients/${id}`, { headers: { 'x-user': `u-${id}` } })).text()),
      )
      const all = await entries(stage, 40)
      const byCall = Map.groupBy(all, ({ record }) => record.call)
      assert.equal(byCall.size, 20)
      for (const [asked, answered] of byCall.values()) {
        assert.equal(asked.parts.path, `/patients/${answered.parts.output.id}`)
        assert.equal(answered.record.actor.id, `u-${answered.parts.output.id}`)
      }
    })
    scene('leaves out what it is told to', async (stage, { url }) => {
      assert.equal((await fetch(`${url}/health`)).status, 200)
      await sleep(20)
      assert.deepEqual(await stage.records(), [])
    })
    scene('goes on while nothing can be recorded, and records it all later', async (stage, { url, ran }) => {
      stage.fail(() => true)
      assert.equal((await fetch(`${url}/patients/1`)).status, 200)
      assert.equal(ran(), 1)
      stage.recover()
      await entries(stage, 2)
    })
    scene(
      'runs no handler whose request cannot be recorded, in mode block',
      async (stage, { url, ran }) => {
        stage.fail(({ type }) => type === 'http.request')
        const response = await fetch(`${url}/patients/1`)
        assert.equal(response.status, 503)
        assert.equal((await response.json()).error.code, 'ERR_CAPTURE_BLOCKED')
        assert.equal(ran(), 0)
        stage.recover()
        const [{ record }] = await entries(stage, 1)
        assert.deepEqual(
          [record.type, record.outcome, record.policy.id],
          ['policy.evaluated', 'denied', 'indelible.capture'],
        )
        assert.equal((await fetch(`${url}/patients/2`)).status, 200)
        const all = await entries(stage, 3)
        assert.equal(all.find(({ record }) => record.type === 'http.request').record.assurance, 'enforced')
      },
      'block',
    )
    wanted.push('version')
    it('says so where it does not know the version of the framework', async () => {
      const stage = await TestStage.open('continue')
      await assert.rejects(async () => unknownVersion(stage), { code: 'ERR_CAPTURE_UNSUPPORTED' })
      await stage.close()
      passed.add('version')
    })
    it('gives its row of the documentation', () => {
      assert.deepEqual(
        wanted.filter((title) => !passed.has(title)),
        [],
      )
      const results = process.env.INDELIBLE_ADAPTER_RESULTS
      if (results === undefined) return
      const http = {
        request: true,
        bodies: true,
        errors: true,
        streams: true,
        abort: true,
        continue: true,
        block: true,
      }
      const row = { name, framework, http, bypasses }
      mkdirSync(results, { recursive: true })
      writeFileSync(join(results, `${name}.json`), `${JSON.stringify(row, null, 2)}\n`)
    })
  })
}

/** The entries, once there are `count`: a client has its answer before the server knows that it is through. */
async function entries(stage, count) {
  for (let tries = 0; tries < 500; tries++) {
    const all = await stage.records()
    if (all.length >= count) {
      assert.equal(all.length, count)
      return all
    }
    await sleep(10)
  }
  throw new assert.AssertionError({ message: `no ${count} entries` })
}

function pick(object, ...names) {
  return names.map((name) => object[name])
}

/** Has a server of Node listen on loopback, and end with all that is connected to it. */
export async function listening(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${server.address().port}`, close }
}
