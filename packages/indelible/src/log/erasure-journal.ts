/**
 * Erasures that are under way: written before the log says anything of them, removed once they are done. What a crash has
 * interrupted goes on from here; the parts themselves stand in the log's own statements.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { IndelibleError } from '../errors.ts'
import { removeTemporaries, syncDirectory, writeFileAtomic } from '../keys/files.ts'

const stateSchema = z.strictObject({
  erasure: z.uuid(),
  /** When it was asked for, ms since 1970. */
  since_ms: z.number().int().nonnegative(),
  /** Process that works on it; `null` if none does. */
  process: z.string().nullable(),
  /** Keyed hash of the person, hex, where all of that person goes. */
  subject: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .nullable(),
  /** The person, until keys in a vault are destroyed; then `null`. */
  person: z.string().nullable(),
  /** Whether all parts were under keys that are destroyed; `false` until that is known. */
  shredded: z.boolean().default(false),
  /** Entries from here on are none of this erasure's. */
  below: z.number().int().nonnegative(),
  /** Ids of the `audit.erased` entries that list the parts, and of the one that will say that it is done. */
  statements: z.array(z.uuid()).min(1),
  done: z.uuid(),
})
export type ErasureState = z.infer<typeof stateSchema>

export interface ErasureJournal {
  list(): readonly ErasureState[]
  put(state: ErasureState): void
  remove(erasure: string): void
}

/** For a log without a home. */
export class MemoryJournal implements ErasureJournal {
  readonly #states = new Map<string, ErasureState>()

  list(): readonly ErasureState[] {
    return [...this.#states.values()]
  }

  put(state: ErasureState): void {
    this.#states.set(state.erasure, state)
  }

  remove(erasure: string): void {
    this.#states.delete(erasure)
  }
}

/** One file for each erasure. The folder is made with the first. */
export class FileJournal implements ErasureJournal {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** @throws IndelibleError `ERR_STORE_CORRUPT` if a file cannot be read: nothing of it is guessed */
  list(): readonly ErasureState[] {
    if (!existsSync(this.#directory)) return []
    removeTemporaries(this.#directory)
    return readdirSync(this.#directory)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .flatMap((name) => this.#read(join(this.#directory, name)) ?? [])
  }

  put(state: ErasureState): void {
    if (!existsSync(this.#directory)) mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    writeFileAtomic(this.#path(state.erasure), `${JSON.stringify(state)}\n`)
  }

  remove(erasure: string): void {
    rmSync(this.#path(erasure), { force: true })
    if (existsSync(this.#directory)) syncDirectory(this.#directory)
  }

  #read(path: string): ErasureState | null {
    let text: string
    try {
      text = readFileSync(path, 'utf8')
    } catch (error) {
      // Another process has just finished it.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
    try {
      return stateSchema.parse(JSON.parse(text))
    } catch {
      // No cause: the message of a parser may quote whom it concerns.
      throw new IndelibleError('ERR_STORE_CORRUPT', `${path} is damaged: ask for the erasure again, then delete it`)
    }
  }

  #path(erasure: string): string {
    return join(this.#directory, `${erasure}.json`)
  }
}
