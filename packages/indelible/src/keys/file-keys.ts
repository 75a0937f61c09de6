/**
 * The keys folder of a home. `state.json` is the ratchet and the signer's memory, and binds both to this place: a copied
 * folder, or one restored from a backup, must not become a second writer that signs a second history.
 */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { type MacKey, macKey } from '#crypto'
import { fromBase64, toBase64 } from '../bytes.ts'
import { MAC_BYTES, macKeyId, Ratchet } from '../chain/chain.ts'
import type { EpochClock } from '../chain/epoch.ts'
import { IndelibleError } from '../errors.ts'
import { type NoteSigner, SIGNATURE_ECDSA_P256, type VerifierKey } from '../note/signed-note.ts'
import {
  checkPrivate,
  makePrivateDirectory,
  readPrivateFile,
  removeTemporaries,
  withFileLock,
  writeFileAtomic,
} from './files.ts'
import type { LogKeys, Remembered } from './log-keys.ts'
import { machineId } from './process.ts'
import { generateSkey, type Profile, signerFromSkey } from './signer.ts'

const base64Key = z.string().regex(/^[A-Za-z0-9+/]{43}=$/)
const stateSchema = z
  .strictObject({
    origin: z.string(),
    place: z.string(),
    epoch_start_ms: z.number().int(),
    epoch_seconds: z.number().int().positive(),
    mac_id: base64Key,
    epoch: z.number().int().nonnegative(),
    key: base64Key,
    size: z.number().int().nonnegative(),
    root: z.union([z.literal(''), base64Key]),
  })
  .refine(({ size, root }) => (size === 0) === (root === ''))
type State = z.infer<typeof stateSchema>

const rotationSchema = z.strictObject({ id: z.string(), skey: z.string() })

/** What {@link createKeyFiles} made; `firstKey` (K_0) is nowhere on disk once the first epoch is over. */
export interface CreatedKeys {
  readonly firstKey: Uint8Array
}

