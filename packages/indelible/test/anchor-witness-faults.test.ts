/** A witness as C2SP tlog-witness has it, and what a log makes of witnesses that are not. */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { openAnchor } from '../src/anchor/kinds.ts'
import { createWitness, openWitness } from '../src/anchor/witness-home.ts'
import { WitnessState } from '../src/anchor/witness-state.ts'
import { fromHex } from '../src/bytes.ts'
import { generateCosignerSkey, signerFromSkey } from '../src/keys/signer.ts'
import { formatAddCheckpoint, parseAddCheckpoint } from '../src/note/add-checkpoint.ts'
import { cosignatureMessage, formatCosignature, parseCosignature } from '../src/note/cosignature.ts'
import { formatSignatureLine, formatVkey, openNote, parseVkey, verifierKey } from '../src/note/signed-note.ts'
import { AnchorTestLog } from '../src/testing/index.ts'
import { proveConsistency } from '../src/tree/proof.ts'
import { sourceNodeReader } from '../src/tree/source.ts'
import { Cleanup, startServer, startWitness, type TestWitness, use } from './anchor-kit.ts'

const ORIGIN = 'witnessed.example/log'
const cleanup = new Cleanup()
afterEach(() => cleanup.run())

const post = (url: string, body: string | Uint8Array) =>
  fetch(`${url}/add-checkpoint`, { method: 'POST', body: body as string })

async function request(log: AnchorTestLog, old: number): Promise<string> {
  const { note, size } = await log.checkpoint()
  const proof = old === 0 || old === size ? [] : await proveConsistency(old, size, sourceNodeReader(log.store, size))
  return formatAddCheckpoint({ old, proof, checkpoint: note })
}

async function status(witness: TestWitness, body: string): Promise<number> {
  return (await post(witness.url, body)).status
}

