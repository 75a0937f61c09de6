/**
 * What a verifier on this machine remembers of each log: its key, and the largest checkpoint accepted. Lives in the user's
 * configuration folder, away from any log, so that a database rolled back with all its files is noticed.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { fromBase64, isEqual, toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { once } from '../once.ts'
import { makePrivateDirectory, withFileLock, writeFileAtomic } from './files.ts'

export interface LogPin {
  readonly origin: string
  /** vkey. */
  readonly key: string
  readonly size: number
  readonly root: Uint8Array
  /** Where the log was when this pin was made, so that its disappearance is noticed. */
  readonly home?: string | undefined
}

const pinSchema = once(() =>
  z.strictObject({
    origin: z.string(),
    key: z.string(),
    size: z.number().int().nonnegative(),
    root: z.string(),
    home: z.string().optional(),
  }),
)

/** `$XDG_CONFIG_HOME/indelible/pins`, by default below `~/.config`. */
export function defaultPinDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'indelible', 'pins')
}

export class Pins {
  readonly directory: string

  constructor(directory: string = defaultPinDirectory()) {
    this.directory = directory
  }

  /**
   * `null` before the first verification of `origin`.
   * @throws IndelibleError `ERR_PIN_CONFLICT` if the file is damaged: it is never made anew on its own
   */
  read(origin: string): LogPin | null {
    const path = this.pathOf(origin)
    if (!existsSync(path)) return null
    const pin = readPin(path)
    if (pin.origin !== origin) throw damaged(path)
    return pin
  }

  /**
   * The pin of the log that was last seen at `home`.
   * @throws IndelibleError `ERR_PIN_CONFLICT` if a file is damaged: it may be the one
   */
  findByHome(home: string): LogPin | null {
    if (!existsSync(this.directory)) return null
    for (const name of readdirSync(this.directory)) {
      if (!name.endsWith('.json')) continue
      const pin = readPin(join(this.directory, name))
      if (pin.home === home) return pin
    }
    return null
  }

  /**
   * Keeps a checkpoint that was verified to contain the one pinned so far; not if somebody else has pinned a larger one
   * meanwhile.
   *
   * @param before the pin against which it was verified
   * @throws IndelibleError `ERR_PIN_CONFLICT` if the pin was changed meanwhile, would shrink, or would get another root
   */
  async raise(before: LogPin | null, pin: LogPin): Promise<void> {
    makePrivateDirectory(this.directory)
    await withFileLock(`${this.pathOf(pin.origin)}.lock`, () => {
      const now = this.read(pin.origin)
      if (now && !isSameCheckpoint(now, before)) {
        if (now.size > pin.size) return
        if (!isSameCheckpoint(now, pin)) {
          const message = `pin of ${pin.origin} changed during the verification: run it again`
          throw new IndelibleError('ERR_PIN_CONFLICT', message)
        }
      }
      if (now && (pin.size < now.size || (pin.size === now.size && !isEqual(pin.root, now.root)))) {
        throw new IndelibleError('ERR_PIN_CONFLICT', `pin of ${pin.origin} is at ${now.size} and does not go back`)
      }
      const text = JSON.stringify({ ...pin, root: toBase64(pin.root), home: pin.home ?? now?.home })
      writeFileAtomic(this.pathOf(pin.origin), `${text}\n`)
    })
  }

  /** Where the pin of `origin` is, or would be. */
  pathOf(origin: string): string {
    return join(this.directory, `${createHash('sha256').update(origin).digest('hex')}.json`)
  }
}

function isSameCheckpoint(a: LogPin, b: LogPin | null): boolean {
  return b !== null && a.size === b.size && isEqual(a.root, b.root)
}

function readPin(path: string): LogPin {
  try {
    const pin = pinSchema().parse(JSON.parse(readFileSync(path, 'utf8')))
    return { ...pin, root: fromBase64(pin.root) }
  } catch (cause) {
    throw damaged(path, { cause })
  }
}

function damaged(path: string, options?: ErrorOptions): IndelibleError {
  return new IndelibleError('ERR_PIN_CONFLICT', `${path} is damaged; restore it, or remove it to begin anew`, options)
}
