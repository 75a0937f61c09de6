/** `indelible anchor` and `indelible witness`, and a verifier who has a policy of his own. */
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { unzipSync, zipSync } from 'fflate'
import { describe, expect, it, type TestContext } from 'vitest'
import { jsonLines, Sandbox, someEvents } from './cli/kit.ts'

/** A log, and a witness that cosigns it. */
async function make(test: TestContext) {
  const box = new Sandbox(test)
  const { vkey: log } = await box.makeLog(3, ['--origin', 'example.com/anchored'])
  const json = async (...args: string[]) => {
    const { stdout, code } = await box.indelible([...args, '--json'])
    return { code, lines: jsonLines<Record<string, unknown>>(stdout) }
  }
  const made = await json('witness', 'init', '--name', 'w.example')
  await box.indelible(['witness', 'add', log!])
  const child = box.start(['witness', 'run', '--port', '0', '--json'])
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  const stop = async () => {
    if (child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  test.onTestFinished(stop)
  const { url } = JSON.parse(line) as { url: string }
  const vkey = String(made.lines[0]!.vkey)
  writeFileSync(join(box.work, 'log.policy'), `log ${log}\nwitness w1 ${vkey} ${url}\nquorum w1\n`)
  const trust = { format: 'indelible/trust@1', policy: 'log.policy', max_age: '1h' }
  writeFileSync(join(box.work, 'trust.json'), JSON.stringify(trust))
  return { box, json, url, vkey, log: log!, stop }
}

describe.concurrent('indelible anchor', () => {
  it('has a witness vouch, and says how far it is', async (test) => {
    const { box, json, url, vkey, stop } = await make(test)
    expect((await box.indelible(['anchor', 'now'])).stdout).toContain('no anchors')
    const none = await box.indelible(['verify', '--no-pin', '--trust', 'trust.json', '--json'])
    expect(none.code).toBe(1)
    expect(JSON.parse(none.stdout).findings).toMatchObject([{ code: 'anchor_missing' }])
    const options = ['--option', `url=${url}`, `vkey=${vkey}`]
    expect((await box.indelible(['anchor', 'add', 'w1', '--kind', 'witness', ...options])).code).toBe(0)
    expect((await json('anchor', 'list')).lines).toMatchObject([{ name: 'w1', kind: 'witness', required: true }])
    expect((await json('anchor', 'status')).code).toBe(1)
    expect(await json('anchor', 'now')).toMatchObject({ code: 0, lines: [{ name: 'w1', result: 'anchored', size: 4 }] })
    expect(await json('anchor', 'status')).toMatchObject({ code: 0, lines: [{ size: 4, behind: 0, late: false }] })
    expect((await box.indelible(['verify', '--no-pin', '--trust', 'trust.json'])).stdout).toContain(
      'vouched for by quorum (w1) at ',
    )
    await box.indelible(['record'], { input: someEvents(2) })
    expect((await json('anchor', 'now', '--due')).lines).toMatchObject([{ result: 'waiting' }])
    await stop()
    expect(await json('anchor', 'now')).toMatchObject({ code: 3, lines: [{ error: { code: 'ERR_ANCHOR_FAILED' } }] })
    expect((await box.indelible(['anchor', 'remove', 'w1'])).code).toBe(0)
    expect((await box.indelible(['anchor', 'remove', 'w1'])).code).toBe(2)
  })

  it('takes no anchor that cannot be one', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const add = (...args: string[]) => box.indelible(['anchor', 'add', 'a', ...args])
    for (const args of [
      ['--kind', 'oracle'],
      ['--kind', 'witness'],
      ['--kind', 'witness', '--option', 'url=http://127.0.0.1:1'],
      ['--kind', 'witness', '--option', 'vkey=nonsense', 'url=http://127.0.0.1:1'],
      ['--kind', 'witness', '--option', 'colour=red'],
    ]) {
      const { code, stderr } = await add(...args)
      expect([2, 3], stderr).toContain(code)
    }
    expect((await box.indelible(['anchor', 'list'])).stdout).toContain('no anchors')
  })

  it('gives evidence that a policy of the reader’s own judges', async (test) => {
    const { box, json, url, vkey, log } = await make(test)
    await box.indelible(['anchor', 'add', 'w1', '--kind', 'witness', '--option', `url=${url}`, `vkey=${vkey}`])
    await json('anchor', 'now')
    await box.indelible(['record'], { input: someEvents(3) })
    await box.indelible(['export', '--format', 'evidence', '--out', 'all.evidence.zip'])
    const check = async (file: string, trust: string) => {
      const { code, stdout } = await box.indelible(['check', file, '--trust', trust, '--json'])
      return { code, ...JSON.parse(stdout) }
    }
    const good = await check('all.evidence.zip', 'trust.json')
    expect(good).toMatchObject({ code: 0, verdict: 'verified', anchored: [{ anchor: 'quorum', by: ['w1'] }] })
    const files = unzipSync(readFileSync(join(box.work, 'all.evidence.zip')))
    expect(Buffer.from(files['proposed.policy']!).toString()).toContain(vkey)
    // A reader who trusts another witness is not talked out of it.
    const { lines } = await json('witness', 'init', '--name', 'x.example', '--dir', 'other')
    writeFileSync(join(box.work, 'x.policy'), `log ${log}\nwitness x ${lines[0]!.vkey}\nquorum x\n`)
    expect(await check('all.evidence.zip', 'x.policy')).toMatchObject({
      code: 1,
      findings: [{ code: 'anchor_missing' }],
    })
    // Nor by a receipt that was altered.
    const text = Buffer.from(files['anchors.jsonl']!).toString()
    files['anchors.jsonl'] = Buffer.from(text.replace('"consistency":["', '"consistency":["AAAA'))
    const manifest = JSON.parse(Buffer.from(files['manifest.json']!).toString())
    const { createHash } = await import('node:crypto')
    for (const one of manifest.files) {
      if (one.path !== 'anchors.jsonl') continue
      one.bytes = files['anchors.jsonl'].length
      one.sha256 = createHash('sha256').update(files['anchors.jsonl']).digest('hex')
    }
    files['manifest.json'] = Buffer.from(JSON.stringify(manifest))
    writeFileSync(join(box.work, 'altered.evidence.zip'), zipSync(files))
    const altered = await check('altered.evidence.zip', 'trust.json')
    expect(altered.findings.map(({ code }: { code: string }) => code)).toContain('anchor_invalid')
    // A proof carries the cosignature itself.
    await box.indelible(['prove', '1'])
    const proof = await box.indelible([
      'check',
      'entry-1.tlog-proof',
      '--entry',
      'entry-1.json',
      '--trust',
      'log.policy',
    ])
    expect(proof.stdout).toContain('anchored by')
    await box.indelible(['prove', '5'])
    const late = ['check', 'entry-5.tlog-proof', '--entry', 'entry-5.json', '--trust', 'log.policy']
    expect((await box.indelible(late)).stderr).toContain('ERR_NOTE_UNVERIFIED')
  })

  it('writes the proof of a split view to a file that convinces others', async (test) => {
    const { box, json, url, vkey, log } = await make(test)
    await box.indelible(['anchor', 'add', 'w1', '--kind', 'witness', '--option', `url=${url}`, `vkey=${vkey}`])
    await json('anchor', 'now')
    // Another history, under the same signing key.
    const { signerFromSkey } = await import('../src/keys/signer.ts')
    const { Forger } = await import('./attack-forger.ts')
    const { dropTriggers, openDatabase } = await import('./attack-kit.ts')
    const db = openDatabase(join(box.home, 'log.db'))
    dropTriggers(db)
    const skey = readFileSync(join(box.home, 'keys', 'log.skey'), 'utf8')
    new Forger(db, 'example.com/anchored')
      .edit(2, (entry) => ({ ...entry, outcome: 'denied' }))
      .retree()
      .sign(signerFromSkey(skey))
    db.close()
    const { code, stdout } = await box.indelible(['verify', '--no-pin', '--trust', 'trust.json', '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout).findings.map((one: { code: string }) => one.code)).toContain('split_view')
    const [file] = readdirSync(box.work).filter((name) => name.startsWith('split-view-'))
    expect(file).toBeDefined()
    rmSync(box.home, { recursive: true })
    const checked = await box.indelible(['check', file!, '--vkey', log])
    expect([checked.code, checked.stdout]).toEqual([1, expect.stringContaining('signed two histories')])
  })

  it('works beside a log that is open, in a thread of its own, and tells the log what refused', async (test) => {
    const { box, json, url, vkey } = await make(test)
    const dist = new URL('../dist/index.js', import.meta.url).href
    const script = `
      import { existsSync, readFileSync } from 'node:fs'
      import { openLog } from '${dist}'
      const log = await openLog({ anchor: true })
      for (let i = 0; i < 3; i++) await log.record({ type: 'tool.end', actor: { type: 'agent', id: 'a' } })
      const [file, text] = process.argv.slice(1)
      const isThere = () => existsSync(file) && readFileSync(file, 'utf8').includes(text)
      for (let i = 0; i < 400 && !isThere(); i++) await new Promise((resolve) => setTimeout(resolve, 50))
      await new Promise((resolve) => setTimeout(resolve, 100))
      await log.close()`
    const open = (name: string, text: string) =>
      box.run(process.execPath, ['--input-type=module', '-e', script, join(box.home, 'anchors', name), text])
    await box.indelible(['anchor', 'add', 'w1', '--kind', 'witness', '--option', `url=${url}`, `vkey=${vkey}`])
    expect(await open('w1.jsonl', 'w.example')).toMatchObject({ code: 0, stderr: '' })
    expect((await json('anchor', 'status')).lines).toMatchObject([{ name: 'w1', late: false, failures: 0 }])
    await box.indelible(['witness', 'remove', 'example.com/anchored'])
    await box.indelible(['config', 'set', 'anchors.every', '1s'])
    await open('w1.state.json', 'ERR_ANCHOR_REFUSED')
    const { stdout } = await box.indelible(['list', '--type', 'audit.recovered', '--json'])
    expect(stdout).toContain('"anchor_refused"')
    expect((await json('anchor', 'status')).code).toBe(1)
  })
})
