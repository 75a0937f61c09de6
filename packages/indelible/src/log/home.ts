/** A home folder: making one, and opening the log in it. */
import { createCipheriv, createHmac, generateKeyPairSync, hash, hkdfSync, randomBytes, sign } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { anchorsDirectory } from '../anchor/receipts.ts'
import { toBase64Url } from '../bytes.ts'
import { DEFAULT_EPOCH_SECONDS, type EpochClock } from '../chain/epoch.ts'
import { formatMacVerificationKey } from '../chain/verification-key.ts'
import { loadConfig, parseConfig } from '../config/config.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { createKeyFiles, FileKeys } from '../keys/file-keys.ts'
import { isOlderThan, syncDirectory, withFileLock, writeFileAtomic } from '../keys/files.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { Pins } from '../keys/pins.ts'
import { isGone, processToken } from '../keys/process.ts'
import type { Profile } from '../keys/signer.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, parseNote } from '../note/signed-note.ts'
import type { Recognizer } from '../privacy/redactor.ts'
import type { Mode } from '../record/event.ts'
import type { LogStore } from '../store/store.ts'
import { createStoreAt, DEFAULT_STORE, NULL_STORE, openStoreAt } from '../store/stores.ts'
import { VERSION } from '../version.ts'
import { cosignedCheckpoint, startAnchoring } from './anchoring.ts'
import { auditEntry } from './batch.ts'
import { captureOptions, hasSpooled } from './capture-options.ts'
import { recordConfigChange, writeAppliedConfig } from './config-change.ts'
import type { ErasureGuard } from './erasure.ts'
import { erasureSite, resumeErasures } from './erasure-home.ts'
import { keysDirectory, resolveHome } from './home-paths.ts'
import { Identities } from './identities.ts'
import { Log } from './log.ts'
import { configuredRedactor, privacyPolicy, redactionFacts } from './privacy-home.ts'
import { Sequencer } from './sequencer.ts'
import { SubjectFinder } from './subject-finder.ts'
import { openVault, protectPayloads } from './vault-home.ts'

export interface CreateLogOptions {
  /** Default `$INDELIBLE_HOME`, else `./.indelible`. Must not exist, or be empty. */
  readonly home?: string
  /** First line of every checkpoint: the log's identity, a name without spaces or plus signs. Default: a random one. */
  readonly origin?: string
  readonly profile?: Profile
  /** Where the entries go, such as `sqlite:PATH`; relative to the home. Default `sqlite:log.db`. */
  readonly store?: string
  /** Length of an epoch of the HMAC chain, in seconds. Default one hour. */
  readonly epochSeconds?: number
  /** Where the keys folder goes, if not into the home: better, a place that is not backed up with the database. */
  readonly keysDir?: string
  /** Where the verifier's memory lives. Default the user's configuration folder. `null` makes no pin. */
  readonly pins?: Pins | null
  /**
   * Hands K_0 to its keeper while no home stands yet: whoever is killed meanwhile leaves none whose K_0 nobody has. `draft` is
   * the folder that becomes the home; what is written into it is placed with it. If this throws, nothing is made.
   */
  readonly show?: (made: CreatedLog, draft: string) => Promise<void> | void
}

export interface CreatedLog {
  readonly home: string
  readonly origin: string
  /** To hand out: whoever has it can check proofs. */
  readonly vkey: string
  /** K_0: to keep off this host, and nowhere on it. Not shown again, not stored. See `show` of {@link CreateLogOptions}. */
  readonly macVerificationKey: string
}

/**
 * Makes a home: keys, configuration, an empty database with `audit.opened` as its first entry, and a pin.
 *
 * Everything is made beside its place and renamed into it at the end, under a lock: of two that do this at once one succeeds,
 * and what an interruption leaves behind is not a home.
 *
 * @throws IndelibleError `ERR_HOME_EXISTS`, `ERR_FIPS_UNAVAILABLE`, `ERR_CONFIG_INVALID`, `ERR_PIN_CONFLICT` if a log of
 * that origin is remembered on this machine, `ERR_STORE_BUSY` if another process takes long to make it
 */
