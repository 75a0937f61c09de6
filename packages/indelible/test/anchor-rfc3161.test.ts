/** Timestamps over checkpoints: `openssl ts` as the authority, and authorities that are not what they should be. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import type { AnchorUse } from '../src/anchor/anchor.ts'
import { openAnchor, openAnchorVerifier } from '../src/anchor/kinds.ts'
import { fromBase64, utf8 } from '../src/bytes.ts'
import { type IndelibleError, isIndelibleError } from '../src/errors.ts'
import { AnchorTestLog, describeAnchor, receiptOf } from '../src/testing/index.ts'
import type { AnchorReceipt } from '../src/verify/anchors.ts'
import { checkTimestamp, parseCertificates } from '../src/verify/timestamp-token.ts'
import { Cleanup, use } from './anchor-kit.ts'
import { type Answer, type AuthorityOptions, sendReply, TestAuthority } from './tsa-kit.ts'

const ORIGIN = 'stamped.example/log'
const cleanup = new Cleanup()
const shared = new Cleanup()
afterEach(() => cleanup.run())
afterAll(() => shared.run())

/** One for all tests that need nothing special: each costs five runs of openssl. */
let usual: TestAuthority | undefined
const authority = () => {
  usual ??= new TestAuthority(shared)
  return usual
}

describeAnchor(
  'rfc3161',
  async ({ origin }) => {
    const own = new Cleanup()
    const tsa = authority()
    const url = await tsa.serve(own)
    const config = { name: 't', kind: 'rfc3161', required: true }
    return {
      open: () => openAnchor({ ...config, options: { url, certificates: tsa.root } }, use('.', origin)),
      verifier: () => openAnchorVerifier({ ...config, options: { certificates: tsa.root } }, use('.', origin)),
      cut: () => own.run(),
      lacks: {
        memory: 'an authority compares nothing with what it signed before',
        ask: 'an authority keeps nothing that it could be asked for',
      },
      dispose: () => own.run(),
    }
  },
  { describe, it },
)

interface Scene {
  tsa?: TestAuthority
  answer?: Answer
  options?: Record<string, unknown>
  more?: Partial<AnchorUse>
  timeoutMs?: number
}

async function stamp({ tsa = authority(), answer, options, more, timeoutMs = 20_000 }: Scene = {}) {
  const log = await AnchorTestLog.make(ORIGIN)
  const checkpoint = await log.grow(4)
  const url = await tsa.serve(cleanup, answer)
  const config = { name: 't', kind: 'rfc3161', required: true, options: { url, certificates: tsa.root, ...options } }
  const anchor = await openAnchor(config, use('.', ORIGIN, more))
  const task = log.task(checkpoint, null, { signal: AbortSignal.timeout(timeoutMs) })
  const result = anchor.anchor(task).then((given) => receiptOf(anchor, checkpoint, given))
  result.catch(() => {})
  return { tsa, result, log }
}

const judge = async (receipt: AnchorReceipt, options: Record<string, unknown>, more: Partial<AnchorUse> = {}) => {
  const trust = { name: 't', kind: 'rfc3161', required: true, options }
  return (await openAnchorVerifier(trust, use('.', ORIGIN, more))).check(receipt, [])
}

const make = (options: AuthorityOptions) => new TestAuthority(cleanup, options)

