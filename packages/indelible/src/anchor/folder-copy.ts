/**
 * Write-once copies in a folder. Files are made, never replaced; that nobody else replaces or removes them is for the file
 * system to see to: another machine's, an append-only or write-once one.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { z } from 'zod'
import { isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { syncDirectory } from '../keys/files.ts'
import { quote } from '../note/text.ts'
import type { AnchorKind } from './anchor.ts'
import { CopyAnchor } from './copy-anchor.ts'
import { type CopiedCheckpoint, type CopyStore, copyFailed, copyRefused, MAX_OBJECT, sizeInName } from './copy-store.ts'
import { CopyVerifier } from './copy-verifier.ts'
import { parseOptions } from './options.ts'

const optionsSchema = z.strictObject({
  /** Absolute, or relative to the home. */
  path: z.string().min(1),
  entries: z.boolean().default(false),
})

const trustSchema = z.strictObject({ path: z.string().min(1) })

export const folderKind: AnchorKind = {
  kind: 'folder',
  async open(config, { directory, clock }) {
    const { name, kind } = config
    const fail = (message: string) => new IndelibleError('ERR_CONFIG_INVALID', `anchor ${quote(name)}: ${message}`)
    const { path, entries } = parseOptions(optionsSchema, config.options, fail)
    const folder = resolve(directory, path)
    const below = relative(resolve(directory), folder)
    if (!below.startsWith('..') && !isAbsolute(below)) throw fail('path: a copy inside the home is lost with it')
    const store = new FolderCopy(folder)
    return new CopyAnchor({ name, kind, store, entries, renew: false, clock })
  },
  async verifier({ name, kind, required, max_age: maxAgeSeconds, options }, { directory }) {
    const fail = (message: string) => new IndelibleError('ERR_POLICY_INVALID', `anchor ${quote(name)}: ${message}`)
    const { path } = parseOptions(trustSchema, options, fail)
    return new CopyVerifier({ name, kind, required, maxAgeSeconds, store: new FolderCopy(resolve(directory, path)) })
  },
}

export class FolderCopy implements CopyStore {
  readonly where: string
  readonly mayTear = true

  constructor(path: string) {
    this.where = path
  }

  async checkpoints(from: number): Promise<CopiedCheckpoint[]> {
    await this.#checkThere()
    const names = await readdir(join(this.where, 'checkpoint')).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw this.#asError(error)
    })
    return names
      .flatMap((name) => {
        const size = sizeInName(`checkpoint/${name}`)
        return size === null || size < from ? [] : [{ name: `checkpoint/${name}`, size, time: null }]
      })
      .sort((a, b) => a.size - b.size)
  }

  readCheckpoint({ name }: CopiedCheckpoint): Promise<Uint8Array | null> {
    return this.read(name)
  }

  async read(name: string): Promise<Uint8Array | null> {
    try {
      const path = join(this.where, name)
      if ((await stat(path)).size > MAX_OBJECT) throw copyRefused(this.where, `has a larger ${name} than there can be`)
      return new Uint8Array(await readFile(path))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw this.#asError(error)
    }
  }

  async has(name: string): Promise<boolean> {
    return stat(join(this.where, name)).then(
      () => true,
      () => false,
    )
  }

  async create(name: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
    const path = join(this.where, name)
    try {
      await this.#checkThere()
      await this.#makeDirectories(dirname(path))
      const file = await open(path, 'wx', 0o644).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null
        throw error
      })
      if (!file) return (await this.#complete(path, bytes)) ? 'created' : 'exists'
      await writeOut(file, bytes)
      syncDirectory(dirname(path))
      return 'created'
    } catch (error) {
      throw this.#asError(error)
    }
  }

  /**
   * A crash may have left the beginning of a file. No temporary file with a rename, which would have none of that: where names
   * can only be added, it could not be renamed.
   */
  async #complete(path: string, bytes: Uint8Array): Promise<boolean> {
    const found = await readFile(path)
    if (found.length >= bytes.length || !isEqual(found, bytes.subarray(0, found.length))) return false
    await writeOut(await open(path, constants.O_WRONLY | constants.O_APPEND), bytes.subarray(found.length))
    return true
  }

  /** Made one by one, each synced into the one above: a crash must not take a tile's folder with it. */
  async #makeDirectories(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true })
    if (first === undefined) return
    for (let at = path; at.length >= first.length; at = dirname(at)) syncDirectory(dirname(at))
  }

  /** It is never made: where nothing is mounted, a copy would go to the wrong disk. */
  async #checkThere(): Promise<void> {
    const isDirectory = await stat(this.where).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (!isDirectory) throw copyFailed(this.where, 'cannot be reached: there is no such folder')
  }

  #asError(error: unknown): unknown {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof IndelibleError || code === undefined) return error
    if (['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR'].includes(code)) {
      return copyRefused(this.where, `cannot be written or read (${code})`, error)
    }
    return copyFailed(this.where, `cannot be written or read (${code})`, error)
  }
}

/** Then nobody but its owner's deliberate act changes it. */
async function writeOut(file: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    await file.writeFile(bytes)
    await file.chmod(0o444)
    await file.sync()
  } finally {
    await file.close()
  }
}
