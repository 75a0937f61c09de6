/** How each anchor is doing: kept beside its receipts, for `status` and for whoever takes over. Derived, and deletable. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { type AnchorConfig, type AnchorsConfig, durationSeconds } from '../config/anchors-section.ts'
import { makePrivateDirectory, writeFileAtomic } from '../keys/files.ts'
import { AnchorReceipts } from './receipts.ts'

const stateSchema = z.object({
  /** When it was last tried, RFC 3339. */
  attempted: z.string(),
  /** Attempts in a row that failed. */
  failures: z.number().int().nonnegative(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  warnings: z.array(z.string()),
  /** Key that signed the checkpoint anchored last. */
  vkey: z.string().nullable(),
})

export type AnchorState = z.infer<typeof stateSchema>

const NEVER: AnchorState = {
  attempted: new Date(0).toISOString(),
  failures: 0,
  error: null,
  warnings: [],
  vkey: null,
}

/** What is not there, or damaged, is as if nothing had been tried yet. */
export function readAnchorState(directory: string, name: string): AnchorState {
  const path = statePath(directory, name)
  if (!existsSync(path)) return NEVER
  try {
    return stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    return NEVER
  }
}

export function writeAnchorState(directory: string, name: string, state: AnchorState): void {
  makePrivateDirectory(directory)
  writeFileAtomic(statePath(directory, name), `${JSON.stringify(state)}\n`)
}

const statePath = (directory: string, name: string) => join(directory, `${name}.state.json`)

/** First and longest pause after a failure, ms. */
const RETRY_MS = 5000
const MAX_RETRY_MS = 10 * 60_000

/** When an anchor is due by the clock, ms since 1970. */
export function dueAt(
  config: AnchorConfig,
  anchors: AnchorsConfig,
  received: string | null,
  state: AnchorState,
): number {
  if (state.failures > 0) {
    const pause = Math.min(RETRY_MS * 2 ** Math.min(state.failures - 1, 20), MAX_RETRY_MS, everyMs(config, anchors))
    return Date.parse(state.attempted) + pause
  }
  return received === null ? 0 : Date.parse(received) + everyMs(config, anchors)
}

export function everyMs(config: AnchorConfig, anchors: AnchorsConfig): number {
  return durationSeconds(config.every ?? anchors.every) * 1000
}

/** Where one anchor stands, as `anchor status` prints it. */
export interface AnchorStatus {
  readonly name: string
  readonly kind: string
  readonly required: boolean
  /** Entries that it vouches for; `null` if it never did. */
  readonly size: number | null
  /** Entries that it does not vouch for yet. */
  readonly behind: number
  /** When the last receipt came, by this machine's clock. */
  readonly received: string | null
  /** Whether a required anchor has missed two of its turns, or has failed with what does not mend itself. */
  readonly late: boolean
  readonly failures: number
  readonly error: { readonly code: string; readonly message: string } | null
  readonly warnings: readonly string[]
}

/**
 * Read before the log is, so that no anchor is ahead of it by accident; {@link behindOf} says then how far it is behind.
 * Throws `ERR_STORE_CORRUPT` as {@link AnchorReceipts.last} does.
 */
export function anchorStatus(
  directory: string,
  anchors: AnchorsConfig,
  now = Date.now(),
): Omit<AnchorStatus, 'behind'>[] {
  const receipts = new AnchorReceipts(directory)
  return anchors.list.map((config) => {
    const { name, kind, required } = config
    const last = receipts.last(name)
    const { failures, error, warnings } = readAnchorState(directory, name)
    const received = last?.received ?? null
    const isOverdue = received === null || now - Date.parse(received) > 2 * everyMs(config, anchors)
    const isStuck = error !== null && error.code !== 'ERR_ANCHOR_FAILED'
    return {
      name,
      kind,
      required,
      size: last?.size ?? null,
      received,
      late: required && (isOverdue || isStuck),
      failures,
      error,
      warnings,
    }
  })
}

/** @param size entries of the log */
export function behindOf(status: readonly Omit<AnchorStatus, 'behind'>[], size: number): AnchorStatus[] {
  return status.map((one) => ({ ...one, behind: size - (one.size ?? 0) }))
}
