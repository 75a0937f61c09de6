import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { openCheckpoint } from '../src/note/checkpoint.ts'
import { formatVkey, parseVkey } from '../src/note/signed-note.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy } from '../src/privacy/policy.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { Frontier } from '../src/tree/frontier.ts'
import { leafHash } from '../src/tree/hash.ts'
import { checkConsistency, checkInclusion, proveConsistency, proveInclusion } from '../src/tree/proof.ts'
import { sourceNodeReader } from '../src/tree/source.ts'

/** What `interop-go/main.go` calls a Case; bytes are base64. */
interface Case {
  vkey: string
  origin: string
  note: string
  records: string[]
  proofs: (string[] | null)[]
  consistency: (string[] | null)[]
  roots: string[]
  tiles: Record<string, string>
}

const folder = mkdtempSync(join(tmpdir(), 'indelible-interop-'))
const binary = join(folder, 'interop')
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

describe('golang.org/x/mod', () => {
  let missing: string | undefined
  beforeAll(() => {
    try {
      const cwd = fileURLToPath(new URL('interop-go', import.meta.url))
      execFileSync('go', ['build', '-o', binary, '.'], { cwd, stdio: 'pipe', timeout: 120_000 })
    } catch (error) {
      missing = `Go or its modules are not to be had: ${(error as Error).message.split('\n')[0]}`
    }
  }, 130_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('accepts our checkpoint, tiles, inclusion and consistency proofs', async ({ skip }) => {
    skip(missing !== undefined, missing)
    const origin = 'example.com/interop'
    const keys = new MemoryKeys(origin, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
    const store = new MemoryStore()
    const vkey = formatVkey(keys.signer.key)
    await writeFirstEntry(store, keys, vkey, 'default')
    const log = await Log.open({ store, keys, privacy: new PrivacyPolicy(DEFAULT_PRIVACY, origin, keys.fingerprint) })
    const event = { type: 'tool.end', actor: { type: 'agent', id: 'a' }, parts: { output: { value: 'done' } } } as const
    await log.recordMany(Array.from({ length: 599 }, () => event))
    const { note, size } = { note: (await log.checkpoint())!, size: 600 }

    const read = sourceNodeReader(store, size)
    const frontier = Frontier.empty()
    const ours: Case = { vkey, origin, note, records: [], proofs: [], consistency: [], roots: [], tiles: {} }
    for await (const rows of store.entries(0, size)) {
      for (const { index, entry, leaf } of rows) {
        frontier.append(leaf)
        ours.records.push(base64(entry))
        ours.proofs.push((await proveInclusion(index, size, read)).map(base64))
        ours.consistency.push((await proveConsistency(index + 1, size, read)).map(base64))
        ours.roots.push(base64(frontier.root()))
      }
    }
    for (const tile of [0, 1]) ours.tiles[`0/${tile}`] = base64((await store.tile(0, tile))!)
    expect(execFileSync(binary, ['check'], { input: JSON.stringify(ours), encoding: 'utf8' })).toBe('ok\n')

    const forged = { ...ours, records: ours.records.with(7, base64(Buffer.from('forged'))) }
    expect(() => execFileSync(binary, ['check'], { input: JSON.stringify(forged), stdio: 'pipe' })).toThrow()
    await log.close()
  })

  it.for([1, 2, 3, 255, 256, 257, 300])('makes logs of %i records whose proofs we accept', (size, { skip }) => {
    skip(missing !== undefined, missing)
    const theirs = JSON.parse(execFileSync(binary, ['make', String(size)], { encoding: 'utf8' })) as Case
    const { checkpoint } = openCheckpoint(theirs.note, { origin: theirs.origin, keys: [parseVkey(theirs.vkey)] })
    expect(checkpoint.size).toBe(size)
    for (const [index, record] of theirs.records.entries()) {
      const proof = (theirs.proofs[index] ?? []).map(bytes)
      checkInclusion({ leaf: leafHash(bytes(record)), index, size, root: checkpoint.root, proof })
      const older = { size1: index + 1, root1: bytes(theirs.roots[index]!) }
      const consistency = (theirs.consistency[index] ?? []).map(bytes)
      checkConsistency({ ...older, size2: size, root2: checkpoint.root, proof: consistency })
    }
  })
})