describe('a token of an honest authority', () => {
  it('is what openssl takes for one, over the signed note byte for byte', async () => {
    const { tsa, result } = await stamp()
    const { checkpoint, proof } = await result
    const folder = cleanup.folder()
    writeFileSync(join(folder, 'token'), fromBase64(proof.token!))
    writeFileSync(join(folder, 'note'), checkpoint)
    const args = [
      'ts',
      '-verify',
      '-data',
      'note',
      '-in',
      'token',
      '-token_in',
      '-CAfile',
      tsa.root,
      '-untrusted',
      tsa.own,
    ]
    expect(execFileSync('openssl', args, { cwd: folder, stdio: 'pipe', encoding: 'utf8' })).toContain(
      'Verification: OK',
    )
    writeFileSync(join(folder, 'note'), checkpoint.replace('\n5\n', '\n6\n'))
    expect(() => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })).toThrow()
  })

  it('leads to the root over an authority between, or is trusted by its own certificate', async () => {
    const tsa = make({ intermediate: true })
    const receipt = await (await stamp({ tsa })).result
    for (const certificates of [tsa.root, join(tsa.folder, 'between.pem'), tsa.own]) {
      expect(await judge(receipt, { certificates })).toMatchObject({ by: ['Test Authority'], counts: true })
    }
  })

  it('may name its certificate by SHA-1, as older authorities do', async () => {
    const tsa = make({ essDigest: 'sha1' })
    expect(await judge(await (await stamp({ tsa })).result, { certificates: tsa.root })).toMatchObject({ counts: true })
  })

  it('still counts when the certificates have ended, and the verifier is told so', async () => {
    const { tsa, result } = await stamp()
    const later = { clock: () => Date.now() + 20 * 365 * 86_400_000 }
    const voucher = await judge(await result, { certificates: tsa.root }, later)
    expect(voucher).toMatchObject({ counts: true })
    expect(voucher!.by[0]).toContain('ended since')
  })

  it('is issued under the policy that was asked for', async () => {
    const { tsa, result } = await stamp({ options: { policy: '1.2.3.4.2' } })
    const receipt = await result
    expect(await judge(receipt, { certificates: tsa.root, policy: '1.2.3.4.2' })).toMatchObject({ counts: true })
    const other = judge(receipt, { certificates: tsa.root, policy: '1.2.3.4.1' })
    await expect(other).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
  })

  it('warns when its certificates end soon', async () => {
    const log = await AnchorTestLog.make(ORIGIN)
    const tsa = authority()
    const options = { url: await tsa.serve(cleanup), certificates: tsa.root }
    const anchor = await openAnchor({ name: 't', kind: 'rfc3161', required: true, options }, use('.', ORIGIN))
    expect((await anchor.anchor(log.task(await log.grow(1)))).warnings!.join()).toContain('within 30 days')
  })

  it('that a verifier kept speaks for itself, whatever the log still shows', async () => {
    const { tsa, result } = await stamp()
    const folder = cleanup.folder()
    writeFileSync(join(folder, 'kept.jsonl'), `${JSON.stringify(await result)}\n`)
    copyFileSync(tsa.root, join(folder, 'root.pem'))
    const options = { certificates: 'root.pem', receipts: 'kept.jsonl' }
    const verifier = await openAnchorVerifier(
      { name: 't', kind: 'rfc3161', required: true, options },
      use(folder, ORIGIN),
    )
    expect(await verifier.ask!(ORIGIN)).toMatchObject([{ counts: true, by: ['Test Authority'] }])
    expect(await verifier.ask!('other.example')).toEqual([])
  })
})

describe('a token with bytes changed', () => {
  it('says the same as before, or is refused by a code', async () => {
    const { tsa, result } = await stamp()
    const { checkpoint, proof } = await result
    const token = fromBase64(proof.token!)
    const trust = { certificates: parseCertificates(readFileSync(tsa.root, 'utf8')) }
    const before = await checkTimestamp(token, utf8(checkpoint), trust)
    const codes = new Map<string, number>()
    for (let at = 0; at < token.length; at += 7) {
      const altered = Uint8Array.from(token)
      altered[at]! ^= 1 << (at % 8)
      try {
        expect(await checkTimestamp(altered, utf8(checkpoint), trust)).toEqual(before)
        codes.set('same', (codes.get('same') ?? 0) + 1)
      } catch (error) {
        expect(isIndelibleError(error), `byte ${at}: ${error}`).toBe(true)
        const { code } = error as IndelibleError
        codes.set(code, (codes.get(code) ?? 0) + 1)
      }
    }
    // The rest is the root's certificate, which the verifier takes from his own policy.
    expect(codes.get('ERR_PROOF_INVALID')).toBeGreaterThan(token.length / 14)
    for (let length = 0; length < token.length; length += 31) {
      const cut = checkTimestamp(token.subarray(0, length), utf8(checkpoint), trust)
      await expect(cut).rejects.toMatchObject({ name: 'IndelibleError' })
    }
  })

  it('does not lead in circles: authorities that issued each other', async () => {
    const tsa = make({ circle: true })
    const root = make({})
    const { result } = await stamp({ tsa, options: { certificates: root.root } })
    await expect(result).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
    expect(await (await stamp({ tsa })).result).toMatchObject({ kind: 'rfc3161' })
  })
})

