import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { openCheckpoint } from './checkpoint.ts'
import { cosignatureMessage, formatCosignature } from './cosignature.ts'
import { checkQuorum, formatWitnessPolicy, parseWitnessPolicy, policyKeys } from './policy.ts'
import {
  formatSignatureLine,
  formatVkey,
  openNote,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ED25519,
  type VerifierKey,
  verifierKey,
} from './signed-note.ts'

const ORIGIN = 'log.example'
const TEXT = `${ORIGIN}\n1\nbgRpLS3yBHUx3bC7lWpQiCwkHrRI9zAPzNjTGHUDUpM=\n`

function party(name: string, type: number, seed: number) {
  const der = Buffer.from(concat(fromHex('302e020100300506032b657004220420'), new Uint8Array(32).fill(seed)))
  const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(-32)
  const key = verifierKey({ name, type, publicKey })
  return { key, vkey: formatVkey(key), sign: (message: Uint8Array) => sign(null, message, secret) }
}

const log = party(ORIGIN, SIGNATURE_ED25519, 1)
const otherLog = party('other.example', SIGNATURE_ED25519, 2)
const witnesses = ['x1', 'x2', 'x3', 'y1', 'y2', 'y3'].map((n, i) =>
  party(`${n}.example`, SIGNATURE_COSIGNATURE, 10 + i),
)
const [x1, x2, x3, y1, y2, y3] = witnesses.map((witness) => witness.vkey)

/** The example of tlog-policy.md. */
const EXAMPLE = `# two organisations
log ${log.vkey} https://log.example/

witness X1 ${x1}
witness X2 ${x2} https://x2.example/
  witness\tX3 \t ${x3}\t
group X-witnesses 2 X1 X2 X3

witness Y1 ${y1}
witness Y2 ${y2}
witness Y3 ${y3}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
\t # enough is enough
quorum X-and-Y
`

const logLine = formatSignatureLine(log.key, log.sign(utf8(TEXT)))
const cosignedBy = (...which: number[]) => {
  const lines = which.map((i) => {
    const signature = witnesses[i]!.sign(cosignatureMessage(TEXT, 1000 + i))
    return formatSignatureLine(witnesses[i]!.key, formatCosignature({ timestamp: 1000 + i, signature }))
  })
  return `${TEXT}\n${logLine}${lines.join('')}`
}

const codeOf = (run: () => unknown) => {
  try {
    return `returned ${JSON.stringify(run())}`
  } catch (error) {
    return error instanceof IndelibleError ? error.code : String(error)
  }
}

