/** A log whose calendar a test turns. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { parseMacVerificationKey } from '../src/chain/verification-key.ts'
import { IdentityRegister } from '../src/decision/register.ts'
import { createLog, openLog, Pins, verifyHome } from '../src/index.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { openQuery } from '../src/query/home-query.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { openRetention } from '../src/retention/retention.ts'
import type { Pin } from '../src/verify/evidence.ts'

const DAY_MS = 86_400_000

/** @param options.firstPin whether this machine knows the log before its first verification, as after init */
export async function openLogHome(
  retention: object,
  options: {
    readonly firstPin?: boolean
    readonly store?: string
    readonly origin?: string
    readonly isReal?: boolean
  } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-retention-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const home = join(folder, 'home')
  const pins = new Pins(join(folder, 'pins'))
  if (!options.isReal) vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2026, 0, 1) })
  onTestFinished(() => void vi.useRealTimers())
  const { macVerificationKey } = await createLog({
    home,
    origin: options.origin ?? 'example.com/kept',
    pins: (options.firstPin ?? true) ? pins : null,
    epochSeconds: 3600,
    ...(options.store !== undefined && { store: options.store }),
  })
  const config = JSON.parse(readFileSync(join(home, 'config.json'), 'utf8'))
  writeFileSync(join(home, 'config.json'), JSON.stringify({ ...config, retention }))
  const log = await openLog({ home, capture: 'full' })
  onTestFinished(() => log.close())
  const query = await openQuery({ home })
  onTestFinished(() => query.close())
  const macKey = parseMacVerificationKey(macVerificationKey)
  return {
    folder,
    home,
    pins,
    log,
    query,
    macKey,
    retention: await openRetention(log, { home, pins }),
    register: new IdentityRegister(log, query),
    async record(count: number, more: Partial<AgentEvent> = {}) {
      const event = { type: 'x.step', actor: { type: 'agent', id: 'a' }, ...more } as AgentEvent
      await log.recordMany(Array.from({ length: count }, () => event))
    },
    async days(n: number) {
      await log.flush()
      vi.setSystemTime(Date.now() + n * DAY_MS)
    },
    vkey: () => parseVkey(readFileSync(join(home, 'log.vkey'), 'utf8').trim()),
    verify: (...approvals: { approvers: readonly string[]; quorum: number; since?: Pin }[]) =>
      verifyHome({
        home,
        pins,
        macKey,
        ...(approvals.length > 0 && {
          purgeApprovers: approvals.map(({ approvers, ...rest }) => ({ keys: approvers.map(parseVkey), ...rest })),
        }),
      }),
  }
}
