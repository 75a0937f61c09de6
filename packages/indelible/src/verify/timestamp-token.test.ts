import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromBase64, utf8 } from '../bytes.ts'
import { checkTimestamp, parseCertificates } from './timestamp-token.ts'
import { TimestampVerifier } from './timestamp-verifier.ts'

const vector = JSON.parse(
  readFileSync(new URL('../../../../vectors/timestamp.json', import.meta.url), 'utf8'),
) as Record<'note' | 'token' | 'root' | 'between' | 'authority' | 'policy', string> & { time: number }

const token = fromBase64(vector.token)
const note = utf8(vector.note)
const certificates = parseCertificates(vector.root)

describe('a timestamp token', () => {
  it('is read as openssl made it', async () => {
    const { time, authority, chainEnds, nonce } = await checkTimestamp(token, note, { certificates })
    expect({ time, authority }).toEqual({ time: vector.time, authority: vector.authority })
    expect(chainEnds).toBeGreaterThan(time)
    expect(nonce).toHaveLength(16)
    const between = parseCertificates(vector.between)
    const { policy } = vector
    expect(await checkTimestamp(token, note, { certificates: between, policy })).toMatchObject({ time })
  })

  it('is of these bytes, of this policy, of these authorities', async () => {
    await expect(checkTimestamp(token, utf8(`${vector.note}\n`), { certificates })).rejects.toMatchObject({
      code: 'ERR_PROOF_INVALID',
    })
    const policy = checkTimestamp(token, note, { certificates, policy: '1.2.3' })
    await expect(policy).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
    await expect(checkTimestamp(token, note, { certificates: [] })).rejects.toMatchObject({
      code: 'ERR_NOTE_UNVERIFIED',
    })
    await expect(checkTimestamp(new Uint8Array(), note, { certificates })).rejects.toMatchObject({
      code: 'ERR_PROOF_INVALID',
    })
  })

  it('vouches years after its certificates have ended, and says that they have', async () => {
    const receipt = {
      anchor: 't',
      kind: 'rfc3161',
      origin: '',
      size: 3,
      root: '',
      received: '',
      checkpoint: vector.note,
    }
    const judge = (nowSeconds: number) =>
      new TimestampVerifier({ name: 't', required: true, certificates, clock: () => nowSeconds * 1000 })
    const proof = { token: vector.token }
    const { time } = vector
    expect(await judge(time + 60).check({ ...receipt, proof })).toMatchObject({ by: [vector.authority], time })
    const later = await judge(time + 10 * 365 * 86_400).check({ ...receipt, proof })
    expect(later).toMatchObject({ by: [expect.stringContaining('ended since')], time, counts: true })
    expect(await judge(time).check({ ...receipt, kind: 'witness', proof })).toBe(null)
    for (const damaged of ['not base64', '', 7 as unknown as string]) {
      const check = judge(time).check({ ...receipt, proof: { token: damaged } })
      await expect(check).rejects.toMatchObject({ code: 'ERR_PROOF_INVALID' })
    }
  })

  it('is not judged by what is no certificate', () => {
    for (const pem of ['', 'text', vector.root.replace('MII', 'MIA')]) {
      expect(() => parseCertificates(pem)).toThrow(expect.objectContaining({ code: 'ERR_KEY_INVALID' }))
    }
  })
})