describe('a trust policy', () => {
  it('is read as C2SP tlog-policy has it', () => {
    const policy = parseWitnessPolicy(EXAMPLE)
    expect(policy.logs).toEqual([{ key: log.key, url: 'https://log.example/' }])
    expect([...policy.witnesses.keys()]).toEqual(['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'])
    expect(policy.witnesses.get('X2')).toEqual({ key: witnesses[1]!.key, url: 'https://x2.example/' })
    expect(policy.groups.get('X-witnesses')).toEqual({ threshold: 2, members: ['X1', 'X2', 'X3'] })
    expect(policy.groups.get('Y-witnesses')?.threshold).toBe(1)
    expect(policy.groups.get('X-and-Y')?.threshold).toBe(2)
    expect(policy.quorum).toBe('X-and-Y')
  })

  it('round-trips', () => {
    for (const text of [EXAMPLE, 'quorum none\n', `witness w ${x1}\nquorum w\n`]) {
      const policy = parseWitnessPolicy(text)
      expect(parseWitnessPolicy(formatWitnessPolicy(policy))).toEqual(policy)
    }
  })

  it('is not written where a name or URL would become lines of its own', () => {
    const policy = parseWitnessPolicy('quorum none\n')
    const key = log.key
    for (const url of ['a\nquorum none', 'a b', '', 'a\r']) {
      expect(codeOf(() => formatWitnessPolicy({ ...policy, logs: [{ key, url }] }))).toBe('ERR_POLICY_INVALID')
    }
    expect(codeOf(() => formatWitnessPolicy({ ...policy, quorum: 'x' }))).toBe('ERR_POLICY_INVALID')
  })

  it('knows names as they are spelled: the Kelvin sign is not K', () => {
    const text = `witness K ${x1}\nwitness \u212a ${x2}\nwitness a\u00a0b ${x3}\nquorum \u212a\n`
    expect([...parseWitnessPolicy(text).witnesses.keys()]).toEqual(['K', '\u212a', 'a\u00a0b'])
  })

  it.each([
    ['nothing', ''],
    ['no quorum', `log ${log.vkey}\n`],
    ['no final newline', 'quorum none'],
    ['CRLF', 'quorum none\r\n'],
    ['a NUL', '# \0\nquorum none\n'],
    ['a DEL', '# \x7f\nquorum none\n'],
    ['a lone surrogate', '# \ud800\nquorum none\n'],
    ['a byte order mark', '\ufeffquorum none\n'],
    ['an unknown keyword', 'mirror m\nquorum none\n'],
    ['a keyword in capitals', 'Quorum none\n'],
    ['no-break spaces', 'quorum\u00a0none\n'],
    ['two quorums', 'quorum none\nquorum none\n'],
    ['a quorum of two', `witness a ${x1}\nwitness b ${x2}\nquorum a b\n`],
    ['a quorum without a name', 'quorum\n'],
    ['a quorum defined later', `quorum a\nwitness a ${x1}\n`],
    ['an undefined quorum', 'quorum a\n'],
    ['a log without a key', 'log\nquorum none\n'],
    ['a log with too much', `log ${log.vkey} https://a b\nquorum none\n`],
    ['a broken log key', `log ${log.vkey}x\nquorum none\n`],
    ['a log with a witness key', `log ${x1}\nquorum none\n`],
    ['a witness with a log key', `witness w ${log.vkey}\nquorum none\n`],
    ['a witness without a key', 'witness w\nquorum none\n'],
    ['a witness called none', `witness none ${x1}\nquorum none\n`],
    ['a group called none', `witness w ${x1}\ngroup none any w\nquorum none\n`],
    ['one log twice', `log ${log.vkey}\nlog ${log.vkey}\nquorum none\n`],
    ['one witness twice', `witness a ${x1}\nwitness b ${x1}\nquorum a\n`],
    ['a name twice', `witness a ${x1}\nwitness a ${x2}\nquorum a\n`],
    ['a group named as a witness', `witness a ${x1}\ngroup a any a\nquorum a\n`],
    ['a group without members', `witness a ${x1}\ngroup g any\nquorum a\n`],
    ['a group of itself', 'group g any g\nquorum g\n'],
    ['a group of the undefined', `witness a ${x1}\ngroup g any a b\nquorum g\n`],
    ['none as a member', `witness a ${x1}\ngroup g any a none\nquorum g\n`],
    ['a member twice in a group', `witness a ${x1}\ngroup g 2 a a\nquorum g\n`],
    ['a member of two groups', `witness a ${x1}\ngroup g any a\ngroup h any a\nquorum g\n`],
    ['threshold 0', `witness a ${x1}\ngroup g 0 a\nquorum g\n`],
    ['threshold 2 of 1', `witness a ${x1}\ngroup g 2 a\nquorum g\n`],
    ['threshold 01', `witness a ${x1}\ngroup g 01 a\nquorum g\n`],
    ['threshold +1', `witness a ${x1}\ngroup g +1 a\nquorum g\n`],
    ['threshold 0x1', `witness a ${x1}\ngroup g 0x1 a\nquorum g\n`],
    ['threshold 1.0', `witness a ${x1}\ngroup g 1.0 a\nquorum g\n`],
    ['a mebibyte of comments', `${'#\n'.repeat(2 ** 19)}quorum none\n`],
  ])('is refused with: %s', (_, text) => {
    expect(codeOf(() => parseWitnessPolicy(text))).toBe('ERR_POLICY_INVALID')
  })

  it('is refused where a log has the key of a witness', () => {
    const twin = formatVkey({ ...log.key, type: SIGNATURE_COSIGNATURE })
    expect(codeOf(() => parseWitnessPolicy(`log ${log.vkey}\nwitness w ${twin}\nquorum w\n`))).toBe(
      'ERR_POLICY_INVALID',
    )
  })

  it('names the line', () => {
    expect(() => parseWitnessPolicy('# fine\n\nquorum nobody\n')).toThrow(/^line 3: "nobody"/)
  })

  it('takes 200 logs, witnesses and nested groups', () => {
    const lines: string[] = []
    for (let i = 0; i < 200; i++) {
      const publicKey = (tag: number) => Uint8Array.from({ length: 32 }, (_, k) => (k === 0 ? tag : k === 1 ? i : 0))
      lines.push(`log ${formatVkey({ name: `l${i}`, type: SIGNATURE_ED25519, publicKey: publicKey(1) })}`)
      lines.push(`witness w${i} ${formatVkey({ name: `w${i}`, type: SIGNATURE_COSIGNATURE, publicKey: publicKey(2) })}`)
      lines.push(i === 0 ? 'group g0 all w0' : `group g${i} all g${i - 1} w${i}`)
    }
    const policy = parseWitnessPolicy(`${lines.join('\n')}\nquorum g199\n`)
    expect(() => checkQuorum(policy, { text: TEXT, verified: [], unverified: [] })).toThrow(/"g0" has 0 of 1/)
  })
})

