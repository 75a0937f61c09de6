/** A home folder: making one, and opening the log in it. */
import { createCipheriv, createHmac, generateKeyPairSync, hash, hkdfSync, randomBytes, sign } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { toBase64Url } from '../bytes.ts'
import { DEFAULT_EPOCH_SECONDS, type EpochClock } from '../chain/epoch.ts'
import { formatMacVerificationKey } from '../chain/verification-key.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { IndelibleError } from '../errors.ts'
import { createKeyFiles, FileKeys } from '../keys/file-keys.ts'
import { isAlive, syncDirectory, writeFileAtomic } from '../keys/files.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { Pins } from '../keys/pins.ts'
import type { Profile } from '../keys/signer.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, parseNote } from '../note/signed-note.ts'
import { PrivacyPolicy } from '../privacy/policy.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { LogStore } from '../store/store.ts'
import { VERSION } from '../version.ts'
import { auditEntry } from './batch.ts'
import { Log } from './log.ts'
import { Sequencer } from './sequencer.ts'

/** Default home, relative to the working directory. */
export const DEFAULT_HOME = '.indelible'

export interface CreateLogOptions {
  /** Default `$INDELIBLE_HOME`, else `./.indelible`. Must not exist, or be empty. */
  readonly home?: string
  /** First line of every checkpoint: the log's identity, a name without spaces or plus signs. Default: a random one. */
  readonly origin?: string
  readonly profile?: Profile
  /** Length of an epoch of the HMAC chain, in seconds. Default one hour. */
  readonly epochSeconds?: number
  /** Where the keys folder goes, if not into the home: better, a place that is not backed up with the database. */
  readonly keysDir?: string
  /** Where the verifier's memory lives. Default the user's configuration folder. `null` makes no pin. */
  readonly pins?: Pins | null
}

export interface CreatedLog {
  readonly home: string
  readonly origin: string
  /** To hand out: whoever has it can check proofs. */
  readonly vkey: string
  /** K_0: to keep off this host, and nowhere on it. Not shown again, not stored. */
  readonly macVerificationKey: string
}

/**
 * Makes a home: keys, configuration, an empty database with `audit.opened` as its first entry, and a pin.
 *
 * Everything is made beside its place and renamed into it at the end: of two that do this at once one succeeds, and what an
 * interruption leaves behind is not a home.
 *
 * @throws IndelibleError `ERR_HOME_EXISTS`, `ERR_FIPS_UNAVAILABLE`, `ERR_CONFIG_INVALID`
 */