describe('an authority that', () => {
  it.for<[string, AuthorityOptions, string]>([
    ['has expired', { from: '20200101000000Z', to: '20200201000000Z' }, 'not valid at the time'],
    ['is not valid yet', { from: '20400101000000Z', to: '20410101000000Z' }, 'not valid at the time'],
    ['may sign more than timestamps', { usage: 'critical,timeStamping,codeSigning' }, 'timestamps alone'],
    ['may sign other things', { usage: 'critical,codeSigning' }, 'timestamps alone'],
    ['has a certificate signed over SHA-1', { certificateDigest: 'sha1' }, 'over SHA-1'],
    ['does not say so critically', { usage: 'timeStamping' }, 'timestamps alone'],
  ])('%s is refused', async ([, options, message]) => {
    const tsa = make(options)
    const answer: Answer = (query, response) => sendReply(response, authority().forged(query, tsa))
    const { result } = await stamp({ tsa, answer })
    const refusal = { code: 'ERR_ANCHOR_REFUSED', message: expect.stringContaining(message) }
    await expect(result).rejects.toMatchObject(refusal)
  })

  it('signs the same bytes as something else than a timestamp gives no receipt', async () => {
    const tsa = authority()
    const forged = (type?: string) => ({
      tsa,
      answer: ((query, response) => sendReply(response, tsa.forged(query, tsa, type))) satisfies Answer,
    })
    expect((await (await stamp(forged())).result).proof.token).toBeTruthy()
    const other = await stamp(forged('1.2.840.113549.1.7.1'))
    await expect(other.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
  })

  it('is unknown is refused, and a verifier who does not know it sees no timestamp', async () => {
    const { result } = await stamp({ options: { certificates: make({}).root } })
    await expect(result).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
    const good = await (await stamp()).result
    expect(await judge(good, { certificates: make({}).root })).toBe(null)
  })

  it('has a clock of its own is refused', async () => {
    const { result } = await stamp({ more: { clock: () => Date.now() - 3_600_000 } })
    await expect(result).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED', message: expect.stringMatching(/clock/) })
  })

  it('does not know the policy is refused', async () => {
    const { result } = await stamp({ options: { policy: '1.2.3.4.99' } })
    await expect(result).rejects.toMatchObject({
      code: 'ERR_ANCHOR_REFUSED',
      message: expect.stringContaining('unacceptedPolicy'),
    })
  })

  it('answers another request than ours gives no receipt: another imprint, another nonce', async () => {
    const tsa = authority()
    const nonce = await stamp({
      tsa,
      answer: (query, response) => {
        const at = query.length - 3 - 16
        // The nonce stands before certReq, at the end of the query.
        const other = Uint8Array.from(query)
        other[at + 5]! ^= 1
        sendReply(response, tsa.reply(other))
      },
    })
    await expect(nonce.result).rejects.toMatchObject({
      code: 'ERR_ANCHOR_FAILED',
      message: expect.stringContaining('nonce'),
    })
    const imprint = await stamp({
      tsa,
      answer: (query, response) => {
        const other = Uint8Array.from(query)
        other[30]! ^= 1
        sendReply(response, tsa.reply(other))
      },
    })
    const somethingElse = expect.stringContaining('something else')
    await expect(imprint.result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED', message: somethingElse })
  })

  it('breaks its signature gives no receipt', async () => {
    const tsa = authority()
    const { result } = await stamp({
      tsa,
      answer: (query, response) => {
        const reply = tsa.reply(query)
        reply[reply.length - 5]! ^= 1
        sendReply(response, reply)
      },
    })
    await expect(result).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
  })

  const typed = { 'content-type': 'application/timestamp-reply' }
  it.for<[string, number, Record<string, string>, string | Uint8Array, string]>([
    ['breaks down', 500, {}, '', 'ERR_ANCHOR_FAILED'],
    ['asks for patience', 429, {}, '', 'ERR_ANCHOR_FAILED'],
    ['does not take the request', 400, {}, '', 'ERR_ANCHOR_REFUSED'],
    ['asks who we are', 401, {}, '', 'ERR_ANCHOR_REFUSED'],
    ['sends it elsewhere', 307, { location: 'http://127.0.0.1:9/' }, '', 'ERR_ANCHOR_FAILED'],
    ['answers with a page', 200, { 'content-type': 'text/html' }, '<p>', 'ERR_ANCHOR_FAILED'],
    ['answers with nothing', 200, typed, '', 'ERR_ANCHOR_FAILED'],
    ['answers with garbage', 200, typed, 'garbage', 'ERR_ANCHOR_FAILED'],
    ['answers with a megabyte', 200, typed, 'x'.repeat(2 ** 20), 'ERR_ANCHOR_FAILED'],
    ['grants and sends nothing', 200, typed, Uint8Array.of(0x30, 5, 0x30, 3, 2, 1, 0), 'ERR_ANCHOR_FAILED'],
    ['rejects', 200, typed, Uint8Array.of(0x30, 9, 0x30, 7, 2, 1, 2, 3, 2, 5, 0x20), 'ERR_ANCHOR_REFUSED'],
    ['has no time', 200, typed, Uint8Array.of(0x30, 10, 0x30, 8, 2, 1, 2, 3, 3, 1, 0, 2), 'ERR_ANCHOR_FAILED'],
  ])('%s gives no receipt', async ([, status, headers, body, code]) => {
    const { result } = await stamp({ answer: (_, response) => response.writeHead(status, headers).end(body) })
    await expect(result).rejects.toMatchObject({ code })
  })

  it('does not answer in time fails for now', async () => {
    const { result } = await stamp({ answer: () => {}, timeoutMs: 200 })
    await expect(result).rejects.toMatchObject({
      code: 'ERR_ANCHOR_FAILED',
      message: expect.stringContaining('in time'),
    })
  })
})

describe('options', () => {
  it.for<[string, Record<string, unknown>]>([
    ['no url', { certificates: 'root.pem' }],
    ['a url of another scheme', { url: 'file:///x', certificates: 'root.pem' }],
    ['no certificates', { url: 'http://tsa.example' }],
    ['a file without certificates', { url: 'http://tsa.example', certificates: 'empty.pem' }],
    ['a damaged certificate', { url: 'http://tsa.example', certificates: 'damaged.pem' }],
    ['a policy that is no OID', { url: 'http://tsa.example', certificates: 'root.pem', policy: 'x' }],
    ['an option that there is not', { url: 'http://tsa.example', certificates: 'root.pem', hash: 'sha1' }],
  ])('%s', async ([, options]) => {
    const folder = cleanup.folder()
    copyFileSync(authority().root, join(folder, 'root.pem'))
    writeFileSync(join(folder, 'empty.pem'), '')
    writeFileSync(join(folder, 'damaged.pem'), readFileSync(authority().root, 'utf8').replace(/\nMII.{40}/, '\nMIIB'))
    const config = { name: 't', kind: 'rfc3161', required: true, options }
    await expect(openAnchor(config, use(folder, ORIGIN))).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    const { url: _, ...trust } = options
    if (trust.certificates === 'root.pem' && Object.keys(trust).length === 1) return
    const verifier = openAnchorVerifier({ ...config, options: trust }, use(folder, ORIGIN))
    await expect(verifier).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
  })
})
