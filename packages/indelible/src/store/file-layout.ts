/** The folder of a log of files: whose it is, of which version, and how it is made. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { syncDirectory, withFileLock, writeFileAtomic } from '../keys/files.ts'
import { emptyHeadFile } from './file-head.ts'
import { storeFileError, writeAt } from './file-io.ts'
import { hasSegments, writeSegments } from './file-segments.ts'

/** Version of the layout, in `layout.json`. */
export const LAYOUT_VERSION = 1
const FORMAT = 'indelible/file-store'
const MARK = 'layout.json'

/** What a creation that was killed may have left. */
const OURS = /^(head|segments\.json|payloads|tree|index|lock)([.-].*)?$|^layout\.json\./

/** A lock of another container, whose process cannot be looked up, counts as left behind at this age, ms. */
const FOREIGN_LOCK_MS = 30_000
/** How often the one who holds it says that it is not, ms. */
const TOUCH_MS = 5000

/** What this process holds and waits for, by folder: its handles take turns without asking the disk. */
const turns = new Map<string, Promise<unknown>>()

export interface LockOptions {
  readonly timeoutMs: number
}

/**
 * Runs `work` while nobody else writes to the log in `folder`.
 * @throws IndelibleError `ERR_STORE_BUSY`
 */
export function underLock<T>(folder: string, work: () => Promise<T>, { timeoutMs }: LockOptions): Promise<T> {
  const path = join(folder, 'lock')
  const before = turns.get(folder)
  const locked = async () => {
    const timer = setInterval(() => touch(path), TOUCH_MS)
    timer.unref()
    try {
      return await work()
    } finally {
      clearInterval(timer)
    }
  }
  const take = () => withFileLock(path, locked, { timeoutMs, foreignMs: FOREIGN_LOCK_MS })
  // At once if it can be had: what is done while others write is done sooner.
  const run = before ? before.then(take) : take()
  const settled = run.then(
    () => {},
    () => {},
  )
  turns.set(folder, settled)
  settled.then(() => {
    if (turns.get(folder) === settled) turns.delete(folder)
  })
  return run
}

function touch(path: string): void {
  try {
    utimesSync(path, new Date(), new Date())
  } catch {
    // Taken over: noticed before anything is committed.
  }
}

/** Whether a log was made in `folder`. */
export function hasLayout(folder: string): boolean {
  return existsSync(join(folder, MARK))
}

/**
 * Checks the folder, and makes a new, empty log in it if there is nothing.
 * @throws IndelibleError `ERR_STORE_VERSION` for a log of a newer version, or a folder with something else in it;
 * `ERR_STORE_FAILED` if there is none and it may not be made; `ERR_STORE_READONLY`, `ERR_STORE_FULL`
 */
export async function prepareFolder(folder: string, readOnly: boolean): Promise<void> {
  try {
    if (!hasLayout(folder)) {
      if (readOnly) throw new IndelibleError('ERR_STORE_FAILED', `no log in ${folder}`)
      await makeLog(folder)
    }
    checkVersion(folder)
  } catch (error) {
    throw storeFileError(error, `cannot prepare ${folder}`)
  }
}

async function makeLog(folder: string): Promise<void> {
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new IndelibleError('ERR_STORE_VERSION', `${folder} is a file, expected a folder`)
  }
  const foreign = existsSync(folder) ? readdirSync(folder).filter((name) => !OURS.test(name) && name !== MARK) : []
  if (foreign.length > 0 && !hasLayout(folder)) {
    const message = `${folder} is not a log of this program: it has ${foreign.length} other files, such as ${foreign[0]}`
    throw new IndelibleError('ERR_STORE_VERSION', message)
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  await underLock(
    folder,
    async () => {
      if (hasLayout(folder)) return
      for (const name of ['payloads', 'tree', 'index']) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 })
      const fd = openSync(join(folder, 'head'), 'w', 0o600)
      try {
        writeAt(fd, 0, emptyHeadFile())
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      if (!hasSegments(folder)) writeSegments(folder, { segments: [], obsolete: [] })
      syncDirectory(folder)
      // Last: before it nothing here counts.
      writeFileAtomic(join(folder, MARK), `${JSON.stringify({ format: `${FORMAT}@${LAYOUT_VERSION}` })}\n`)
      syncDirectory(dirname(folder))
    },
    { timeoutMs: 30_000 },
  )
}

function checkVersion(folder: string): void {
  let format: unknown
  try {
    format = (JSON.parse(readFileSync(join(folder, MARK), 'utf8')) as { format?: unknown }).format
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
  }
  const version =
    typeof format === 'string' && format.startsWith(`${FORMAT}@`) ? Number(format.split('@')[1]) : Number.NaN
  if (version === LAYOUT_VERSION) return
  throw new IndelibleError(
    'ERR_STORE_VERSION',
    version > LAYOUT_VERSION
      ? `${folder} has layout version ${version}, this program knows ${LAYOUT_VERSION}: use a newer one`
      : `${folder} is not a log of this program`,
  )
}
