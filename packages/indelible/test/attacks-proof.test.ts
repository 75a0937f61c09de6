/** Attacks on a single proof: what somebody shows to a stranger who has nothing but the vkey. */
import { beforeAll, describe, expect, it } from 'vitest'
import { generateSkey, signerFromSkey } from '../src/keys/signer.ts'
import { formatCheckpoint } from '../src/note/checkpoint.ts'
import { type SyncNoteSigner, signNoteSync } from '../src/note/signed-note.ts'
import { formatTlogProof, parseTlogProof } from '../src/note/tlog-proof.ts'
import { Frontier } from '../src/tree/frontier.ts'
import { leafHash } from '../src/tree/hash.ts'
import { proveInclusion } from '../src/tree/proof.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { QuickLog } from './attack-evidence.ts'
import { rowOf } from './attack-kit.ts'
import type { AttackId } from './attack-table.ts'

const INDEX = 5

let quick: QuickLog
let proof: string
let entry: Uint8Array
let shorter: string
let otherTree: [string, Uint8Array, QuickLog['policy']]
beforeAll(async () => {
  quick = await QuickLog.create()
  await quick.record(8)
  shorter = (await quick.log.checkpoint())!
  await quick.record(11)
  ;({ proof, entry } = await quick.log.prove(INDEX))
  otherTree = await proveInOtherTree()
})

/** A tree of the same size, signed, all of whose entries are the same one. */
async function proveInOtherTree(): Promise<[string, Uint8Array, QuickLog['policy']]> {
  const { size, root: pinned } = check().checkpoint
  const frontier = Frontier.empty()
  const nodes = new Map<string, Uint8Array>()
  for (let i = 0; i < size; i++) {
    frontier.append(leafHash(entry), (level, index, hash) => nodes.set(`${level}/${index}`, hash))
  }
  const hashes = await proveInclusion(INDEX, size, async (ids) =>
    ids.map(({ level, index }) => nodes.get(`${level}/${index}`)!),
  )
  const text = formatCheckpoint({ origin: quick.origin, size, root: frontier.root() })
  const note = signNoteSync(text, [quick.keys.signer as SyncNoteSigner])
  const policy = { ...quick.policy, pin: { size, root: pinned } }
  return [formatTlogProof({ index: INDEX, proof: hashes, checkpoint: note }), entry, policy]
}

const check = (text = proof, bytes = entry, policy = quick.policy) => checkProof(text, bytes, policy)
const replaceNote = (note: string) => formatTlogProof({ ...parseTlogProof(proof), checkpoint: note })
const noteOf = (text: string) => parseTlogProof(text).checkpoint
const textOf = (note: string) => note.slice(0, note.indexOf('\n\n') + 1)

function refused(id: AttackId, show: () => [proof?: string, entry?: Uint8Array, policy?: QuickLog['policy']]): void {
  const { attack, finding, needs } = rowOf(id)
  it(`${attack}: ${finding} (${needs})`, () => {
    expect(() => check(...show())).toThrow(expect.objectContaining({ code: finding }))
  })
}

it('is believed as it is', () => {
  expect(check()).toMatchObject({ index: INDEX, checkpoint: { size: 20 } })
  expect(check().not_checked.join()).toContain('whether the log still holds this entry')
})

describe('a proof', () => {
  it(`${rowOf('flip-proof').attack}, whichever it is`, () => {
    for (let at = 0; at < proof.length; at++) {
      const flipped = `${proof.slice(0, at)}${proof[at] === 'A' ? 'B' : 'A'}${proof.slice(at + 1)}`
      expect(() => check(flipped)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_/) }))
    }
    const hash = proof.split('\n')[3]!
    const flipped = proof.replace(
      hash,
      hash.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A')),
    )
    expect(() => check(flipped)).toThrow(expect.objectContaining({ code: rowOf('flip-proof').finding }))
  })
  it(`${rowOf('flip-entry-file').attack}, whichever it is`, () => {
    for (let at = 0; at < entry.length; at++) {
      const flipped = entry.with(at, entry[at]! ^ 1)
      expect(() => check(proof, flipped)).toThrow(expect.objectContaining({ code: rowOf('flip-entry-file').finding }))
    }
  })
  refused('proof-index', () => [proof.replace(`index ${INDEX}`, 'index 4')])
  refused('proof-index', () => [proof.replace(`index ${INDEX}`, 'index 21')])
  refused('proof-index', () => [proof.replace(`index ${INDEX}`, 'index 9007199254740991')])
  refused('proof-size', () => [replaceNote(shorter)])
  refused('proof-huge', () => [proof.replace(`index ${INDEX}`, `index ${2n ** 60n}`)])
  refused('proof-huge', () => [proof.replace(`index ${INDEX}`, 'index 05')])
  refused('proof-trailing', () => [`${proof}x\n`])
  refused('proof-trailing', () => [`${proof}\n`])
  refused('proof-trailing', () => [`${proof}x`])
  refused('proof-newline', () => [proof, new Uint8Array([...entry, 10])])
  refused('proof-newline', () => [proof, new Uint8Array([0xef, 0xbb, 0xbf, ...entry])])
  const thief = signerFromSkey(generateSkey('quick.example/log', 'default'))
  refused('proof-foreign-key', () => [replaceNote(signNoteSync(textOf(noteOf(proof)), [thief]))])
  refused('proof-other-tree', () => [...otherTree])
  it('in a key of no policy is no proof', () => {
    expect(() => check(proof, entry, { ...quick.policy, keys: [] })).toThrow(
      expect.objectContaining({ code: 'ERR_NOTE_UNVERIFIED' }),
    )
    expect(() => check(proof, entry, { ...quick.policy, origin: 'other.example/log' })).toThrow(
      expect.objectContaining({ code: 'ERR_CHECKPOINT_INVALID' }),
    )
  })
})
