/** Verifies the log of a home against what this machine's user remembers of it, and remembers more afterwards. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AnchorReceipts, anchorsDirectory } from '../anchor/receipts.ts'
import { fromBase64, isEqual } from '../bytes.ts'
import type { MacVerificationKey } from '../chain/verification-key.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type LogPin, Pins } from '../keys/pins.ts'
import { parseVkey, type VerifierKey } from '../note/signed-note.ts'
import { MemoryStore } from '../store/memory.ts'
import { ForeignObjectError } from '../store/sqlite-objects.ts'
import type { LogStore } from '../store/store.ts'
import { NULL_STORE } from '../store/stores.ts'
import { checkConsistency, proveConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'
import type { LogEvidence, TrustPolicy } from '../verify/evidence.ts'
import type { KeptReceipt } from '../verify/receipts-check.ts'
import { failedReport, type Report } from '../verify/report.ts'
import { type VerifyLogOptions, verifyLog } from '../verify/verify-log.ts'
import { resolveHome } from './home-paths.ts'
import { openStore } from './home-store.ts'
import { VerifyThreads } from './verify-threads.ts'

export interface VerifyHomeOptions extends VerifyLogOptions {
  readonly home?: string
  /** Keys that the verifier trusts, got from somewhere else than the home. Default: the pinned one; at first sight the home's. */
  readonly trust?: Pick<TrustPolicy, 'origin' | 'keys' | 'anchors' | 'macId' | 'macEpochs'>
  /** Receipts that callers kept, to be held against the log. */
  readonly receipts?: readonly KeptReceipt[]
  readonly macKey?: MacVerificationKey
  /** People whose signatures on decisions count. Default: whoever the log's own register names. */
  readonly identities?: readonly VerifierKey[]
  /** Who must have signed purges: each is judged by those who were adopted last before it. */
  readonly purgeApprovers?: TrustPolicy['purgeApprovers']
  /** The verifier's memory. Default the user's configuration folder. `null` neither reads nor writes one. */
  readonly pins?: Pins | null
}

/**
 * @returns the report; if it is `verified`, the checkpoint accepted is the new pin
 * @throws IndelibleError `ERR_HOME_NOT_FOUND` if there is no home and none is remembered, `ERR_KEY_MISMATCH`,
 * `ERR_PIN_CONFLICT`, and what the store throws
 */
export async function verifyHome(options: VerifyHomeOptions = {}): Promise<Report> {
  const home = resolveHome(options.home)
  const pins = options.pins === undefined ? new Pins() : options.pins
  const opened = await openEvidence(home, pins, options.trust?.origin).catch((error) => {
    if (error instanceof ForeignObjectError) return error
    throw error
  })
  if (opened instanceof ForeignObjectError) {
    const origin = options.trust?.origin ?? expectedOrigin(home, pins, loadConfig(home).log.origin)
    // What a view shows need not be what the next one who reads is shown.
    return failedReport(origin, { code: 'store_altered', found: opened.objects.join(', '), message: opened.message })
  }
  const { origin, store, config } = opened
  let threads: VerifyThreads | null = null
  try {
    const pin = pins?.read(origin) ?? null
    const key = pin?.key ?? homeKey(home)
    const keys = options.trust?.keys ?? (key === null ? [] : [parseVkey(key)])
    if (keys.length === 0) {
      throw new IndelibleError('ERR_KEY_MISMATCH', `no key of ${origin} is known: pass one with --trust`)
    }
    const { trust, receipts, macKey, identities, purgeApprovers } = options
    const policy: TrustPolicy = {
      ...trust,
      origin,
      keys,
      nowMs: Date.now(),
      ...(pin && { pin }),
      ...(macKey && { macKey }),
      ...(receipts && { receipts }),
      ...(identities && { identities }),
      ...(purgeApprovers && { purgeApprovers }),
    }
    // What they settle is settled for this log.
    if (config?.log.origin === origin) threads = await VerifyThreads.start(home, config, store)
    const checker = options.checker ?? threads ?? undefined
    const report = await verifyLog(new HomeEvidence(store, receiptsOf(home)), policy, { ...options, checker })
    if (report.verdict === 'verified' && pins) {
      const accepted = { origin, key: report.key, size: report.size, root: fromBase64(report.root), home }
      await raisePin(pins, pin, accepted, store)
    }
    return { ...report, not_checked: [...report.not_checked, ...caveats(home, pins !== null && pin !== null, options)] }
  } finally {
    await threads?.close()
    await store.close()
  }
}

/**
 * Verifies a copy of the log of a home, in the store at `url`, under the key and the pin that this user has. The pin stays.
 * @throws IndelibleError as {@link verifyHome}
 */