describe('the witness', () => {
  it('answers the transcript of another implementation', () => {
    const vectors = JSON.parse(
      readFileSync(new URL('../../../vectors/witness-add-checkpoint.json', import.meta.url), 'utf8'),
    ) as {
      origin: string
      log_public_key_hex: string
      steps: { old: number; proof: string[]; size: number; root: string; sig: string; want: number; body?: string }[]
    }
    const key = verifierKey({ name: vectors.origin, type: 1, publicKey: fromHex(vectors.log_public_key_hex) })
    const path = join(cleanup.folder(), 'witness.db')
    using state = WitnessState.open(path, signerFromSkey(generateCosignerSkey('w')))
    state.addLog(key)
    expect(vectors.steps.length).toBeGreaterThan(5)
    for (const step of vectors.steps) {
      const lines = [`old ${step.old}`, ...step.proof, '', vectors.origin, step.size, step.root, '']
      const verdict = state.add(`${lines.join('\n')}\n\u2014 ${vectors.origin} ${step.sig}\n`)
      expect(verdict.status).toBe(step.want)
      if (verdict.status === 409) expect(`${verdict.size}\n`).toBe(step.body)
    }
  })

  it('answers each kind of request with the status of the specification', async () => {
    const log = await AnchorTestLog.make(ORIGIN)
    const witness = await startWitness(cleanup, [log.vkey])
    await log.grow(3)
    const good = await request(log, 0)
    for (const bad of [
      '',
      'old',
      good.replace('old 0', 'old 00'),
      good.replace('old 0', 'old -1'),
      good.slice(0, 40),
    ]) {
      expect(await status(witness, bad)).toBe(400)
    }
    expect(await status(witness, good.replaceAll(ORIGIN, 'other.example/log'))).toBe(404)
    expect(await status(witness, good.replace(/\n4\n/, '\n5\n'))).toBe(403)
    const stranger = await AnchorTestLog.make(ORIGIN)
    expect(await status(witness, await request(stranger, 0))).toBe(403)
    expect(await status(witness, good.replace('old 0', 'old 7'))).toBe(400)
    const ahead = await post(witness.url, good.replace('old 0', 'old 2'))
    expect(ahead.status).toBe(409)
    expect(await ahead.text()).toBe('0\n')
    const hash = Buffer.alloc(32).toString('base64')
    expect(await status(witness, good.replace('old 0\n', `old 0\n${hash}\n`))).toBe(422)
    const accepted = await post(witness.url, good)
    expect(accepted.status).toBe(200)
    const note = (await log.checkpoint()).note
    const { verified } = openNote(`${note}${await accepted.text()}`, [parseVkey(witness.vkey)])
    expect(Math.abs(parseCosignature(verified[0]!.signature).timestamp - Date.now() / 1000)).toBeLessThan(60)
    await log.grow(5)
    const stale = await post(witness.url, await request(log, 2))
    expect([stale.status, stale.headers.get('content-type'), await stale.text()]).toEqual([
      409,
      'text/x.tlog.size',
      '4\n',
    ])
    const grown = await request(log, 4)
    expect(await status(witness, grown.replace(/\n[A-Za-z0-9+/=]{44}\n\n/, `\n${hash}\n\n`))).toBe(422)
    expect(await status(witness, grown)).toBe(200)
    expect(await status(witness, await request(log, 9))).toBe(200)
  })

  it('serves what it cosigned last, under the hash of the origin', async () => {
    const log = await AnchorTestLog.make(ORIGIN)
    const witness = await startWitness(cleanup, [log.vkey])
    const { createHash } = await import('node:crypto')
    const id = createHash('sha256').update(ORIGIN).digest('hex')
    expect((await fetch(`${witness.url}/${id}/checkpoint`)).status).toBe(404)
    await status(witness, await request(log, 0))
    const note = await (await fetch(`${witness.url}/${id}/checkpoint`)).text()
    expect(openNote(note, [log.key, parseVkey(witness.vkey)]).verified).toHaveLength(2)
  })

  it('cosigns one of many histories that come at once, and no second one ever', async () => {
    const skey = await import('../src/keys/signer.ts').then(({ generateSkey }) => generateSkey(ORIGIN, 'default'))
    const logs = await Promise.all(Array.from({ length: 12 }, () => AnchorTestLog.make(ORIGIN, skey)))
    const folder = cleanup.folder()
    createWitness(folder, 'w.example')
    // Two processes on one memory, as it were: the transaction must hold between them too.
    const [one, two] = [openWitness(folder), openWitness(folder)]
    cleanup.add(() => one[Symbol.dispose]())
    cleanup.add(() => two[Symbol.dispose]())
    one.addLog(logs[0]!.key)
    const { listenWitness } = await import('../src/anchor/witness-listen.ts')
    const servers = await Promise.all([one, two].map((state) => listenWitness(state, { perMinute: 1000 })))
    for (const server of servers) cleanup.add(() => server.close())
    const round = async (old: number, candidates: readonly AnchorTestLog[]) => {
      const bodies = await Promise.all(candidates.map((log) => request(log, old)))
      const answers = await Promise.all(bodies.map((body, i) => post(servers[i % 2]!.url, body)))
      return answers.map(({ status }) => status)
    }
    for (const log of logs) await log.grow(2)
    const first = await round(0, logs)
    expect(first.filter((status) => status === 200)).toHaveLength(1)
    expect(first.filter((status) => status === 409)).toHaveLength(11)
    const winner = logs[first.indexOf(200)]!
    for (const log of logs) await log.grow(4)
    const second = await round(3, logs)
    expect(second.flatMap((status, i) => (status === 200 ? [logs[i]] : []))).toEqual([winner])
    expect(second.filter((status) => status !== 200).every((status) => status === 422 || status === 409)).toBe(true)
  })

  it('remembers after a restart, and refuses to start without its memory', async () => {
    const log = await AnchorTestLog.make(ORIGIN)
    const witness = await startWitness(cleanup, [log.vkey])
    await log.grow(4)
    await status(witness, await request(log, 0))
    await witness.stop()
    using again = openWitness(witness.folder)
    expect(again.logs()).toEqual([{ origin: ORIGIN, vkeys: [log.vkey], size: 5 }])
    expect(again.add(await request(log, 0))).toEqual({ status: 409, size: 5 })
    again.removeLog(ORIGIN)
    expect(again.add(await request(log, 5)).status).toBe(404)
    expect(again.latest(ORIGIN)).not.toBe(null)
    const { rmSync } = await import('node:fs')
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(witness.folder, `witness.db${suffix}`), { force: true })
    expect(() => openWitness(witness.folder)).toThrow(expect.objectContaining({ code: 'ERR_HOME_NOT_FOUND' }))
    expect(() => createWitness(witness.folder, 'w2')).toThrow(expect.objectContaining({ code: 'ERR_HOME_EXISTS' }))
  })

  it('reads no more than it must, and not from one client all day', async () => {
    const witness = await startWitness(cleanup, [], { perMinute: 5, maxBytes: 1000 })
    expect((await post(witness.url, 'x'.repeat(2000))).status).toBe(413)
    expect((await post(witness.url, new Uint8Array([0xff, 0xfe]))).status).toBe(400)
    const statuses = await Promise.all(Array.from({ length: 10 }, () => status(witness, '')))
    expect(statuses.filter((one) => one === 429)).toHaveLength(7)
    expect((await post(witness.url, '')).headers.get('retry-after')).toMatch(/^[0-9]+$/)
  })

  it('reads the requests that it writes, and no other spelling', () => {
    const text = 'old 3\n\nnote'
    expect(formatAddCheckpoint(parseAddCheckpoint(text))).toBe(text)
    for (const wrong of [
      'old 3',
      'old 3\n\n',
      'old  3\n\nx',
      `old 3\n${'A'.repeat(43)}=\n`.repeat(1),
      'old 3\nAA==\n\nx',
    ]) {
      expect(() => parseAddCheckpoint(wrong)).toThrow(expect.objectContaining({ code: 'ERR_NOTE_INVALID' }))
    }
    const many = `old 3\n${`${Buffer.alloc(32).toString('base64')}\n`.repeat(64)}\nx`
    expect(() => parseAddCheckpoint(many)).toThrow(expect.objectContaining({ code: 'ERR_NOTE_INVALID' }))
  })
})

