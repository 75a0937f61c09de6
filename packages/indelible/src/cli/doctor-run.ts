/** Runs the checks of `indelible doctor` on one home, in an order in which nothing can be ahead of the log by accident. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { anchorsDirectory } from '../anchor/receipts.ts'
import { anchorStatus, behindOf } from '../anchor/state.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { isIndelibleError } from '../errors.ts'
import { inspectKeys } from '../keys/file-keys.ts'
import { Pins } from '../keys/pins.ts'
import { keysDirectory } from '../log/home-paths.ts'
import { type IndexPlace, indexedSize, indexFile } from '../query/indexes.ts'
import type { StoreFacts } from '../store/store-facts.ts'
import { storeFacts } from '../store/stores.ts'
import { checkAnchors } from './doctor-anchors.ts'
import { attempt, type Check, failure, ok, read } from './doctor-check.ts'
import { checkErasures } from './doctor-erasures.ts'
import {
  checkKeysFolder,
  checkLeftovers,
  checkNode,
  checkPermissions,
  checkPlace,
  checkSigningKey,
  checkSpool,
  checkVariables,
  checkWriters,
} from './doctor-home.ts'
import {
  checkClock,
  checkDisk,
  checkEpochs,
  checkFile,
  checkIndex,
  checkPin,
  checkSigner,
  checkWal,
} from './doctor-log.ts'
import { checkPrivacy } from './doctor-privacy.ts'
import { fileBytes, readDisk, readLog } from './home-facts.ts'
import { count, shellWord } from './output.ts'

export interface ExamineOptions {
  /** Has SQLite check its files. */
  readonly deep: boolean
}

/** @throws IndelibleError `ERR_HOME_NOT_FOUND`; whatever else is wrong is among the checks */
export async function examine(home: string, { deep }: ExamineOptions): Promise<Check[]> {
  let config: Config
  try {
    config = loadConfig(home)
  } catch (error) {
    if (!isIndelibleError(error, 'ERR_CONFIG_INVALID')) throw error
    const action = 'correct it, with indelible config unset KEY for instance; nothing else was checked'
    return [checkNode(), failure('config', error.message, action)]
  }
  const variables = checkVariables()
  const known = ok('config', `${join(home, 'config.json')} has known keys only`)
  const paths: Paths = {
    home,
    keys: keysDirectory(home, config),
    index: indexFile(indexPlace(home, config)),
    pins: new Pins().directory,
  }
  const { origin, store: url } = config.log
  const store = await read('database', VERIFY, () => storeFacts(url, { home, origin }))
  const facts = store.fault ? null : store.value
  return [
    checkNode(),
    ...(variables.length > 0 ? variables : [known]),
    ...(await examineHome(paths, config, facts)),
    ...(await attempt('privacy', AS_WRITER, () => checkPrivacy(home, config, facts?.folder ?? null))),
    ...(await attempt('erasures', ERASURES, () => checkErasures(home, Date.now()))),
    ...(await examineLog(paths, config, facts)),
    ...(deep ? await examineFiles(paths, facts) : []),
  ]
}

interface Paths {
  readonly home: string
  readonly keys: string
  /** `null` if the index is no file. */
  readonly index: string | null
  readonly pins: string
}

const AS_WRITER = 'run doctor as the user that writes the log, or restore what is missing'
const ERASURES = 'ask for the erasure again, then delete the file'
const ANCHORS = 'keep a copy of the file, restore it or remove it, and have the log anchored again'
const VERIFY = 'run indelible verify; a database that is damaged or gone has to be restored'
const PIN = 'restore the file; or remove it and verify the log against a checkpoint that you have kept elsewhere'

/** Rebuilding one needs one that can be opened. */
function removeIndex(path: string | null): string {
  if (path === null) return 'indelible index rebuild'
  return `rm -f ${['', '-wal', '-shm'].map((suffix) => shellWord(path + suffix)).join(' ')}; the next query makes it anew`
}

function indexPlace(home: string, { log }: Config): IndexPlace {
  return { home, url: log.store, origin: log.origin }
}

async function examineHome({ home, keys, pins }: Paths, config: Config, store: StoreFacts | null): Promise<Check[]> {
  const files = store?.files ?? []
  return [
    ...(await attempt('permissions', AS_WRITER, () => checkPermissions({ home, keys, files, pins }))),
    ...(await attempt('keys_folder', AS_WRITER, () => [checkKeysFolder(home, keys, store?.folder ?? null)])),
    ...(await attempt('place', AS_WRITER, () => [checkPlace(config, inspectKeys(keys, config.keys.host))])),
    ...(await attempt('signing_key', AS_WRITER, () => {
      // Written once: a rotation puts another file in its place.
      return [checkSigningKey(statSync(join(keys, 'log.skey')).mtimeMs, Date.now())]
    })),
    checkWriters(home),
    checkSpool(home),
    ...(await attempt('leftovers', AS_WRITER, () => checkLeftovers([home, keys, pins], [home, keys]))),
  ]
}

async function examineLog(
  { home, keys, index, pins }: Paths,
  config: Config,
  store: StoreFacts | null,
): Promise<Check[]> {
  const memory = new Pins(pins)
  const { origin } = config.log
  // The log last: what is compared with it must not be ahead only because the log has grown meanwhile.
  const signer = await read('place', AS_WRITER, () => inspectKeys(keys, config.keys.host))
  const pin = await read('pin', PIN, () => memory.read(origin) ?? memory.findByHome(home))
  const anchored = await read('anchors', ANCHORS, () => anchorStatus(anchorsDirectory(home, config), config.anchors))
  const indexed = await read('index', removeIndex(index), () => indexedSize(indexPlace(home, config)))
  const log = await read('database', VERIFY, () => readLog(home))
  const wal = store?.database ? [checkWal(fileBytes(`${store.database}-wal`))] : []
  const faults = [indexed.fault, pin.fault, anchored.fault].filter((fault) => fault !== undefined)
  if (log.fault) return [log.fault, ...wal, ...faults]
  const { head, clock: stated } = log.value
  const now = Date.now()
  // What is wrong with the keys has been said by the checks of the home.
  const state = signer.fault ? null : signer.value
  const clock = state?.clock ?? stated
  return [
    ok('database', `${store?.version ?? 'of an unknown version'}, ${count(head.size, 'entry', 'entries')}`),
    ...wal,
    // Of a server, only the home is on a disk that can be looked at.
    checkDisk(
      readDisk(store?.folder ?? home),
      store?.folder ? store.bytes : 0,
      clock === null ? 0 : now - clock.startMs,
    ),
    checkClock(head.observed, clock, now),
    ...(state ? [checkEpochs(state, head.epoch, now), ...checkSigner(state, head.size)] : []),
    ...(indexed.fault ? [] : [checkIndex(indexed.value, head.size)]),
    ...(pin.fault ? [] : [checkPin(pin.value, origin, log.value)]),
    ...(anchored.fault ? [] : checkAnchors(config.anchors, behindOf(anchored.value, head.size), now)),
    ...faults,
  ]
}

async function examineFiles({ index }: Paths, store: StoreFacts | null): Promise<Check[]> {
  const checks: Check[] = []
  for (const [name, file, action] of [
    ['database_file', store?.database ?? null, VERIFY],
    ['index_file', index, removeIndex(index)],
  ] as const) {
    if (file !== null && existsSync(file))
      checks.push(...(await attempt(name, action, () => [checkFile(name, file, action)])))
  }
  return checks
}
