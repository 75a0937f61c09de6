/** What was found behind the end of a log's file, and cut off: kept aside, until the log says so. Entries hold no free text. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { syncDirectory } from '../keys/files.ts'
import { writeAt } from './file-io.ts'

const FOLDER = 'recovered'
const NEW = '.new'

/** A repair that the log does not tell of yet. */
export interface Repair {
  readonly name: string
  readonly bytes: number
}

/** Keeps `bytes` in `recovered/`. */
export function keepAside(folder: string, file: string, bytes: Uint8Array): void {
  const directory = join(folder, FOLDER)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const stamp = new Date().toISOString().replaceAll(':', '')
  for (let turn = 1; ; turn++) {
    const path = join(directory, `${stamp}-${turn}-${file}${NEW}`)
    if (existsSync(path)) continue
    const fd = openSync(path, 'wx', 0o600)
    try {
      writeAt(fd, 0, bytes)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    syncDirectory(directory)
    return
  }
}

/** Repairs that {@link settleRepairs} has not been told of. */
export function openRepairs(folder: string): Repair[] {
  const directory = join(folder, FOLDER)
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .filter((name) => name.endsWith(NEW))
    .map((name) => ({ name, bytes: statSync(join(directory, name)).size }))
}

/** The log tells of them now. */
export function settleRepairs(folder: string, repairs: readonly Repair[]): void {
  const directory = join(folder, FOLDER)
  for (const { name } of repairs) {
    const path = join(directory, name)
    if (existsSync(path)) renameSync(path, path.slice(0, -NEW.length))
  }
}
