import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createLog, openLog, Pins, verifyHome } from '../src/index.ts'
import { prepareEvent } from '../src/record/event.ts'
import { normalizeTime } from '../src/record/time.ts'

const ev = { type: 'tool.end', actor: { type: 'agent', id: 'a' } } as const
async function fresh(seconds = 3600) {
  const dir = mkdtempSync(join(tmpdir(), 'probe-'))
  const pins = new Pins(join(dir, 'pins'))
  const home = join(dir, 'home')
  const made = await createLog({ home, pins, epochSeconds: seconds, origin: 'o.example/a' })
  return { home, pins, made }
}
it('live verify', async () => {
  const { home, pins } = await fresh()
  const log = await openLog({ home })
  let stop = false
  const writer = (async () => { while (!stop) await log.record(ev) })()
  const out = []
  for (let i = 0; i < 20; i++) { const r = await verifyHome({ home, pins: null, trust: undefined as never }).catch(e => e); out.push(r.verdict ?? String(r), r.findings?.[0]?.message) }
  stop = true; await writer; await log.close()
  console.log('LIVE', JSON.stringify(out))
})
it('rotate race', async () => {
  const { home, pins } = await fresh()
  const log = await openLog({ home })
  let stop = false
  const writer = (async () => { while (!stop) { await Promise.all([log.record(ev), log.record(ev)]) } })()
  const w2 = (async () => { while (!stop) { await log.record(ev) } })()
  await log.rotateKey()
  await new Promise(r => setTimeout(r, 50))
  stop = true; await writer; await w2; await log.close()
  const r = await verifyHome({ home, pins })
  console.log('RACE', r.verdict, JSON.stringify(r.findings.slice(0, 3)))
  const r1 = await openLog({ home }).then(l => l.close().then(() => 'ok'), e => String(e))
  console.log('REOPEN', r1)
})
it('two rotations with pin', async () => {
  const { home, pins } = await fresh()
  const log = await openLog({ home })
  await log.record(ev); await log.rotateKey(); await log.record(ev)
  console.log('ROT1', JSON.stringify((await verifyHome({ home, pins })).findings))
  await log.rotateKey(); await log.record(ev)
  console.log('ROT2', JSON.stringify((await verifyHome({ home, pins })).findings))
  console.log('ROT3', JSON.stringify((await verifyHome({ home, pins })).findings))
  await log.close()
})
it('event oddities', () => {
  const t = (e: unknown) => { try { const p = prepareEvent(e, 'observed'); return JSON.stringify({ m: p.members, p: [...p.parts.keys()] }) } catch (x) { return String(x) } }
  console.log('PROTO parts', t({ ...ev, parts: JSON.parse('{"__proto__":{"value":1}}') }))
  console.log('PROTO event', t(JSON.parse('{"type":"tool.end","actor":{"type":"agent","id":"a"},"__proto__":{"x":1}}')))
  console.log('PROTO usage', t({ ...ev, usage: JSON.parse('{"__proto__":5}') }))
  console.log('PROTO actor', t({ type: 'tool.end', actor: JSON.parse('{"type":"agent","id":"a","__proto__":{"x":1}}') }))
  const rp = Proxy.revocable({}, {}); rp.revoke()
  console.log('revoked attr', t({ ...ev, attributes: { a: rp.proxy } }))
  console.log('revoked attrs', t({ ...ev, attributes: rp.proxy }))
  console.log('revoked event', t(rp.proxy))
  console.log('getter part', t({ ...ev, parts: { output: { get value() { throw new Error('SECRET') } } } }))
  console.log('revoked part', t({ ...ev, parts: { output: { value: rp.proxy } } }))
  console.log('symbol attr', t({ ...ev, attributes: { a: Symbol('x'), b: () => 1, c: 1n, d: NaN } }))
  console.log('code num', t({ ...ev, error: { type: 'E', code: 404 } }))
  console.log('call twice', t({ ...ev, call: 'x'.repeat(300), parts: { call: { value: 1 } } }))
  console.log('TIMES', ['9999-12-31T23:59:59-01:00', '0000-01-01T00:00:00+01:00', '2016-12-31T23:59:60Z', '2026-01-01T00:00:00+24:00', '2026-01-01T00:00:00+23:59', '2026-01-01T00:00:00-00:00', '2026-01-01 00:00:00Z','2026-02-29T00:00:00Z', '2026-01-01T00:00:00+01:60'].map(normalizeTime))
})
it('short epochs', async () => {
  let bad = 0
  for (let i = 0; i < 12; i++) { const { home, pins } = await fresh(1); const r = await verifyHome({ home, pins }); if (r.verdict !== 'verified') { bad++; console.log(JSON.stringify(r.findings)) } await new Promise(r => setTimeout(r, 77)) }
  console.log('SHORT bad', bad)
})
