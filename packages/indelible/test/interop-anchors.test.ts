/** Witness and tiles against other implementations, in Go: they cosign our log, ours cosigns theirs, and they read our tiles. */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openAnchor, openAnchorVerifier } from '../src/anchor/kinds.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { AnchorTestLog, receiptOf } from '../src/testing/index.ts'
import type { AnchorReceipt } from '../src/verify/anchors.ts'
import { Cleanup, startWitness, use } from './anchor-kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'indelible-interop-'))
const binary = join(folder, 'anchor')
const cleanup = new Cleanup()

// The version of merkle that the witness asks for is not on every module proxy. It needs one function more than the
// released one, for requests that we do not make.
const SUBTREE = `package proof

import (
	"errors"

	"github.com/transparency-dev/merkle"
)

func VerifySubtreeConsistency(_ merkle.LogHasher, _, _, _ uint64, _ [][]byte, _, _ []byte) error {
	return errors.New("not in this version")
}
`

function build(): void {
  const source = join(folder, 'source')
  cpSync(fileURLToPath(new URL('interop-go-anchor', import.meta.url)), source, { recursive: true })
  const go = (args: string[]) =>
    execFileSync('go', args, { cwd: source, stdio: 'pipe', timeout: 170_000, encoding: 'utf8' })
  const { Dir } = JSON.parse(go(['mod', 'download', '-json', 'github.com/transparency-dev/merkle@v0.0.2'])) as {
    Dir: string
  }
  cpSync(Dir, join(source, 'merkle'), { recursive: true })
  // The module cache is read-only, and so is its copy.
  for (const path of readdirSync(join(source, 'merkle'), { recursive: true, withFileTypes: true })) {
    if (path.isDirectory()) chmodSync(join(path.parentPath, path.name), 0o755)
  }
  chmodSync(join(source, 'merkle'), 0o755)
  writeFileSync(join(source, 'merkle/proof/subtree.go'), SUBTREE)
  go(['build', '-o', binary, '.'])
}

describe('other implementations', () => {
  let missing: string | undefined
  beforeAll(() => {
    try {
      build()
    } catch (error) {
      missing = `Go or its modules are not to be had: ${(error as Error).message.split('\n')[0]}`
    }
  }, 180_000)
  afterAll(async () => {
    await cleanup.run()
    rmSync(folder, { recursive: true, force: true })
  })

  /** The lines that it prints, one at a time. */
  function start(...args: string[]) {
    const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    cleanup.add(() => {
      child.stdin.end()
      return ended
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    return {
      next: async () => String((await lines.next()).value),
      tell: (line: string) => child.stdin.write(`${line}\n`),
    }
  }

  it('cosign our checkpoints, and refuse another history (transparency-dev/witness)', async ({ skip }) => {
    skip(missing !== undefined, missing)
    const { generateSkey } = await import('../src/keys/signer.ts')
    const origin = 'ours.example/log'
    const skey = generateSkey(origin, 'default')
    const log = await AnchorTestLog.make(origin, skey)
    const theirs = start('witness', log.vkey)
    const [url, vkey] = [await theirs.next(), await theirs.next()]
    const config = { name: 'go', kind: 'witness', required: true, options: { url, vkey } }
    const anchor = await openAnchor(config, use('.', origin))
    const verifier = await openAnchorVerifier({ ...config, options: { vkey } }, use('.', origin))
    let previous: AnchorReceipt | null = null
    for (const more of [1, 3, 252, 1, 343]) {
      const checkpoint = await log.grow(more)
      previous = receiptOf(anchor, checkpoint, await anchor.anchor(log.task(checkpoint, previous)))
      expect((await verifier.check(previous, [log.key]))?.counts).toBe(true)
    }
    // Without a receipt, as after a restart: it tells us the size that it has seen.
    const again = await openAnchor(config, use('.', origin))
    await again.anchor(log.task(await log.grow(2)))
    const other = await AnchorTestLog.make(origin, skey)
    await expect(again.anchor(other.task(await other.grow(700)))).rejects.toMatchObject({ code: 'ERR_SPLIT_VIEW' })
    const small = await AnchorTestLog.make(origin, skey)
    const fresh = await openAnchor(config, use('.', origin))
    await expect(fresh.anchor(small.task(await small.grow(2)))).rejects.toMatchObject({ code: 'ERR_ROLLED_BACK' })
  })

  it('have their log cosigned by our witness (golang.org/x/mod)', async ({ skip }) => {
    skip(missing !== undefined, missing)
    const witness = await startWitness(cleanup, [])
    const feeder = start('feed', witness.url, witness.vkey)
    witness.state.addLog(parseVkey(await feeder.next()))
    feeder.tell('go')
    expect(await feeder.next()).toBe('ok')
    expect(witness.state.logs()).toMatchObject([{ size: 700 }])
  })

  it('find nothing wrong with our copies, and every byte that is (transparency-dev/tessera fsck)', async ({ skip }) => {
    skip(missing !== undefined, missing)
    const origin = 'ours.example/tiles'
    const log = await AnchorTestLog.make(origin)
    const path = join(folder, 'copy')
    mkdirSync(path)
    const config = { name: 'c', kind: 'folder', required: true, options: { path, entries: true } }
    const anchor = await openAnchor(config, use('/nowhere', origin))
    const sizes = [1, 256, 257, 700]
    for (const size of sizes) {
      const { size: now } = await log.checkpoint()
      await anchor.anchor(log.task(size === now ? await log.checkpoint() : await log.grow(size - now)))
    }
    // All that was ever copied is still whole, not the newest alone.
    const fsck = (size: number) => {
      const note = `checkpoint/${String(size).padStart(16, '0')}`
      return execFileSync(binary, ['fsck', path, log.vkey, note], { stdio: 'pipe', encoding: 'utf8', timeout: 20_000 })
    }
    for (const size of sizes) expect(fsck(size), `${size} entries`).toBe('ok\n')
    for (const name of ['tile/0/001', 'tile/1/000.p/2', 'tile/entries/002.p/188']) {
      const before = readFileSync(join(path, name))
      const after = Uint8Array.from(before)
      after[after.length - 1]! ^= 1
      chmodSync(join(path, name), 0o644)
      writeFileSync(join(path, name), after)
      expect(() => fsck(700), name).toThrow()
      writeFileSync(join(path, name), before)
    }
    expect(fsck(700)).toBe('ok\n')
  })
})
