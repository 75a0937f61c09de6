/**
 * A descriptor of a SQLite file beside SQLite's own. It is never closed as long as the file is there: closing any descriptor
 * of a file drops all locks that this process has on it (POSIX), also those of SQLite, and another process could then take the
 * log to be unused (https://www.sqlite.org/howtocorrupt.html, 2.2).
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const descriptors = new Map<string, number>()

/**
 * @returns `null` where none can be kept open: Node closes those of a thread with the thread, and on Windows nobody could
 * delete the file
 */
export function keptDescriptor(path: string): number | null {
  if (!isMainThread || process.platform === 'win32') return null
  for (const [file, fd] of descriptors) {
    if (fstatSync(fd).nlink > 0) continue
    closeSync(fd)
    descriptors.delete(file)
  }
  const { dev, ino } = statSync(path)
  const file = `${dev} ${ino}`
  let fd = descriptors.get(file)
  if (fd === undefined) {
    fd = openSync(path, 'r+')
    descriptors.set(file, fd)
  }
  return fd
}