describe('a quorum', () => {
  const policy = parseWitnessPolicy(EXAMPLE)
  const open = (note: string) => openCheckpoint(note, { origin: ORIGIN, keys: policyKeys(policy, ORIGIN) }).opened

  it('gives the cosigners and their times, needed or not', () => {
    expect(checkQuorum(policy, open(cosignedBy(5, 2, 0)))).toEqual([
      { witness: 'X1', key: witnesses[0]!.key, timestamp: 1000 },
      { witness: 'X3', key: witnesses[2]!.key, timestamp: 1002 },
      { witness: 'Y3', key: witnesses[5]!.key, timestamp: 1005 },
    ])
    expect(checkQuorum(parseWitnessPolicy('quorum none\n'), open(cosignedBy()))).toEqual([])
  })

  it('says how many of what are missing', () => {
    expect(codeOf(() => checkQuorum(policy, open(cosignedBy(0, 3))))).toBe('ERR_NOTE_UNVERIFIED')
    expect(() => checkQuorum(policy, open(cosignedBy(0, 3)))).toThrow(
      'no quorum: group "X-and-Y" has 1 of 2; group "X-witnesses" has 1 of 2; no cosignature by "X2", "X3"',
    )
    const single = parseWitnessPolicy(`witness w ${x1}\nquorum w\n`)
    expect(() => checkQuorum(single, open(cosignedBy(1)))).toThrow('no quorum: no cosignature by "w"')
  })

  it('agrees with counting, for every set of cosigners', () => {
    fc.assert(
      fc.property(fc.subarray([0, 1, 2, 3, 4, 5]), (which) => {
        const verified = which.map((i) => ({ key: witnesses[i]!.key, signature: new Uint8Array(72) }))
        const enough = which.filter((i) => i < 3).length >= 2 && which.some((i) => i >= 3)
        const code = codeOf(() => checkQuorum(policy, { text: TEXT, verified, unverified: [] }))
        expect(code.startsWith('returned')).toBe(enough)
      }),
    )
  })

  it('counts no cosignature that repeats, is unverified, or is of a stranger with a familiar name', () => {
    const repeated = cosignedBy(0, 0, 3)
    expect(codeOf(() => checkQuorum(policy, open(repeated)))).toBe('ERR_NOTE_UNVERIFIED')
    const unopened = openNote(cosignedBy(0, 1, 3), [log.key])
    expect(unopened.unverified).toHaveLength(3)
    expect(codeOf(() => checkQuorum(policy, unopened))).toBe('ERR_NOTE_UNVERIFIED')
    const stranger: VerifierKey = { ...witnesses[0]!.key, publicKey: witnesses[5]!.key.publicKey }
    const verified = [stranger, witnesses[1]!.key, witnesses[3]!.key].map((key) => ({
      key,
      signature: new Uint8Array(72),
    }))
    expect(codeOf(() => checkQuorum(policy, { text: TEXT, verified, unverified: [] }))).toBe('ERR_NOTE_UNVERIFIED')
  })

  it('hands out the keys of the origin only', () => {
    const two = parseWitnessPolicy(`log ${log.vkey}\nlog ${otherLog.vkey}\nwitness w ${x1}\nquorum w\n`)
    expect(policyKeys(two, ORIGIN)).toEqual([log.key, witnesses[0]!.key])
    const signedByOther = `${TEXT}\n${formatSignatureLine(otherLog.key, otherLog.sign(utf8(TEXT)))}`
    const options = { origin: ORIGIN, keys: policyKeys(two, ORIGIN) }
    expect(codeOf(() => openCheckpoint(signedByOther, options))).toBe('ERR_NOTE_UNVERIFIED')
  })
})
