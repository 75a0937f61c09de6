/** Attacks on checkpoints, signatures and keys, and those of an operator who signs what is not so. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { afterAll, beforeAll, describe } from 'vitest'
import { generateSkey, signerFromSkey } from '../src/keys/signer.ts'
import { cosignatureMessage, formatCosignature } from '../src/note/cosignature.ts'
import {
  formatSignatureLine,
  SIGNATURE_COSIGNATURE,
  type SyncNoteSigner,
  signNoteSync,
  verifierKey,
} from '../src/note/signed-note.ts'
import { formatRotation } from '../src/verify/key-history.ts'
import { Forger, type Members } from './attack-forger.ts'
import { attack, cleanUp, makeSpecimen, ORIGIN, type Specimen, stolenKeys, type Victim } from './attack-kit.ts'

let log: Specimen
let rotated: Specimen
let other: Specimen
beforeAll(async () => {
  log = await makeSpecimen({ perEpoch: 60 })
  rotated = await makeSpecimen({ perEpoch: 40, epochs: 4, rotateAt: [1] })
  other = await makeSpecimen({ perEpoch: 40, epochs: 2 })
})
afterAll(cleanUp)

const specimen = () => log
const withRotation = () => rotated
const forger = ({ db }: Victim) => new Forger(db, ORIGIN)
const own = (name = ORIGIN, profile: 'default' | 'fips' = 'default') => signerFromSkey(generateSkey(name, profile))
const ID = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`

const checkpoint = (victim: Victim) => victim.one<string>('SELECT checkpoint FROM head')
const setCheckpoint = (victim: Victim, note: string) => victim.sql('UPDATE head SET checkpoint = ?', note)
const textOf = (note: string) => note.slice(0, note.indexOf('\n\n') + 1)
const signatureOf = (note: string) => note.slice(note.indexOf('\n\n') + 2)
const published = (victim: Victim, nth: number) =>
  victim.one<string>('SELECT note FROM checkpoints ORDER BY size LIMIT 1 OFFSET ?', nth)

/** Another character in the middle of a line. */
const alter = (note: string, line: number) => {
  const lines = note.split('\n')
  const at = lines[line]!.length - 20
  const letter = lines[line]![at] === 'A' ? 'B' : 'A'
  lines[line] = `${lines[line]!.slice(0, at)}${letter}${lines[line]!.slice(at + 1)}`
  return lines.join('\n')
}

describe('checkpoints', () => {
  const change = (edit: (note: string, victim: Victim) => string) => (victim: Victim) =>
    setCheckpoint(victim, edit(checkpoint(victim), victim))
  attack(
    'flip-checkpoint-root',
    specimen,
    change((note) => alter(note, 2)),
  )
  attack(
    'flip-checkpoint-signature',
    specimen,
    change((note) => alter(note, 4)),
  )
  const changePublished = (line: number) => (victim: Victim) => {
    const note = published(victim, 3)
    victim.sql('UPDATE checkpoints SET note = ? WHERE note = ?', alter(note, line), note)
  }
  attack('flip-published-root', specimen, changePublished(2))
  attack('flip-published-signature', specimen, changePublished(4), { only: [] })
  const publishAnother = (victim: Victim) => {
    const note = published(victim, 3)
    victim.sql('UPDATE checkpoints SET note = ? WHERE note = ?', signNoteSync(textOf(note), [own()]), note)
  }
  attack('flip-published-signature', specimen, publishAnother, { only: [] })
  attack(
    'strip-signature',
    specimen,
    change((note) => `${textOf(note)}\n`),
  )
  attack('strip-signature', specimen, change(textOf))
  attack(
    'swap-signature',
    specimen,
    change((note, victim) => `${textOf(note)}\n${signatureOf(published(victim, 1))}`),
  )
  attack(
    'foreign-key',
    specimen,
    change((note) => signNoteSync(textOf(note), [own()])),
  )
  attack(
    'foreign-key',
    specimen,
    change((note) => signNoteSync(textOf(note), [own('else.example')])),
  )
  const foreignId = (note: string) => {
    const signer = own()
    const { id } = log.firstKey
    return `${textOf(note)}\n${formatSignatureLine({ ...signer.key, id }, signer.sign(Buffer.from(textOf(note))))}`
  }
  attack('foreign-id', specimen, change(foreignId))
  attack(
    'downgrade-algorithm',
    specimen,
    change((note) => signNoteSync(textOf(note), [own(ORIGIN, 'fips')])),
  )
  const typeByte = (note: string) => {
    const signer = own(ORIGIN, 'fips')
    const { id } = log.firstKey
    return `${textOf(note)}\n${formatSignatureLine({ ...signer.key, id }, signer.sign(Buffer.from(textOf(note))))}`
  }
  attack('foreign-id', specimen, change(typeByte))
  const trusted = own('other.example/log')
  attack(
    'foreign-origin',
    specimen,
    change((note) => signNoteSync(textOf(note).replace(ORIGIN, 'other.example/log'), [trusted])),
    { keys: ({ firstKey }) => [firstKey, trusted.key] },
  )
  const witness = cosigner('witness.example')
  attack(
    'witness-only',
    specimen,
    change((note) => `${textOf(note)}\n${witness.line(textOf(note))}`),
    {
      keys: ({ firstKey }) => [firstKey, witness.key],
    },
  )
  for (const more of ['\n', 'x\n', '\u2014 a b\n', `\n${ORIGIN}\n1\n`]) {
    attack(
      'trailing-bytes',
      specimen,
      change((note) => note + more),
    )
  }
  const resize = (size: string) => (note: string) => note.replace(/\n\d+\n/, `\n${size}\n`)
  for (const size of ['9007199254740991', '4503599627370496', '700', '2']) {
    attack('huge-size', specimen, change(resize(size)))
  }
  for (const size of ['1152921504606846976', '9007199254740992', '-1', '1e3', '0x10', ' 300', '']) {
    attack('impossible-size', specimen, change(resize(size)))
  }
  attack('huge-head', specimen, (victim) => victim.sql('UPDATE head SET size = 9007199254740991'))
  attack('replace-log', specimen, (victim) => victim.replaceBy(`${other.home}/log.db`))
})