export async function createLog(options: CreateLogOptions = {}): Promise<CreatedLog> {
  const home = resolveHome(options.home)
  mkdirSync(dirname(home), { recursive: true })
  // Of two at once, K_0 is shown to the one whose home it will be.
  return await withFileLock(`${home}.init.lock`, () => makeHome(home, options))
}

async function makeHome(home: string, options: CreateLogOptions): Promise<CreatedLog> {
  const { profile = 'default', store: url = DEFAULT_STORE, epochSeconds = DEFAULT_EPOCH_SECONDS } = options
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
  const keysDir = options.keysDir === undefined ? null : resolve(options.keysDir)
  const pins = options.pins === undefined ? new Pins() : options.pins
  refuseExisting(home)
  if (pins?.read(origin)) {
    throw new IndelibleError(
      'ERR_PIN_CONFLICT',
      `a log ${origin} is remembered on this machine, in ${pins.pathOf(origin)}: take another origin`,
    )
  }
  removeLeftovers(home)
  if (keysDir !== null) {
    removeLeftovers(keysDir)
    refuseExistingKeys(keysDir)
  }

  const host = process.env.INDELIBLE_KEYS__HOST
  const clock: EpochClock = { startMs: Math.floor(Date.now() / 1000) * 1000, seconds: epochSeconds }
  const mark = `.init-${processToken()}-${randomBytes(4).toString('hex')}`
  const draft = home + mark
  const keysDraft = keysDir === null ? join(draft, 'keys') : keysDir + mark
  let keysPlaced = false
  let homePlaced = false
  mkdirSync(draft, { recursive: true, mode: 0o700 })
  try {
    const { firstKey } = createKeyFiles(keysDraft, { origin, clock, profile, host })
    const config = {
      log: { origin, store: url, ...(profile !== 'default' && { profile }) },
      ...(keysDir !== null && { keys: { dir: keysDir } }),
    }
    writeFileAtomic(join(draft, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
    // Without the environment: what that changes is an entry as soon as the log is opened.
    const applied = parseConfig(config, () => 'config.json')
    writeAppliedConfig(draft, applied, redactionFacts(draft, applied, await configuredRedactor(draft, applied)))
    mkdirSync(join(draft, 'spool'), { mode: 0o700 })
    const keys = new FileKeys(keysDraft, { host })
    const vkey = formatVkey(keys.signer.key)
    publishVkey(draft, keys)
    const store = await createStoreAt(url, { home: draft, origin })
    const checkpoint = await writeFirstEntry(store, keys, vkey, profile)
    const made = { home, origin, vkey, macVerificationKey: formatMacVerificationKey({ origin, clock, key: firstKey }) }
    // Before anything is in its place: a home whose K_0 was never shown could never be verified in full.
    await options.show?.(made, draft)
    syncDirectory(draft)
    if (keysDir !== null) {
      // Keys first: a home without its keys could neither be opened nor made again.
      writeFileAtomic(join(keysDraft, UNFINISHED), JSON.stringify({ home, process: processToken() }))
      placeFolder(keysDraft, keysDir)
      keysPlaced = true
    }
    placeFolder(draft, home)
    homePlaced = true
    if (keysDir !== null) rmSync(join(keysDir, UNFINISHED), { force: true })
    if (pins !== null) {
      const { size, root } = parseCheckpoint(parseNote(checkpoint).text)
      await pins.raise(null, { origin, key: vkey, size, root, home })
    }
    return made
  } catch (error) {
    // The caller is told that there is no log, and keeps no K_0.
    if (homePlaced) renameSync(home, draft)
    if (keysPlaced) rmSync(keysDir!, { recursive: true, force: true })
    throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
    rmSync(keysDraft, { recursive: true, force: true })
  }
}

/** Writes `audit.opened` as entry 0, and returns the first checkpoint. */
export async function writeFirstEntry(store: LogStore, keys: LogKeys, vkey: string, profile: Profile): Promise<string> {
  // It stands in epoch 0 however long the making took: an epoch before the first entry could not be sealed.
  const endMs = keys.clock.startMs + keys.clock.seconds * 1000
  const sequencer = new Sequencer(store, keys, { clock: () => Math.min(Date.now(), endMs - 1) })
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
  /** Mode of every part recorded through this handle, whatever the configuration says. */
  readonly capture?: Mode
  /** Runs are recorded only if the configuration or `INDELIBLE_CAPTURE__ENABLED` says so: for an application that embeds us. */
  readonly embedded?: boolean
  /** Finds in text that is kept what no pattern does, such as names; instead of the configuration's. */
  readonly recognizer?: Recognizer
  /** Asked before anything is erased; each may refuse by throwing. */
  readonly erasureGuards?: readonly ErasureGuard[]
  /** Whether erasures that were interrupted, or had to wait, go on in the background. Default true. */
  readonly resumeErasures?: boolean
  /** Keeps the query index up to date in a thread of its own. Default false: queries bring it up to date when asked. */
  readonly index?: boolean
  /**
   * Has the configured anchors vouch for the log on their schedule, in a thread of its own. Default false: `indelible anchor
   * now` does it once, from cron say.
   */
  readonly anchor?: boolean
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
  const vault = await openVault(home, config)
  const store = await openStoreAt(config.log.store, { home, origin: config.log.origin }).then(
    (opened) => protectPayloads(opened, vault, config),
    (error) => {
      vault?.close()
      throw error
    },
  )
  let log: Log | null = null
  try {
    const { privacy, facts } = await privacyPolicy(home, config, keys, options)
    const { pseudonyms } = config.privacy
    const identities = vault && pseudonyms.length > 0 ? new Identities(vault, pseudonyms) : null
    const { max_batch: maxBatch, max_pending_bytes: maxPendingBytes } = config.log
    const places = { home, keys: keysDirectory(home, config), origin: keys.origin }
    const capture = captureOptions(places, config, privacy, options.embedded ?? false)
    const held: ErasureGuard = async (targets) =>
      (await import('../retention/guard.ts')).refuseHeldErasure(home, config, log!, targets)
    const site = erasureSite(home, config, vault, [...(options.erasureGuards ?? []), held])
    const subjects = SubjectFinder.of(config.privacy.subjects)
    const { reads } = config.audit
    const sequencing = { maxBatch, maxPendingBytes }
    const forgets = config.log.store === NULL_STORE
    const cosigned = (size: number) => cosignedCheckpoint(anchorsDirectory(home, config), size)
    const parts = {
      store,
      keys,
      privacy,
      identities,
      options: sequencing,
      capture,
      site,
      subjects,
      reads,
      forgets,
      cosigned,
    }
    log = await Log.open(parts)
    await tellRepairs(store, log)
    if (!forgets) noteUncleanShutdown(home, log)
    if (keys.isAdopted) {
      // Bound only once the log says so: a second attempt would not be asked for --adopt any more.
      await log.notice('adopted')
      await keys.bind()
    }
    await recordConfigChange(home, config, log, facts)
    rmSync(join(keysDirectory(home, config), UNFINISHED), { force: true })
    publishVkey(home, keys)
    log.onClose(() => publishVkey(home, keys))
    if (options.index) startIndexing(home, log)
    if (options.resumeErasures ?? true) resumeErasures(home, log)
    // What earlier processes could not append, somebody has to: the recorder begins with that.
    if (hasSpooled(home)) log.recorder.resume()
    if (options.anchor && config.anchors.list.length > 0) startAnchoring(home, log)
    return log
  } catch (error) {
    await (log ?? store).close()
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

/** In a keys folder of its own, until the home that it is for stands: which home, and which process makes it. */
const UNFINISHED = 'unfinished.json'

function refuseExisting(home: string): void {
  if (!existsSync(home)) return
  if (!statSync(home).isDirectory() || readdirSync(home).length > 0) {
    throw new IndelibleError('ERR_HOME_EXISTS', `${home} is not empty: a log is never overwritten`)
  }
}

/** Keys that a killed init left in their place belong to no log, as long as its home was not made. */
function refuseExistingKeys(keysDir: string): void {
  if (!existsSync(keysDir)) return
  const path = join(keysDir, UNFINISHED)
  if (existsSync(path)) {
    const { home, process } = JSON.parse(readFileSync(path, 'utf8')) as { home: string; process: string }
    if (isGone(process) && !existsSync(home)) {
      rmSync(keysDir, { recursive: true })
      return
    }
  }
  throw new IndelibleError('ERR_HOME_EXISTS', `${keysDir} is there already: keys are never overwritten`)
}

function placeFolder(draft: string, place: string): void {
  try {
    // Replaces an empty folder; refuses one that somebody else has filled meanwhile.
    renameSync(draft, place)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error
    throw new IndelibleError('ERR_HOME_EXISTS', `${place} was made by somebody else meanwhile`)
  }
  syncDirectory(dirname(place))
}

/** No init takes longer, ms. */
const INIT_MS = 10 * 60_000

/** Drafts of an init that was killed hold keys. */
function removeLeftovers(place: string): void {
  const parent = dirname(place)
  if (!existsSync(parent)) return
  for (const name of readdirSync(parent)) {
    const token = name.startsWith(`${basename(place)}.init-`) && /\.init-([0-9a-f-]+)-[0-9a-f]{8}$/.exec(name)?.[1]
    if (!token) continue
    const path = join(parent, name)
    if (isGone(token) ?? isOlderThan(path, INIT_MS)) rmSync(path, { recursive: true, force: true })
  }
}

function startIndexing(home: string, log: Log): void {
  const worker = new Worker(new URL('../query/index-worker.js', import.meta.url), {
    workerData: { home },
    // Not the main thread's: Node refuses some of them for a thread that is a file.
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 12 },
  })
  worker.unref()
  // An index that fell behind is no loss: the next query goes on from there.
  worker.on('error', () => {})
  log.onClose(() => worker.postMessage('stop'))
}

/**
 * Each writer leaves a mark while it runs; one whose process is gone was killed, and may have lost what it had not
 * acknowledged. One of another container counts as gone: whoever starts again after a crash cannot look it up.
 */
function noteUncleanShutdown(home: string, log: Log): void {
  const directory = join(home, 'writers')
  const mark = join(directory, `${processToken()}-${randomBytes(4).toString('hex')}`)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const killed = readdirSync(directory).filter((name) => isGone(name.slice(0, name.lastIndexOf('-'))) !== false)
    writeFileSync(mark, '', { flag: 'wx', mode: 0o600 })
    syncDirectory(directory)
    log.onClose(() => rmSync(mark, { force: true }))
    if (killed.length === 0) return
    // The marks stay until the log says so: whoever is killed before that leaves them to the next.
    const recorded = log.notice('unclean_shutdown', { writers: killed.length })
    const forget = () => {
      for (const name of killed) rmSync(join(directory, name), { force: true })
    }
    recorded.then(forget).catch(() => {})
  } catch (error) {
    // Whether the log can be written shows when an entry is.
    if (!isIndelibleError(error) && !isFileError(error)) throw error
  }
}

function isFileError(error: unknown): boolean {
  return ['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
}

async function tellRepairs(store: LogStore, log: Log): Promise<void> {
  await store.repaired?.((repairs) => Promise.all(repairs.map((repair) => log.notice('store_repaired', { ...repair }))))
}