export async function createLog(options: CreateLogOptions = {}): Promise<CreatedLog> {
  const home = resolveHome(options.home)
  const { profile = 'default', epochSeconds = DEFAULT_EPOCH_SECONDS } = options
  const origin = options.origin ?? `indelible.invalid/${randomBytes(8).toString('hex')}`
  if (!/^[^\s+]{1,255}$/u.test(origin)) {
    throw new IndelibleError(
      'ERR_CONFIG_INVALID',
      'origin: expected up to 255 characters without spaces and plus signs',
    )
  }
  if (!Number.isSafeInteger(epochSeconds) || epochSeconds < 1) {
    throw new IndelibleError('ERR_CONFIG_INVALID', 'epoch length: expected a whole number of seconds')
  }
  if (profile === 'fips') checkFips()
  refuseExisting(home)
  removeLeftovers(home)

  const host = process.env.INDELIBLE_KEYS__HOST
  const clock: EpochClock = { startMs: Math.floor(Date.now() / 1000) * 1000, seconds: epochSeconds }
  const draft = `${home}.init-${process.pid}-${randomBytes(4).toString('hex')}`
  mkdirSync(draft, { recursive: true, mode: 0o700 })
  try {
    const keysDir = options.keysDir ? resolve(options.keysDir) : join(draft, 'keys')
    if (options.keysDir && existsSync(keysDir)) {
      throw new IndelibleError('ERR_HOME_EXISTS', `${keysDir} is there already: keys are never overwritten`)
    }
    const { firstKey } = createKeyFiles(keysDir, { origin, clock, profile, host })
    const config = {
      log: { origin, store: 'sqlite:log.db', ...(profile !== 'default' && { profile }) },
      ...(options.keysDir && { keys: { dir: keysDir } }),
    }
    writeFileAtomic(join(draft, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
    mkdirSync(join(draft, 'spool'), { mode: 0o700 })
    const keys = new FileKeys(keysDir, { host })
    const vkey = formatVkey(keys.signer.key)
    publishVkey(draft, keys)
    const checkpoint = await writeFirstEntry(openSqliteStore(join(draft, 'log.db')), keys, vkey, profile)
    syncDirectory(draft)
    placeHome(draft, home)
    if (options.pins !== null) {
      const { size, root } = parseCheckpoint(parseNote(checkpoint).text)
      await (options.pins ?? new Pins()).raise(null, { origin, key: vkey, size, root, home })
    }
    return { home, origin, vkey, macVerificationKey: formatMacVerificationKey({ origin, clock, key: firstKey }) }
  } catch (error) {
    if (options.keysDir && !existsSync(home)) rmSync(options.keysDir, { recursive: true, force: true })
    throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** Writes `audit.opened` as entry 0, and returns the first checkpoint. */
export async function writeFirstEntry(store: LogStore, keys: LogKeys, vkey: string, profile: Profile): Promise<string> {
  const sequencer = new Sequencer(store, keys)
  const opened = auditEntry('audit.opened', Date.now(), {
    origin: keys.origin,
    vkey,
    profile,
    epoch_start: new Date(keys.clock.startMs).toISOString(),
    epoch_seconds: keys.clock.seconds,
    mac_id: toBase64Url(keys.macId),
    software: `indelible/${VERSION}`,
  })
  const [place] = await sequencer.append([{ ...opened, idGiven: false }])
  await sequencer.close()
  await store.close()
  return place!.checkpoint
}

export interface OpenLogOptions {
  /** Default `$INDELIBLE_HOME`, else `./.indelible`. */
  readonly home?: string
  /** Accept a home that was copied or restored, and bind it to this place. Make sure that nothing else writes the log. */
  readonly adopt?: boolean
}

/**
 * Opens the log of a home for recording. Several processes may do so at once.
 *
 * @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_HOME_COPIED`, `ERR_KEY_PERMISSIONS`, `ERR_KEY_MISMATCH`,
 * `ERR_CONFIG_INVALID`, `ERR_HEAD_FORGED`, `ERR_ROLLED_BACK`, `ERR_STORE_…`
 */
export async function openLog(options: OpenLogOptions = {}): Promise<Log> {
  const home = resolveHome(options.home)
  const config = loadConfig(home)
  if (config.log.profile === 'fips') checkFips()
  const keys = new FileKeys(keysDirectory(home, config), { adopt: options.adopt ?? false, host: config.keys.host })
  if (keys.origin !== config.log.origin) {
    const message = `keys are of ${keys.origin}, the configuration says ${config.log.origin}`
    throw new IndelibleError('ERR_KEY_MISMATCH', message)
  }
  const store = openStore(home, config)
  try {
    const privacy = new PrivacyPolicy(config.privacy, keys.origin, keys.fingerprint)
    const { max_batch: maxBatch, max_pending_bytes: maxPendingBytes } = config.log
    const log = await Log.open({ store, keys, privacy, options: { maxBatch, maxPendingBytes } })
    noteUncleanShutdown(home, log)
    publishVkey(home, keys)
    if (options.adopt) log.notice('adopted')
    return log
  } catch (error) {
    await store.close()
    throw error
  }
}

/** `log.vkey` is the current key, also after a rotation that was interrupted. */
export function publishVkey(home: string, keys: LogKeys): void {
  const path = join(home, 'log.vkey')
  const text = `${formatVkey(keys.signer.key)}\n`
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return
  writeFileAtomic(path, text)
  chmodSync(path, 0o644)
}

/** The store that a configuration names. */
export function openStore(home: string, config: Config, options: { readonly readOnly?: boolean } = {}): LogStore {
  const [scheme, ...rest] = config.log.store.split(':')
  const path = rest.join(':')
  if (scheme === 'sqlite' && path !== '') {
    const file = isAbsolute(path) ? path : join(home, path)
    if (!existsSync(file)) {
      throw new IndelibleError('ERR_STORE_MISSING', `${file} is missing: the log was deleted, moved or not restored`)
    }
    return openSqliteStore(file, options)
  }
  throw new IndelibleError('ERR_CONFIG_INVALID', `log.store: expected sqlite:PATH, found ${scheme}:`)
}

export function resolveHome(home?: string): string {
  return resolve(home ?? process.env.INDELIBLE_HOME ?? DEFAULT_HOME)
}

export function keysDirectory(home: string, config: Config): string {
  return isAbsolute(config.keys.dir) ? config.keys.dir : join(home, config.keys.dir)
}

/** Algorithms that the fips profile uses; each must be served by the OpenSSL that Node runs on. */
function checkFips(): void {
  try {
    hash('sha256', '')
    createHmac('sha256', randomBytes(32)).update('').digest()
    hkdfSync('sha256', randomBytes(32), '', '', 32)
    createCipheriv('aes-256-gcm', randomBytes(32), randomBytes(12))
    sign('sha256', randomBytes(1), generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  } catch (cause) {
    const message = 'profile fips: OpenSSL does not serve SHA-256, HMAC, HKDF, AES-256-GCM and ECDSA P-256'
    throw new IndelibleError('ERR_FIPS_UNAVAILABLE', message, { cause })
  }
}

function refuseExisting(home: string): void {
  if (existsSync(home) && readdirSync(home).length > 0) {
    throw new IndelibleError('ERR_HOME_EXISTS', `${home} is not empty: a log is never overwritten`)
  }
}

function placeHome(draft: string, home: string): void {
  try {
    // Replaces an empty folder; refuses one that somebody else has filled meanwhile.
    renameSync(draft, home)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error
    throw new IndelibleError('ERR_HOME_EXISTS', `${home} was made by somebody else meanwhile`)
  }
  syncDirectory(dirname(home))
}

/** Drafts of an init that was killed hold keys. */
function removeLeftovers(home: string): void {
  const parent = dirname(home)
  if (!existsSync(parent)) return
  for (const name of readdirSync(parent)) {
    const match = name.startsWith(`${basename(home)}.init-`) && /\.init-(\d+)-[0-9a-f]{8}$/.exec(name)
    if (match && !isAlive(Number(match[1]))) rmSync(join(parent, name), { recursive: true, force: true })
  }
}

/** Each writer leaves a mark while it runs; one whose process is gone was killed, and may have lost what it had not acknowledged. */
function noteUncleanShutdown(home: string, log: Log): void {
  const directory = join(home, 'writers')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  let killed = 0
  for (const name of readdirSync(directory)) {
    const pid = Number(name.split('-')[0])
    if (pid === process.pid || isAlive(pid)) continue
    rmSync(join(directory, name), { force: true })
    killed++
  }
  if (killed > 0) log.notice('unclean_shutdown', { writers: killed })
  const mark = join(directory, `${process.pid}-${randomBytes(4).toString('hex')}`)
  writeFileSync(mark, '', { mode: 0o600 })
  log.onClose(() => rmSync(mark, { force: true }))
}