export async function verifyCopy(url: string, options: VerifyLogOptions & { readonly home: string }): Promise<Report> {
  const { home } = options
  const config = loadConfig(home)
  const { origin } = config.log
  const pin = new Pins().read(origin)
  const key = pin?.key ?? homeKey(home)
  if (key === null) throw new IndelibleError('ERR_KEY_MISMATCH', `no key of ${origin} is known`)
  const store = await openStore(home, { ...config, log: { ...config.log, store: url } }, { readOnly: true })
  try {
    return await verifyLog(store, { origin, keys: [parseVkey(key)], ...(pin && { pin }) }, options)
  } finally {
    await store.close()
  }
}

/** Of two verifiers at once, the one that verified more proves that its log continues the other's, and so both end well. */
async function raisePin(pins: Pins, before: LogPin | null, accepted: LogPin, store: LogStore): Promise<void> {
  const { origin, size, root } = accepted
  for (let pin = before; ; ) {
    try {
      return await pins.raise(pin, accepted)
    } catch (error) {
      const now = isIndelibleError(error, 'ERR_PIN_CONFLICT') ? pins.read(origin) : null
      if (!now || now.size > size || (now.size === pin?.size && isEqual(now.root, pin.root))) throw error
      const proof = await proveConsistency(now.size, size, sourceNodeReader(store, size))
      checkConsistency({ size1: now.size, root1: now.root, size2: size, root2: root, proof })
      pin = now
    }
  }
}

function caveats(home: string, hasPin: boolean, options: VerifyHomeOptions): string[] {
  const notes: string[] = []
  if (keepsNothing(home)) notes.push('log.store is null: what is recorded now is counted and forgotten')
  if (!options.trust && !hasPin)
    notes.push('the key itself: it was taken from the home, compare it with the one handed out')
  if (hasPin && existsSync(join(home, 'keys'))) {
    notes.push('the pin is kept on the machine that writes the log: it is not independent of whoever controls that')
  }
  return notes
}

/** A log that is gone altogether is still evidence: of a log that is gone. */
async function openEvidence(
  home: string,
  pins: Pins | null,
  trusted?: string,
): Promise<{ origin: string; store: LogStore; config: Config | null }> {
  let origin: string
  try {
    const config = loadConfig(home)
    origin = trusted ?? expectedOrigin(home, pins, config.log.origin)
    return { origin, store: await openStore(home, config, { readOnly: true }), config }
  } catch (error) {
    if (isIndelibleError(error, 'ERR_HOME_NOT_FOUND')) {
      // Whoever has a trust policy knows that there is such a log.
      const known = pins?.findByHome(home)?.origin ?? trusted
      if (known === undefined) throw error
      origin = known
    } else if (isIndelibleError(error, 'ERR_STORE_MISSING')) {
      origin = trusted ?? expectedOrigin(home, pins, loadConfig(home).log.origin)
    } else {
      throw error
    }
  }
  return { origin, store: new MemoryStore(), config: null }
}

/** The log that was last seen here: another one in its place is not believed by its own word. */
function expectedOrigin(home: string, pins: Pins | null, stated: string): string {
  if (!pins || pins.read(stated)) return stated
  return pins.findByHome(home)?.origin ?? stated
}

/** Where a home keeps what its anchors gave; of a home that is gone, nowhere. */
function receiptsOf(home: string): AnchorReceipts | null {
  try {
    return new AnchorReceipts(anchorsDirectory(home, loadConfig(home)))
  } catch (error) {
    if (!isIndelibleError(error, 'ERR_HOME_NOT_FOUND')) throw error
    return null
  }
}

/** A store, and beside it what the home's anchors gave. */
class HomeEvidence implements LogEvidence {
  readonly #store: LogStore
  readonly #receipts: AnchorReceipts | null

  constructor(store: LogStore, receipts: AnchorReceipts | null) {
    this.#store = store
    this.#receipts = receipts
  }

  head = () => this.#store.head()
  entries = (start: number, end: number) => this.#store.entries(start, end)
  payloads = (start: number, end: number) => this.#store.payloads(start, end)
  checkpoints = (above: number, upTo: number) => this.#store.checkpoints(above, upTo)
  findIds = (ids: readonly string[]) => this.#store.findIds(ids)
  areIdsAt = async (ids: readonly string[], start: number) => (await this.#store.areIdsAt?.(ids, start)) ?? false
  tile = (level: number, index: number) => this.#store.tile(level, index)
  tileRoots = (level: number, start: number, end: number) => this.#store.tileRoots(level, start, end)
  leaves = (start: number, end: number) => this.#store.leaves(start, end)

  async *anchors(): AsyncGenerator<readonly AnchorReceipt[], void> {
    for (const receipt of this.#receipts?.all() ?? []) yield [receipt]
  }
}

function homeKey(home: string): string | null {
  const path = join(home, 'log.vkey')
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : null
}

function keepsNothing(home: string): boolean {
  try {
    return loadConfig(home).log.store === NULL_STORE
  } catch {
    return false // the home is gone: that shows by itself
  }
}
