/** Files that hold secrets or state: written whole or not at all, readable by their owner only, one writer at a time. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'
import { isGone, processToken } from './process.ts'

/** No lock on files is held for longer than some small writes take, ms. */
const FOREIGN_LOCK_MS = 5000

/** Nor does one write of a file take longer than this, ms. */
const FOREIGN_TEMPORARY_MS = 60_000

/**
 * Replaces `path` with `text`, mode 0600. After a crash the file is the old one or the new one, never a part.
 * @throws IndelibleError `ERR_STORE_FULL`, `ERR_STORE_READONLY`; the old file stands
 */
export function writeFileAtomic(path: string, text: string): void {
  const temporary = temporaryName(path)
  try {
    const fd = openSync(temporary, 'wx', 0o600)
    try {
      // Not writeSync: on a disk that is nearly full it writes a part and says so only in its result.
      writeFileSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (error) {
    // It may hold a key, and half of one.
    rmSync(temporary, { force: true })
    throw fileError(error, path)
  }
  syncDirectory(dirname(path))
}

function temporaryName(path: string): string {
  return `${path}.${processToken()}.${randomBytes(4).toString('hex')}.tmp`
}

/** Removes what processes that were killed while they wrote into `directory` have left there: it may be a key. */
export function removeTemporaries(directory: string): void {
  for (const name of readdirSync(directory)) {
    const token = /\.([0-9a-f-]+)\.[0-9a-f]{8}\.tmp$/.exec(name)?.[1]
    if (token === undefined) continue
    const path = join(directory, name)
    if (isGone(token) ?? isOlderThan(path, FOREIGN_TEMPORARY_MS)) rmSync(path, { force: true })
  }
}

function fileError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  const known = code === undefined ? undefined : FILE_ERRORS[code]
  return known ? new IndelibleError(known, `cannot write ${path}: ${code}`, { cause: error }) : error
}

const FILE_ERRORS: Record<string, IndelibleErrorCode> = {
  ENOSPC: 'ERR_STORE_FULL',
  EDQUOT: 'ERR_STORE_FULL',
  EFBIG: 'ERR_STORE_FULL',
  EROFS: 'ERR_STORE_READONLY',
  EACCES: 'ERR_STORE_READONLY',
  EPERM: 'ERR_STORE_READONLY',
}

/** Makes a rename or a new name in `path` outlive a power cut. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Makes `path` with mode 0700, and its parents. */
export function makePrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
}

/**
 * Reads a file that only its owner may read.
 * @throws IndelibleError `ERR_KEY_PERMISSIONS` if the group or others may; `ERR_HOME_NOT_FOUND` if it is not there
 */
export function readPrivateFile(path: string): string {
  checkPrivate(path)
  return readFileSync(path, 'utf8')
}

/** @throws IndelibleError `ERR_KEY_PERMISSIONS`, `ERR_HOME_NOT_FOUND` */
export function checkPrivate(path: string): void {
  if (!existsSync(path)) throw new IndelibleError('ERR_HOME_NOT_FOUND', `${path} is missing: run indelible init`)
  // Windows has no such modes; its access lists are the operator's to set.
  if (process.platform === 'win32') return
  const mode = statSync(path).mode & 0o777
  if ((mode & 0o077) !== 0) {
    const bits = mode.toString(8).padStart(3, '0')
    throw new IndelibleError(
      'ERR_KEY_PERMISSIONS',
      `${path} has mode ${bits}: others may use it. Run chmod go= ${path}`,
    )
  }
}

export interface FileLockOptions {
  /** How long to wait for it. Default 10 s. */
  readonly timeoutMs?: number
  /** Age at which a lock counts as left behind if its owner is of another container and cannot be looked up. Default 5 s. */
  readonly foreignMs?: number
}

/**
 * Runs `work` while no other process of this machine does so under the same lock file. A lock whose process is gone is
 * taken over.
 *
 * @throws IndelibleError `ERR_STORE_BUSY` if it is not to be had within `timeoutMs`
 */
export async function withFileLock<T>(
  path: string,
  work: () => T | Promise<T>,
  { timeoutMs = 10_000, foreignMs = FOREIGN_LOCK_MS }: FileLockOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (let pauseMs = 1; !tryLock(path); pauseMs = Math.min(pauseMs * 2, 50)) {
    breakStaleLock(path, foreignMs)
    if (performance.now() > deadline) {
      throw new IndelibleError('ERR_STORE_BUSY', `${path} is held by another process for over ${timeoutMs} ms`)
    }
    await sleep(pauseMs * (0.5 + Math.random()))
  }
  try {
    return await work()
  } finally {
    removeFile(path)
  }
}

/** As `rmSync` with `force`, several times faster: a lock is taken for every batch. */
function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function tryLock(path: string): boolean {
  // Linked into place complete with its owner: a lock without one could not be told from one whose owner died.
  const mine = temporaryName(path)
  try {
    writeFileSync(mine, processToken(), { flag: 'wx', mode: 0o600 })
    linkSync(mine, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(error, path)
    return false
  } finally {
    removeFile(mine)
  }
}

function breakStaleLock(path: string, foreignMs: number): void {
  if (!isStale(path, foreignMs)) return
  // One at a time, and each looks again: a second one that saw the same dead owner would remove a lock taken since.
  const breaker = `${path}.break`
  if (!tryLock(breaker)) {
    if (isOlderThan(breaker, FOREIGN_LOCK_MS)) rmSync(breaker, { force: true })
    return
  }
  try {
    if (isStale(path, foreignMs)) rmSync(path, { force: true })
  } finally {
    rmSync(breaker, { force: true })
  }
}

function isStale(path: string, foreignMs: number): boolean {
  let owner: string
  try {
    owner = readFileSync(path, 'utf8')
  } catch {
    return false // released meanwhile
  }
  return isGone(owner) ?? isOlderThan(path, foreignMs)
}

/** Whether the file was last written over `ms` ago; or as far ahead, since a clock set back would keep it young for years. */
export function isOlderThan(path: string, ms: number): boolean {
  try {
    return Math.abs(Date.now() - statSync(path).mtimeMs) > ms
  } catch {
    return false // gone meanwhile
  }
}
