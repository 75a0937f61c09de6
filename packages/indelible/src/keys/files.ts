/** Files that hold secrets or state: written whole or not at all, readable by their owner only, one writer at a time. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { IndelibleError } from '../errors.ts'

/** Replaces `path` with `text`, mode 0600. After a crash the file is the old one or the new one, never a part. */
export function writeFileAtomic(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  const fd = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  syncDirectory(dirname(path))
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

/**
 * Runs `work` while no other process of this machine does so under the same lock file. A lock whose process is gone is
 * taken over.
 *
 * @throws IndelibleError `ERR_STORE_BUSY` if it is not to be had within `timeoutMs`
 */
export async function withFileLock<T>(path: string, work: () => T | Promise<T>, timeoutMs = 10_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (let pauseMs = 1; !tryLock(path); pauseMs = Math.min(pauseMs * 2, 50)) {
    if (performance.now() > deadline) {
      throw new IndelibleError('ERR_STORE_BUSY', `${path} is held by another process for over ${timeoutMs} ms`)
    }
    await sleep(pauseMs * (0.5 + Math.random()))
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

function tryLock(path: string): boolean {
  // Linked into place complete with its owner: a lock without one could not be told from one whose owner died.
  const mine = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const fd = openSync(mine, 'wx', 0o600)
  writeSync(fd, String(process.pid))
  closeSync(fd)
  try {
    linkSync(mine, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    breakStaleLock(path)
    return false
  } finally {
    rmSync(mine, { force: true })
  }
}

function breakStaleLock(path: string): void {
  let owner: string
  try {
    owner = readFileSync(path, 'utf8')
  } catch {
    return // released meanwhile
  }
  if (isAlive(Number(owner))) return
  // Renamed away first: of two that find it stale, one removes it, and neither removes the other's fresh lock.
  const stale = `${path}.stale.${process.pid}`
  try {
    renameSync(path, stale)
    if (readFileSync(stale, 'utf8') !== owner) linkSync(stale, path)
    rmSync(stale, { force: true })
  } catch {
    // somebody else was faster
  }
}

/** Whether a process of this machine has the id `pid`. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
