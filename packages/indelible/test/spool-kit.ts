/** A recorder that spools, and events to tell apart. */
import { randomBytes } from 'node:crypto'
import { onTestFinished } from 'vitest'
import { Recorder, type RecorderOptions } from '../src/capture/recorder.ts'
import { Spool } from '../src/capture/spool.ts'
import type { Log } from '../src/log/log.ts'
import { ORIGIN } from './capture-kit.ts'

export const AGENT = { agent: 'planner' }
export const KEY = new Uint8Array(randomBytes(32))
export const FAILS = { method: 'append', kind: 'refused' } as const

/** A recorder on a log, with a spool in `directory`. */
export function recorderOn(
  log: Log,
  directory: string,
  options: RecorderOptions & { maxSpoolBytes?: number } = {},
): Recorder {
  const { maxSpoolBytes: maxBytes = 1e9, ...rest } = options
  const spool = () => new Spool({ directory, key: KEY, origin: ORIGIN, maxBytes })
  const recorder = new Recorder(log, { spool, retryMs: 20, ...rest })
  onTestFinished(() => recorder.close())
  return recorder
}

export const event = (n: number) => ({
  type: 'x.test',
  actor: { type: 'agent' as const, id: 'a' },
  attributes: { n },
  parts: { output: { value: `secret ${n}` } },
})

export const numbersOf = (records: readonly { attributes?: Record<string, unknown> | undefined }[]) =>
  records.map(({ attributes }) => attributes?.n)

export const range = (count: number) => Array.from({ length: count }, (_, i) => i)

export const TIME = '2026-01-01T00:00:00.000Z'