function cosigner(name: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  const key = verifierKey({ name, type: SIGNATURE_COSIGNATURE, publicKey: raw })
  const line = (text: string) => {
    const signature = new Uint8Array(sign(null, cosignatureMessage(text, 1_780_000_000), privateKey))
    return formatSignatureLine(key, formatCosignature({ timestamp: 1_780_000_000, signature }))
  }
  return { key, line }
}

describe('key rotation', () => {
  const statement = (origin: string, old: SyncNoteSigner, next: SyncNoteSigner, signers = [old, next]) =>
    signNoteSync(formatRotation(origin, old.key, next.key), signers)
  const rotation = (n: number, text: string) => ({ id: ID(n), type: 'audit.key.rotated', audit: { statement: text } })

  attack('old-key', withRotation, (victim) => {
    const forged = forger(victim)
    forged.append({ id: ID(1) })
    forged.retree()
    setCheckpoint(victim, forged.note(forged.rows().length, [rotated.firstSigner]))
  })
  attack('old-key', withRotation, (victim) => {
    // As it is, but in the old key's name: and no published checkpoint says that there is a new one.
    const forged = forger(victim)
    victim.sql('DELETE FROM checkpoints WHERE size > 41')
    setCheckpoint(victim, forged.note(forged.rows().length, [rotated.firstSigner]))
  })
  const witness = cosigner('witness.example')
  attack(
    'old-key',
    withRotation,
    (victim) => {
      const note = forger(victim).note(rotated.size, [rotated.firstSigner])
      setCheckpoint(victim, note + witness.line(textOf(note)))
    },
    { keys: ({ firstKey }) => [witness.key, firstKey] },
  )
  attack('forge-rotation', withRotation, (victim) => {
    const forged = forger(victim)
    const at = forged.find('audit.key.rotated')
    forged.edit(at, (record) => ({ ...record, audit: { statement: statement(ORIGIN, own(), own()) } }))
  })
  const sign = (victim: Victim, text: (signer: SyncNoteSigner) => string) => {
    const { signer, ratchet } = stolenKeys(log)
    const forged = forger(victim)
    const at = forged.append(rotation(1, text(signer)))
    forged.retree().remac(ratchet, at).sign(signer)
  }
  attack(
    'rotation-one-key',
    specimen,
    (victim) => sign(victim, (signer) => statement(ORIGIN, signer, own(), [signer])),
    { only: [] },
  )
  const nonsense = ['', 'x', 'indelible/key-rotation@1\n', `${statement(ORIGIN, own(), own())}x`]
  for (const text of nonsense) attack('rotation-one-key', specimen, (victim) => sign(victim, () => text), { only: [] })
  attack('rotation-other-log', specimen, (victim) =>
    sign(victim, (signer) => statement('other.example/log', signer, own())),
  )
  attack('rotation-by-old-key', withRotation, (victim) => {
    const thief = own()
    const forged = forger(victim)
    forged.append(rotation(2, statement(ORIGIN, rotated.firstSigner, thief)))
    forged.retree()
    setCheckpoint(victim, forged.note(forged.rows().length, [rotated.firstSigner, thief]))
  })
})

