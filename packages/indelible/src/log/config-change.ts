/**
 * Every change of the effective configuration is an entry: what a log keeps, and what it leaves out, must not change
 * unnoticed.
 *
 * `applied-config.json` in the home is the configuration under which the log was last opened for recording, environment
 * included: an object of values by flat key. Where it is missing or damaged, nothing is known, and every key counts as
 * changed: removing the file hides nothing.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import type { Config } from '../config/config.ts'
import { flattenConfig, withoutPassword } from '../config/sources.ts'
import { isIndelibleError } from '../errors.ts'
import { withFileLock, writeFileAtomic } from '../keys/files.ts'
import { canonicalize } from '../record/jcs.ts'
import type { Log } from './log.ts'

/**
 * One of `audit.changed` in an `audit.config.changed` entry. `null` is: not set, or not known. Passwords in URLs are left
 * out, long texts are cut.
 */
export interface ConfigChange {
  /** `section.key`, or `section.key.name` in a map. */
  readonly key: string
  readonly from: unknown
  readonly to: unknown
}

/** Most changes of one entry: with values of 256 characters they fit into 65,535 bytes. */
const MAX_CHANGES = 64

const MAX_TEXT = 256

/** Longest key and value that the file is believed, in canonical JSON: a path may be long. */
const MAX_STATED = 10_000

/** An append waits for another process's for as long as the store lets it, ms. */
const LOCK_MS = 40_000

/** What is in force beyond the text of the configuration, by flat key: packs of redaction rules, say. */
export type Facts = ReadonlyMap<string, unknown>
const NO_FACTS: Facts = new Map()

/** Keeps `config` as the one that is applied to a log that is being made. */
export function writeAppliedConfig(home: string, config: Config, facts: Facts = NO_FACTS): void {
  const flat = Object.fromEntries([...flattenConfig(config), ...facts])
  writeFileAtomic(appliedPath(home), `${JSON.stringify(flat, null, 2)}\n`)
}

/**
 * Has what changed since the log was last opened written to it, ahead of everything else that this process records.
 *
 * The entry comes first and the file second: a crash in between has the change recorded twice, never not at all. A log that
 * takes no entry now gets it before the next one.
 */
export async function recordConfigChange(
  home: string,
  config: Config,
  log: Log,
  facts: Facts = NO_FACTS,
): Promise<void> {
  if (changesOf(home, config, facts).length === 0) return
  let isStated = false
  const apply = async () => {
    // Another process that came with the same configuration may have been faster.
    const changes = changesOf(home, config, facts)
    isStated = true
    await state(changes, log)
    writeAppliedConfig(home, config, facts)
  }
  try {
    await withFileLock(`${appliedPath(home)}.lock`, apply, { timeoutMs: LOCK_MS, foreignMs: LOCK_MS })
  } catch (error) {
    // Whether the log can be written shows when an entry is.
    if (!isIndelibleError(error)) throw error
    if (!isStated) await state(changesOf(home, config, facts), log).catch(() => {})
  }
}

async function state(changes: readonly ConfigChange[], log: Log): Promise<void> {
  const written: Promise<unknown>[] = []
  for (let at = 0; at < changes.length; at += MAX_CHANGES) {
    written.push(log.noticeConfigChange(changes.slice(at, at + MAX_CHANGES)))
  }
  await Promise.all(written)
}

function changesOf(home: string, config: Config, facts: Facts): ConfigChange[] {
  const before = readApplied(home)
  const after = new Map([...flattenConfig(config), ...facts])
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort()
  return keys
    .map((key) => ({ key, from: before.get(key) ?? null, to: after.get(key) ?? null }))
    .filter(({ from, to }) => canonicalize(from) !== canonicalize(to))
    .map(({ key, from, to }) => ({ key, from: stated(key, from), to: stated(key, to) }))
}

function readApplied(home: string): Map<string, unknown> {
  const path = appliedPath(home)
  try {
    const value: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}
    return new Map(Object.entries(value as object).filter((pair) => isStatable(pair)))
  } catch {
    return new Map()
  }
}

/** Whether an entry can hold it: a file that somebody has damaged must not keep the log from being opened. */
function isStatable(pair: unknown): boolean {
  try {
    return canonicalize(pair).length <= MAX_STATED
  } catch {
    return false
  }
}

/** Entries are for good, so are the secrets that slip into one. */
function stated(key: string, value: unknown): unknown {
  // What is searched for can be what nobody is to know: a list of names, say.
  if (key === 'privacy.patterns' && Array.isArray(value) && value.length > 0) return digestOf(value)
  if (typeof value === 'object' && value !== null && canonicalize(value).length > MAX_TEXT) return digestOf(value)
  const shown = withoutPassword(value)
  return typeof shown === 'string' && shown.length > MAX_TEXT ? `${shown.slice(0, MAX_TEXT).toWellFormed()}…` : shown
}

function digestOf(value: unknown): { readonly sha256: string } {
  return { sha256: toBase64Url(sha256(canonicalize(value))) }
}

function appliedPath(home: string): string {
  return join(home, 'applied-config.json')
}
