/** Where a store keeps its bytes, and how many: for those who operate it. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface StoreFacts {
  /** A file, a folder, or `host:port/database`. */
  readonly place: string
  /** Files and folders that others must not read or write; none where the store is a server. */
  readonly files: readonly string[]
  readonly bytes: number
  /** What the file or folder is on; `null` where the store is a server. */
  readonly folder: string | null
  /** A SQLite database that can be checked by SQLite itself; `null` if there is none. */
  readonly database: string | null
  /** For people: `schema version 2`. */
  readonly version: string
}

/** Of a SQLite database, with what belongs to it. */
export function sqliteFacts(path: string, version: number, folder: string): StoreFacts {
  const bytes = ['', '-wal', '-shm'].reduce((sum, suffix) => sum + sizeOf(path + suffix), 0)
  return {
    place: path,
    files: [path, `${path}-wal`],
    bytes,
    folder,
    database: path,
    version: `schema version ${version}`,
  }
}

/** Of a folder with all that is in it. */
export function folderFacts(folder: string): StoreFacts {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  const bytes = files.reduce((sum, path) => sum + sizeOf(path), 0)
  return { place: folder, files: [folder, ...files], bytes, folder, database: null, version: 'JSON Lines' }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