describe('an operator who signs', () => {
  /** Changes entries of the last epoch with all keys of today, so that everything else fits. */
  const operate =
    (change: (forged: Forger, last: number, victim: Victim) => void, from = 0) =>
    (victim: Victim) => {
      const { signer, ratchet } = stolenKeys(log)
      const forged = forger(victim)
      change(forged, forged.rows().length - 1, victim)
      forged.reseal(ratchet).retree()
      forged.remac(ratchet, from || forged.rows().length - 30).sign(signer)
    }
  const rewrite = (text: (entry: string) => string) =>
    operate((forged, last) => {
      const entry = Buffer.from(forged.rows()[last - 5]!.entry).toString()
      forged.write(last - 5, text(entry))
    })
  attack(
    'duplicate-keys',
    specimen,
    rewrite((entry) => entry.replace('"actor":', '"actor":{"id":"x"},"actor":')),
  )
  attack(
    'duplicate-keys',
    specimen,
    rewrite((entry) => entry.replace('"id":"agent-1"', '"id":"x","id":"agent-1"')),
  )
  const spellings: [string, string][] = [
    ['{"actor"', '{ "actor"'],
    ['"agent-1"', '"agent\\u002d1"'],
    ['"schema"', '"\\u0073chema"'],
    ['}', '}\n'],
    ['{"actor"', '\ufeff{"actor"'],
  ]
  for (const [from, to] of spellings)
    attack(
      'other-spelling',
      specimen,
      rewrite((entry) => entry.replace(from, to)),
    )
  const swapMembers = (entry: string) => entry.replace(/("assurance":"\w+"),("id":"[^"]+")/, '$2,$1')
  attack('other-spelling', specimen, rewrite(swapMembers), { only: [] })
  attack(
    'other-spelling',
    specimen,
    rewrite((entry) => entry.replace(/"id":"(0[^"]+)"/, (id) => id.toUpperCase())),
  )

  const change = (edit: (record: Members, forged: Forger, last: number) => Members, at = 5) =>
    operate((forged, last) => forged.edit(last - at, (record) => edit(record, forged, last)))
  attack(
    'repeat-id',
    specimen,
    change((record, forged) => ({ ...record, id: forged.record(20).id! })),
    { only: ['id_altered', 'disclosure_altered'] },
  )
  const observedOf = (forged: Forger, index: number) => forged.record(index).observed!
  attack(
    'time-back',
    specimen,
    change((record, forged) => ({ ...record, observed: observedOf(forged, 20) })),
  )
  attack(
    'time-epoch',
    specimen,
    change((record, forged) => ({ ...record, observed: observedOf(forged, 20) })),
  )
  attack(
    'time-epoch',
    specimen,
    change((record) => ({ ...record, observed: '2031-01-01T00:00:00.000Z' })),
  )
  attack(
    'time-epoch',
    specimen,
    change((record) => ({ ...record, observed: '1999-01-01T00:00:00.000Z' })),
  )
  const epochBack = operate((forged, last, victim) => {
    forged.edit(last - 5, (record) => ({ ...record, observed: observedOf(forged, 20) }))
    victim.sql('UPDATE entries SET epoch = 0 WHERE idx = ?', last - 5)
  })
  attack('epoch-back', specimen, epochBack)
  const opened = (edit: (audit: Members) => Members | string) =>
    operate((forged) => forged.edit(0, (record) => ({ ...record, audit: edit(record.audit!) as Members })))
  const notOpened: ((audit: Members) => Members | string)[] = [
    (audit) => ({ ...audit, origin: 'other.example/log' }),
    ({ origin: _, ...audit }) => audit,
    (audit) => ({ ...audit, epoch_seconds: 0 }),
    (audit) => ({ ...audit, epoch_seconds: '2' }),
    (audit) => ({ ...audit, epoch_start: 'yesterday' }),
    () => 'text',
    () => [] as unknown as Members,
  ]
  for (const edit of notOpened) attack('opened-missing', specimen, opened(edit), { index: 0 })
  const otherType = operate((forged) => forged.edit(0, (record) => ({ ...record, type: 'x.opened' })))
  attack('opened-missing', specimen, otherType, { index: 0 })
  const earlier = opened((audit) => ({ ...audit, epoch_start: '2026-06-01T08:59:59.950Z' }))
  attack('opened-clock', specimen, earlier, { index: 0 })

  for (const below of [256, 1e15, 512]) {
    const intent = operate((forged, _, victim) => {
      forged.edit(200, (record) => ({ ...record, type: 'audit.purge.intent', audit: { below } }))
      victim.sql('UPDATE head SET min_index = 256')
    }, 200)
    attack('purge-ahead', specimen, intent, { index: 0 })
  }
  attack(
    'repeat-id',
    specimen,
    operate((forged) => {
      forged.append({ id: forged.record(0).id! })
    }),
  )
  const rewriteSigned = change((record) => ({ ...record, actor: { type: 'user', id: 'somebody-else' } }))
  attack('rewrite-signed', specimen, rewriteSigned, { pin: ({ pin }) => pin })
})