/** Fills `directory` with fresh keys of the log `origin`. */
export function createKeyFiles(
  directory: string,
  { origin, clock, profile, host }: { origin: string; clock: EpochClock; profile: Profile; host: string | undefined },
): CreatedKeys {
  makePrivateDirectory(directory)
  // https://bford.info/cachedir/: what tar, borg and restic look for to leave a folder out. A ratchet that comes back from
  // a backup brings back the keys that were erased.
  writeFileSync(join(directory, 'CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55\n', { mode: 0o600 })
  writeFileSync(join(directory, '.nobackup'), '', { mode: 0o600 })
  const firstKey = new Uint8Array(randomBytes(32))
  writeFileAtomic(join(directory, 'log.skey'), `${generateSkey(origin, profile)}\n`)
  for (const name of ['fingerprint.key', 'ids.key', 'subjects.key']) {
    writeFileAtomic(join(directory, name), `${toBase64(randomBytes(32))}\n`)
  }
  writeState(directory, {
    origin,
    place: placeOf(directory, host),
    epoch_start_ms: clock.startMs,
    epoch_seconds: clock.seconds,
    mac_id: toBase64(macKeyId(firstKey, origin)),
    epoch: 0,
    key: toBase64(firstKey),
    size: 0,
    root: '',
  })
  return { firstKey }
}

export class FileKeys implements LogKeys {
  readonly origin: string
  readonly clock: EpochClock
  readonly macId: Uint8Array
  readonly fingerprint: MacKey
  readonly ids: MacKey
  readonly subjects: MacKey
  readonly #directory: string
  #signer: NoteSigner
  #previous: VerifierKey | null = null
  /** Which log.skey was read, as {@link fileVersion} tells it. */
  #skeyVersion = ''
  #ratchet: Ratchet
  /** Epoch of the key on disk, as far as this process knows. */
  #savedEpoch: number
  #remembered: Remembered | null
  #adopted: string | null = null

  /**
   * @param options.host a lasting name of this host; default its machine id
   * @param options.adopt accept a folder that was made in another place; {@link bind} it to this one once the log says so
   * @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_KEY_PERMISSIONS`, `ERR_KEY_INVALID`, `ERR_HOME_COPIED`,
   * `ERR_KEY_MISMATCH` if the signing key is another log's
   */
  constructor(directory: string, options: { readonly adopt?: boolean; readonly host?: string | undefined } = {}) {
    this.#directory = directory
    checkPrivate(directory)
    const state = readState(directory)
    const place = placeOf(directory, options.host)
    if (state.place !== place) {
      if (!options.adopt) {
        throw new IndelibleError(
          'ERR_HOME_COPIED',
          `${directory} was copied, restored or moved to another host. If nothing else writes this log, adopt it with indelible record --adopt`,
        )
      }
      this.#adopted = place
    }
    removeTemporaries(directory)
    this.origin = state.origin
    this.clock = { startMs: state.epoch_start_ms, seconds: state.epoch_seconds }
    this.macId = fromBase64(state.mac_id)
    this.fingerprint = readMacKey(directory, 'fingerprint.key')
    this.ids = readMacKey(directory, 'ids.key')
    this.subjects = readMacKey(directory, 'subjects.key')
    this.#signer = this.#readSigner()
    this.#ratchet = new Ratchet(state.epoch, fromBase64(state.key))
    this.#savedEpoch = state.epoch
    this.#remembered = rememberedOf(state)
  }

  /** Whether the folder was made in another place, and is not bound to this one yet. */
  get isAdopted(): boolean {
    return this.#adopted !== null
  }

  /** Binds an adopted folder to its new place. */
  async bind(): Promise<void> {
    const place = this.#adopted
    if (place !== null) await this.#update((state) => ({ ...state, place }))
    this.#adopted = null
  }

  get signer(): NoteSigner {
    return this.#signer
  }

  get trusted(): readonly VerifierKey[] {
    return this.#previous ? [this.#signer.key, this.#previous] : [this.#signer.key]
  }

  ratchet(): Ratchet {
    return this.#ratchet.clone()
  }

  async erase(ratchet: Ratchet): Promise<void> {
    // Not replaced by a copy: going forward overwrites the old key in memory.
    if (ratchet.epoch > this.#ratchet.epoch) this.#ratchet.advance(ratchet.epoch)
    const { epoch, key } = this.#ratchet
    if (epoch <= this.#savedEpoch) return
    // Atomic: after a crash the file has the old key or the new one. The seals are committed already, so either will do.
    await this.#update((state) => (epoch > state.epoch ? { ...state, epoch, key: toBase64(key) } : state))
    // Not before: should the write fail, the next call must try again.
    this.#savedEpoch = epoch
  }

  remembered(): Remembered | null {
    return this.#remembered
  }

  remember(checkpoint: Remembered): void {
    if (checkpoint.size >= (this.#remembered?.size ?? 0)) this.#remembered = checkpoint
  }

  async persist(): Promise<void> {
    const remembered = this.#remembered
    if (!remembered) return
    await this.#update((state) => {
      const known = rememberedOf(state)
      // Another process of this home may be ahead; never forget what it has signed.
      if (known && known.size > remembered.size) this.remember(known)
      if (known && known.size >= remembered.size) return state
      return { ...state, size: remembered.size, root: toBase64(remembered.root) }
    })
  }

  rotating<T>(work: () => Promise<T>): Promise<T> {
    // Longer than a store may make an append wait.
    return withFileLock(this.#path('rotation.lock'), work, { timeoutMs: 120_000, foreignMs: 120_000 })
  }

  async prepareRotation(id: string): Promise<NoteSigner> {
    const skey = generateSkey(this.origin, this.#signer.key.type === SIGNATURE_ECDSA_P256 ? 'fips' : 'default')
    writeFileAtomic(this.#path('next.json'), JSON.stringify({ id, skey }))
    return signerFromSkey(skey)
  }

  async abandonRotation(): Promise<void> {
    rmSync(this.#path('next.json'), { force: true })
  }

  async refresh(isCommitted: (id: string) => Promise<boolean>): Promise<boolean> {
    const next = this.#path('next.json')
    const isPending = existsSync(next)
    // Runs under the head lock whenever somebody else wrote: two calls of stat are all that it usually costs.
    if (!isPending && fileVersion(this.#path('log.skey')) === this.#skeyVersion) return false
    return this.#locked(async () => {
      if (existsSync(next)) {
        const { id, skey } = readRotation(next)
        if (await isCommitted(id)) {
          // Before it takes the place of a key that is whole.
          signerFromSkey(skey)
          // The old private key is gone with this rename; the log says up to which size it counts.
          writeFileAtomic(this.#path('log.skey'), `${skey}\n`)
          rmSync(next, { force: true })
        }
      }
      const previous = this.#signer
      this.#signer = this.#readSigner()
      const changed = toBase64(previous.key.publicKey) !== toBase64(this.#signer.key.publicKey)
      if (changed) this.#previous = previous.key
      return changed
    })
  }

  #readSigner(): NoteSigner {
    const path = this.#path('log.skey')
    // Before it is read: a file that is replaced in between is read again next time.
    checkPrivate(path)
    this.#skeyVersion = fileVersion(path)
    const signer = signerFromSkey(readPrivateFile(path))
    if (signer.key.name !== this.origin) {
      throw new IndelibleError('ERR_KEY_MISMATCH', `signing key is of ${signer.key.name}, this log is ${this.origin}`)
    }
    return signer
  }

  #update(change: (state: State) => State): Promise<void> {
    return this.#locked(() => {
      const state = readState(this.#directory)
      const changed = change(state)
      if (changed !== state) writeState(this.#directory, changed)
    })
  }

  #locked<T>(work: () => T | Promise<T>): Promise<T> {
    return withFileLock(this.#path('lock'), work)
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }
}

/**
 * The key for fingerprints alone: for whoever shows that a value is the one that was recorded.
 * @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_KEY_PERMISSIONS`, `ERR_KEY_INVALID`
 */
export function readFingerprintKey(directory: string): MacKey {
  return readMacKey(directory, 'fingerprint.key')
}

/** What a keys folder says of itself, with none of its keys. */
export interface KeysInspection {
  readonly origin: string
  readonly clock: EpochClock
  /** The oldest epoch whose key is still there. */
  readonly epoch: number
  /** Entries of the largest checkpoint that this signer knows to be committed. */
  readonly size: number
  /** Whether the folder is where it was made: neither copied nor restored, nor moved to another host. */
  readonly isInPlace: boolean
}

/**
 * Looks and changes nothing.
 * @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_KEY_PERMISSIONS`, `ERR_KEY_INVALID`
 */
export function inspectKeys(directory: string, host?: string): KeysInspection {
  const { origin, place, epoch, size, epoch_start_ms: startMs, epoch_seconds: seconds } = readState(directory)
  return { origin, clock: { startMs, seconds }, epoch, size, isInPlace: place === placeOf(directory, host) }
}

function readState(directory: string): State {
  const path = join(directory, 'state.json')
  try {
    return stateSchema.parse(JSON.parse(readPrivateFile(path)))
  } catch (error) {
    if (error instanceof IndelibleError) throw error
    // No cause: the message of a parser may quote the key.
    throw new IndelibleError('ERR_KEY_INVALID', `${path} is damaged`)
  }
}

function readRotation(path: string): z.infer<typeof rotationSchema> {
  try {
    return rotationSchema.parse(JSON.parse(readPrivateFile(path)))
  } catch (error) {
    if (error instanceof IndelibleError) throw error
    throw new IndelibleError('ERR_KEY_INVALID', `${path} is damaged`)
  }
}

function writeState(directory: string, state: State): void {
  writeFileAtomic(join(directory, 'state.json'), `${JSON.stringify(state)}\n`)
}

function rememberedOf({ size, root }: State): Remembered | null {
  return size === 0 ? null : { size, root: fromBase64(root) }
}

function readMacKey(directory: string, name: string): MacKey {
  const path = join(directory, name)
  try {
    const key = fromBase64(readPrivateFile(path).trim())
    if (key.length !== MAC_BYTES) throw new RangeError('a key of another length')
    return macKey(key)
  } catch (error) {
    if (error instanceof IndelibleError) throw error
    throw new IndelibleError('ERR_KEY_INVALID', `${path} is damaged`)
  }
}

/**
 * Where a folder is: this host, and the folder's inode, which moving keeps and copying does not. In containers, whose host
 * name changes with each start, the configuration gives a lasting one (`keys.host`).
 */
function placeOf(directory: string, host = machineId() ?? hostname()): string {
  return createHash('sha256')
    .update(`${host}\n${statSync(directory).ino}`)
    .digest('base64url')
}

/** Changes whenever the file at `path` is replaced. The inode alone would not do: the next file may get the old one's. */
function fileVersion(path: string): string {
  const { ino, ctimeNs, mtimeNs } = statSync(path, { bigint: true })
  return `${ino} ${ctimeNs} ${mtimeNs}`
}
