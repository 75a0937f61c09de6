/** What can be seen of a home from outside: sizes, marks, memories. Needs no keys and changes nothing. */
import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { EpochClock } from '../chain/epoch.ts'
import { IndelibleError } from '../errors.ts'
import { isGone } from '../keys/process.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { parseEntry } from '../record/entry.ts'
import type { Head } from '../store/store.ts'
import { LogReader } from './reader.ts'

/** Where the log stands. */
export interface LogFacts {
  readonly head: Head
  /** Of the checkpoint in the head. */
  readonly size: number
  readonly root: Uint8Array
  /** As entry 0 states it; `null` if that was purged or cannot be read. */
  readonly clock: EpochClock | null
}

/** @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_STORE_…`, `ERR_CHECKPOINT_INVALID`, `ERR_NOTE_INVALID` */
export async function readLog(home: string): Promise<LogFacts> {
  await using log = await LogReader.open(home)
  const head = await log.head()
  const { size, root } = parseCheckpoint(parseNote(head.checkpoint).text)
  return { head, size, root, clock: await readClock(log) }
}

async function readClock(log: LogReader): Promise<EpochClock | null> {
  try {
    const { audit } = parseEntry((await log.entry(0)).entry) as { audit?: Record<string, unknown> }
    const startMs = Date.parse(String(audit?.epoch_start))
    const seconds = audit?.epoch_seconds
    return Number.isNaN(startMs) || typeof seconds !== 'number' ? null : { startMs, seconds }
  } catch (error) {
    if (error instanceof IndelibleError) return null
    throw error
  }
}

/** The epoch that the wall clock is in; negative before the first. */
export function epochNow({ startMs, seconds }: EpochClock, now: number): number {
  return Math.floor((now - startMs) / (seconds * 1000))
}

/** Bytes of a file, 0 if it is not there. */
export function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

export interface DiskFacts {
  readonly freeBytes: number
  /** Used part of what can be used, 0 to 1, as `df` shows it. */
  readonly use: number
}

/** Of the file system that `path` is on. */
export function readDisk(path: string): DiskFacts {
  const { bsize, blocks, bfree, bavail } = statfsSync(path)
  const used = blocks - bfree
  // Some file systems, those of containers among them, count no blocks.
  return { freeBytes: bavail * bsize, use: used + bavail === 0 ? 0 : used / (used + bavail) }
}

export interface WriterFacts {
  readonly alive: number
  /** Killed: they have left their marks behind. */
  readonly killed: number
  /** Of another host or container: whether they live cannot be told from here. */
  readonly elsewhere: number
}

export function readWriters(home: string): WriterFacts {
  const states = namesIn(join(home, 'writers')).map((name) => isGone(name.slice(0, name.lastIndexOf('-'))))
  const countOf = (state: boolean | undefined) => states.filter((one) => one === state).length
  return { alive: countOf(false), killed: countOf(true), elsewhere: countOf(undefined) }
}

/** Files in the spool: events that wait for their log. */
export function readSpool(home: string): number {
  return namesIn(join(home, 'spool')).length
}

export function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}
