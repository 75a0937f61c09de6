import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { formatCheckpoint } from '../note/checkpoint.ts'
import { cosignatureMessage, formatCosignature } from '../note/cosignature.ts'
import {
  formatSignatureLine,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ED25519,
  type SyncNoteSigner,
  signNoteSync,
  verifierKey,
} from '../note/signed-note.ts'
import { formatRotation, KeyHistory } from './key-history.ts'

const ORIGIN = 'example.com/log'

function signer(): SyncNoteSigner {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  const key = verifierKey({ name: ORIGIN, type: SIGNATURE_ED25519, publicKey: raw })
  return { key, sign: (message) => new Uint8Array(sign(null, message, privateKey)) }
}

const [a, b, c, thief] = [signer(), signer(), signer(), signer()]
const note = (size: number, ...signers: SyncNoteSigner[]) =>
  signNoteSync(formatCheckpoint({ origin: ORIGIN, size, root: new Uint8Array(32).fill(1) }), signers)
const rotation = (old: SyncNoteSigner, next: SyncNoteSigner, by = [old, next]) =>
  signNoteSync(formatRotation(ORIGIN, old.key, next.key), by)
const history = (...keys: SyncNoteSigner[]) =>
  new KeyHistory(
    ORIGIN,
    keys.map(({ key }) => key),
  )
const unverified = expect.objectContaining({ code: 'ERR_NOTE_UNVERIFIED' })
const superseded = expect.objectContaining({ name: 'SupersededKeyError' })

/** Sizes at which a key alone is believed, of those from 1 to 12. */
const sizes = (keys: KeyHistory, by: SyncNoteSigner) =>
  Array.from({ length: 12 }, (_, i) => i + 1).filter((size) => {
    try {
      return keys.open(note(size, by)).key.publicKey === by.key.publicKey || true
    } catch {
      return false
    }
  })
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('the keys of a log', () => {
  it('are those of the policy, at any size', () => {
    expect(sizes(history(a, b), a)).toEqual(range(1, 12))
    expect(sizes(history(a, b), b)).toEqual(range(1, 12))
    expect(sizes(history(a), b)).toEqual([])
    expect(() => history().open(note(1, a))).toThrow(unverified)
  })

  it('change with a rotation: from its entry on, the new key alone', () => {
    const keys = history(a)
    keys.rotate(4, rotation(a, b))
    expect(sizes(keys, a)).toEqual(range(1, 4))
    expect(sizes(keys, b)).toEqual(range(5, 12))
    expect(() => keys.open(note(5, a))).toThrow(superseded)
    expect(keys.open(note(5, a, b)).key).toEqual(b.key)
    expect(keys.open(note(4, b, a)).key).toEqual(a.key)
    expect(keys.unresolved).toEqual([])
  })

  it('are the same for whoever knows both', () => {
    for (const keys of [history(a, b), history(b, a)]) {
      keys.rotate(4, rotation(a, b))
      expect(sizes(keys, a)).toEqual(range(1, 4))
      expect(sizes(keys, b)).toEqual(range(1, 12))
    }
  })

  it('are found backwards by whoever knows the last one only', () => {
    const keys = history(c)
    keys.rotate(4, rotation(a, b))
    expect(keys.unresolved).toEqual([4])
    expect(sizes(keys, a)).toEqual([])
    keys.rotate(8, rotation(b, c))
    expect(keys.unresolved).toEqual([])
    expect(sizes(keys, a)).toEqual(range(1, 4))
    expect(sizes(keys, b)).toEqual(range(5, 8))
    expect(sizes(keys, c)).toEqual(range(1, 12))
  })

  it('can change twice in one batch, and back', () => {
    const keys = history(a)
    keys.rotate(4, rotation(a, b))
    keys.rotate(5, rotation(b, c))
    keys.rotate(8, rotation(c, a))
    expect(sizes(keys, a)).toEqual([...range(1, 4), ...range(9, 12)])
    expect(sizes(keys, b)).toEqual([5])
    expect(sizes(keys, c)).toEqual(range(6, 8))
  })
})

describe('a rotation', () => {
  it('by a key that had a successor is refused, and trusts nobody', () => {
    const keys = history(a)
    keys.rotate(4, rotation(a, b))
    expect(() => keys.rotate(6, rotation(a, thief))).toThrow(unverified)
    expect(sizes(keys, thief)).toEqual([])
    expect(sizes(keys, b)).toEqual(range(5, 12))
  })

  it('from a stranger to a known key trusts the stranger before it only', () => {
    const keys = history(b)
    keys.rotate(6, rotation(thief, b))
    expect(sizes(keys, thief)).toEqual(range(1, 6))
    // That the stranger named another one earlier leads nowhere.
    const forward = history(b)
    forward.rotate(3, rotation(thief, c))
    forward.rotate(6, rotation(thief, b))
    expect(forward.unresolved).toEqual([3])
    expect(sizes(forward, c)).toEqual([])
  })

  it('from a stranger to a key that counts no more leads nowhere', () => {
    const keys = history(a)
    keys.rotate(4, rotation(a, b))
    keys.rotate(6, rotation(thief, a))
    expect(keys.unresolved).toEqual([6])
    expect(sizes(keys, thief)).toEqual([])
  })

  it('between strangers leads nowhere', () => {
    const keys = history(a)
    keys.rotate(4, rotation(thief, c))
    expect(keys.unresolved).toEqual([4])
    expect(sizes(keys, thief).concat(sizes(keys, c))).toEqual([])
  })

  it('is signed by both keys, about this log, and says nothing else', () => {
    const other = formatRotation('other.example/log', a.key, b.key)
    const broken = [
      '',
      'x',
      rotation(a, b, [a]),
      rotation(a, b, [b]),
      rotation(a, b, [a, a]),
      rotation(a, b, [a, thief]),
      signNoteSync(other, [a, b]),
      signNoteSync(`${formatRotation(ORIGIN, a.key, b.key)}more\n`, [a, b]),
      signNoteSync(formatRotation(ORIGIN, a.key, b.key).replace('@1', '@2'), [a, b]),
      `${rotation(a, b)}x`,
      rotation(a, a),
      formatRotation(ORIGIN, a.key, b.key),
    ]
    for (const statement of broken) {
      const keys = history(a)
      expect(() => keys.rotate(4, statement)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_/) }))
      expect(sizes(keys, a)).toEqual(range(1, 12))
      expect(sizes(keys, b)).toEqual([])
    }
  })
})

describe('a witness', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  const key = verifierKey({ name: 'witness.example', type: SIGNATURE_COSIGNATURE, publicKey: raw })
  const cosign = (signed: string) => {
    const text = signed.slice(0, signed.indexOf('\n\n') + 1)
    const signature = new Uint8Array(sign(null, cosignatureMessage(text, 1_780_000_000), privateKey))
    return signed + formatSignatureLine(key, formatCosignature({ timestamp: 1_780_000_000, signature }))
  }

  it('does not speak for the log, nor in place of a key that counts no more', () => {
    const keys = new KeyHistory(ORIGIN, [key, a.key])
    expect(keys.open(cosign(note(3, a))).key).toEqual(a.key)
    expect(() => keys.open(cosign(note(3, thief)))).toThrow(unverified)
    keys.rotate(4, rotation(a, b))
    expect(() => keys.open(cosign(note(5, a)))).toThrow(superseded)
    expect(keys.open(cosign(note(5, b))).key).toEqual(b.key)
  })
})
