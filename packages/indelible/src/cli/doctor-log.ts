/** Checks of a log's files and of where it stands. None of them verifies it. */
import { isEqual } from '../bytes.ts'
import type { EpochClock } from '../chain/epoch.ts'
import type { KeysInspection } from '../keys/file-keys.ts'
import type { LogPin } from '../keys/pins.ts'
import { connect } from '../store/sqlite-schema.ts'
import { type Check, failure, ok, warning } from './doctor-check.ts'
import { type DiskFacts, epochNow, type LogFacts } from './home-facts.ts'
import { count } from './output.ts'
import { agoText, bytesText, durationText } from './units.ts'

const DAY_MS = 86_400_000

const VERIFY = 'run indelible verify'

/** A write-ahead log that is larger is not being emptied. */
const MAX_WAL_BYTES = 64 * 1024 * 1024

const MAX_DISK_USE = 0.75
const MIN_DAYS_LEFT = 30

/** Nobody plans for longer. */
const MAX_DAYS_TOLD = 36_500

/** Clocks of machines are not equal to the second. */
const CLOCK_SLACK_MS = 5000

const MAX_EPOCHS_BEHIND = 2

/** More than a query should have to take in before it answers. */
const MAX_INDEX_BEHIND = 100_000

/** SQLite's own check of the file: reads all of it. */
export function checkFile(name: string, file: string, action: string): Check {
  const db = connect(file, { readOnly: true })
  try {
    const faults = db
      .prepare('PRAGMA quick_check(5)')
      .all()
      .map((row) => String(row.quick_check))
    if (faults.join() === 'ok') return ok(name, `${file}: SQLite finds its pages in order`)
    return failure(name, `${file}: ${faults.join('; ')}`, action)
  } finally {
    db.close()
  }
}

export function checkWal(bytes: number): Check {
  if (bytes <= MAX_WAL_BYTES) return ok('wal', bytesText(bytes))
  return warning(
    'wal',
    `${bytesText(bytes)}, more than ${bytesText(MAX_WAL_BYTES)}: it could not be taken into the database`,
    'end programs that read the database for long; the last one that closes the log empties it',
  )
}

/** @param lifetimeMs since the log was made: what it has grown by since then is what it is expected to go on with */
export function checkDisk({ freeBytes, use }: DiskFacts, logBytes: number, lifetimeMs: number): Check {
  // The first hours of a log say nothing about its days.
  const bytesPerDay = logBytes / Math.max(lifetimeMs / DAY_MS, 1)
  const daysLeft = Math.floor(freeBytes / Math.max(bytesPerDay, 1))
  const percent = Math.floor(use * 100)
  const leftText = daysLeft > MAX_DAYS_TOLD ? 'over 100 years' : durationText(daysLeft * DAY_MS)
  const forecast = `${bytesText(freeBytes)} free, ${percent} % in use; the log grows by ${bytesText(Math.round(bytesPerDay))} a day, enough for ${leftText}`
  if (use < MAX_DISK_USE && daysLeft >= MIN_DAYS_LEFT) return ok('disk', forecast)
  return warning('disk', forecast, 'make room, or move the log to a larger disk: a full one takes no entries')
}

export function checkClock(observed: string, clock: EpochClock | null, now: number): Check {
  if (clock && now < clock.startMs) {
    const message = `the system clock is ${agoText(now - clock.startMs)} before the log was made`
    return failure('clock', message.replace(' in the future', ''), 'set the clock')
  }
  const aheadMs = Date.parse(observed) - now
  if (aheadMs <= CLOCK_SLACK_MS) return ok('clock', `not behind the last entry (${observed})`)
  return warning(
    'clock',
    `the last entry is of ${observed}, ${agoText(-aheadMs)}: either its clock was wrong or this one is`,
    'set the clock; until it has passed that time, all entries get it',
  )
}

export function checkEpochs({ epoch, clock }: KeysInspection, logEpoch: number, now: number): Check {
  if (epoch > logEpoch) {
    const message = `keys are in epoch ${epoch}, the log in ${logEpoch}: seals were rolled back or cut off`
    return failure('epochs', message, VERIFY)
  }
  const behind = epochNow(clock, now) - epoch
  if (behind <= MAX_EPOCHS_BEHIND) return ok('epochs', `epoch ${epoch}, sealed up to it`)
  return warning(
    'epochs',
    `${behind} epochs have ended since epoch ${epoch} and are not sealed: their keys can still be computed from what is on this host`,
    'have a process keep the log open, or record an event now and then: seals come with it',
  )
}

/** @param indexed entries that the index has seen, `null` if there is none */
export function checkIndex(indexed: number | null, size: number): Check {
  if (indexed === null) return ok('index', 'none yet: the first query makes it')
  const action = 'indelible index rebuild'
  if (indexed > size) return warning('index', `it has seen ${indexed} entries, the log has ${size}`, action)
  const message = `${count(size - indexed, 'entry', 'entries')} behind`
  if (size - indexed <= MAX_INDEX_BEHIND) return ok('index', message)
  return warning('index', `${message}: the next query takes them in first`, 'indelible list --count')
}

/** The log's own signer remembers what it has signed. */
export function checkSigner(keys: KeysInspection, size: number): Check[] {
  if (keys.size <= size) return []
  const message = `the log has ${size} entries, and its signer has signed ${keys.size}: it was rolled back`
  return [failure('signer', message, VERIFY)]
}

/** @param pin what this user remembers of the log, or of another one in its place */
export function checkPin(pin: LogPin | null, origin: string, { size, root }: LogFacts): Check {
  if (pin === null) {
    return warning('pin', 'this user remembers no checkpoint: a log that is rolled back would not be noticed', VERIFY)
  }
  if (pin.origin !== origin) return failure('pin', `the log that was seen here before is ${pin.origin}`, VERIFY)
  if (pin.size > size) {
    return failure(
      'pin',
      `the log has ${size} entries, and ${pin.size} were accepted before: it was rolled back`,
      VERIFY,
    )
  }
  if (pin.size === size && !isEqual(pin.root, root)) {
    return failure('pin', `the log is another one than the ${size} entries that were accepted before`, VERIFY)
  }
  return ok('pin', `at ${pin.size}, ${size - pin.size} behind the log`)
}