describe('a log whose witness', () => {
  const signer = signerFromSkey(generateCosignerSkey('fake.example'))
  const vkey = formatVkey(signer.key)

  async function anchorWith(listener: (body: string, answer: ServerResponse) => void, milliseconds = 20_000) {
    const log = await AnchorTestLog.make(ORIGIN)
    await log.grow(6)
    const requests: string[] = []
    const url = await startServer(cleanup, async (incoming: IncomingMessage, answer) => {
      let body = ''
      for await (const chunk of incoming) body += chunk
      requests.push(body)
      listener(body, answer)
    })
    const config = { name: 'w', kind: 'witness', required: true, options: { vkey, url } }
    const anchor = await openAnchor(config, use('.', ORIGIN))
    const task = log.task(await log.checkpoint(), null, { signal: AbortSignal.timeout(milliseconds) })
    const result = anchor.anchor(task)
    result.catch(() => {})
    return { result, requests, log }
  }

  function cosignature(body: string, timestamp = 1_800_000_000, text = textOf(body)): string {
    const signature = signer.sign(cosignatureMessage(text, timestamp))
    return formatSignatureLine(signer.key, formatCosignature({ timestamp, signature }))
  }
  const textOf = (body: string) => {
    const note = body.slice(body.indexOf('\n\n') + 2)
    return note.slice(0, note.lastIndexOf('\n\n') + 1)
  }

  it('has seen an older size sends another proof, once it is told', async () => {
    const { result, requests } = await anchorWith((body, answer) => {
      if (body.startsWith('old 5\n')) answer.end(cosignature(body))
      else answer.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end('5\n')
    })
    expect((await result).note).toContain('fake.example')
    expect(requests.map((body) => body.split('\n')[0])).toEqual(['old 0', 'old 5'])
  })

  it.for([
    ['has seen a larger size: the log was rolled back', 409, '99\n', 'ERR_ROLLED_BACK'],
    ['answers 409 without a size', 409, 'later', 'ERR_ANCHOR_FAILED'],
    ['answers 409 with the size that was sent', 409, '0\n', 'ERR_ANCHOR_FAILED'],
    ['does not know the log', 404, '', 'ERR_ANCHOR_REFUSED'],
    ['does not trust its key', 403, '', 'ERR_ANCHOR_REFUSED'],
    ['does not take the request', 400, '', 'ERR_ANCHOR_REFUSED'],
    ['has cosigned another tree', 422, '', 'ERR_SPLIT_VIEW'],
    ['asks for patience', 429, '', 'ERR_ANCHOR_FAILED'],
    ['breaks down', 500, '', 'ERR_ANCHOR_FAILED'],
    ['answers 200 with garbage', 200, 'thank you\n', 'ERR_ANCHOR_FAILED'],
    ['answers 200 with nothing', 200, '', 'ERR_ANCHOR_FAILED'],
    ['answers 200 with a megabyte', 200, 'x'.repeat(2 ** 20), 'ERR_ANCHOR_FAILED'],
    ['sends it elsewhere', 307, '', 'ERR_ANCHOR_FAILED'],
  ] as const)('%s', async ([, status, body, code]) => {
    const { result } = await anchorWith((_, answer) =>
      answer.writeHead(status, { location: 'http://127.0.0.1:9/' }).end(body),
    )
    await expect(result).rejects.toMatchObject({ code })
  })

  it('signs with another key than the policy has is refused', async () => {
    const other = signerFromSkey(generateCosignerSkey('fake.example'))
    const { result } = await anchorWith((body, answer) => {
      const signature = other.sign(cosignatureMessage(textOf(body), 1))
      answer.end(formatSignatureLine(other.key, formatCosignature({ timestamp: 1, signature })))
    })
    await expect(result).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
  })

  it('signs another checkpoint, or breaks its signature, gives no receipt', async () => {
    const swapped = await anchorWith((body, answer) => answer.end(cosignature(body, 1, textOf(body).replace('7', '8'))))
    await expect(swapped.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
  })

  it('never agrees on a size is left after a few tries', async () => {
    let n = 0
    const { result, requests } = await anchorWith((_, answer) => answer.writeHead(409).end(`${(n++ % 5) + 1}\n`))
    await expect(result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
    expect(requests.length).toBeLessThan(10)
  })

  it('does not answer in time, or within an answer, fails for now', async () => {
    const silent = await anchorWith(() => {}, 200)
    await expect(silent.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
    const slow = await anchorWith((_, answer) => answer.writeHead(200).write('— '), 200)
    await expect(slow.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
  })
})

describe('a quorum of witnesses', () => {
  async function quorumOf(rule: string, down: readonly string[]) {
    const log = await AnchorTestLog.make(ORIGIN)
    const checkpoint = await log.grow(3)
    const names = ['a', 'b', 'c']
    const witnesses = await Promise.all(
      names.map((name) => startWitness(cleanup, [log.vkey], { name: `${name}.example` })),
    )
    const lines = witnesses.map(({ vkey, url }, i) => `witness ${names[i]} ${vkey} ${url}\n`).join('')
    for (const [i, name] of names.entries()) if (down.includes(name)) await witnesses[i]!.stop()
    const folder = cleanup.folder()
    const { writeFileSync } = await import('node:fs')
    writeFileSync(join(folder, 'w.policy'), `${lines}${rule}`)
    const config = { name: 'w', kind: 'witness', required: true, options: { policy: 'w.policy' } }
    const anchor = await openAnchor(config, use(folder, ORIGIN))
    return { result: anchor.anchor(log.task(checkpoint)), keys: witnesses.map(({ vkey }) => parseVkey(vkey)) }
  }

  it('is met while enough of them answer; who did not is told', async () => {
    const { result, keys } = await quorumOf('group g 2 a b c\nquorum g\n', ['b'])
    const { note, warnings } = await result
    expect(openNote(note!, keys).verified.map(({ key }) => key.name)).toEqual(['a.example', 'c.example'])
    expect(warnings!.join()).toContain('"b"')
  })

  it('is not met by too few, or by the wrong ones', async () => {
    const few = await quorumOf('group g 2 a b c\nquorum g\n', ['a', 'b'])
    await expect(few.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
    const wrong = await quorumOf('group g any b c\ngroup h all a g\nquorum h\n', ['a'])
    await expect(wrong.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
  })
})
