/**
 * A purge: entries and payloads below an index go, and every proof stays valid.
 *
 * The order is that of a crash: copies of what is still needed, then the intent, then a last look at the holds, then the
 * deletion, then a word that it is done. Each entry has an id that follows from the purge, so that each step may be done again,
 * by anybody.
 */
import { fromUtf8, isEqual, toBase64Url, utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { readIntent } from '../query/statements.ts'
import { parseEntry } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import { leafHash } from '../tree/hash.ts'
import { TILE_WIDTH } from '../tree/tile.ts'
import {
  type CarriedEntry,
  encodeEpochs,
  isCarriedType,
  type PurgeIntent,
  purgeEntryId,
  readCarried,
} from '../verify/purge-statement.ts'
import type { HoldRegister } from './holds.ts'

/** What is known of the entries that are to go. */
export interface PurgeSurvey {
  readonly from: number
  readonly below: number
  readonly epochs: string
  readonly mac: string
  readonly types: Readonly<Record<string, number>>
  readonly first: string
  readonly last: string
  readonly carried: readonly CarriedEntry[]
}

export interface PurgeOptions {
  readonly basis: string
  readonly by: string
  readonly vouched: PurgeIntent['vouched']
  readonly approvals?: readonly string[]
  readonly onProgress?: (done: number, total: number) => void
}

export interface PurgeReceipt {
  readonly from: number
  readonly below: number
  readonly entries: number
  readonly intent: number
  readonly done: number
}

/** Room for copies in one entry, bytes; the rest of 65,535 is for everything else. */
const MAX_COPIES_BYTES = 48_000
/** Room for epochs in an intent, as text. */
const MAX_EPOCHS = 40_000

/**
 * Reads what is to go, once, and holds each entry against its leaf hash: a purge must not take an edit with it.
 *
 * @throws IndelibleError `ERR_STORE_CORRUPT` if an entry is missing or altered; `ERR_PURGE_TOO_LARGE` if its epochs do not fit
 * into one entry: purge less at a time
 */
export async function surveyPurge(
  store: LogStore,
  below: number,
  onProgress?: PurgeOptions['onProgress'],
): Promise<PurgeSurvey> {
  const from = (await store.head())?.minIndex ?? 0
  const runs: [count: number, epoch: number][] = []
  const types: Record<string, number> = {}
  const carried: CarriedEntry[] = []
  let [index, mac, first, last] = [from, new Uint8Array(0) as Uint8Array, '', '']
  for (let start = from; start < below; start += TILE_WIDTH) {
    const leaves = await store.leaves(start, start + TILE_WIDTH)
    for await (const rows of store.entries(start, start + TILE_WIDTH)) {
      for (const row of rows) {
        if (row.index !== index) break
        if (!isEqual(leafHash(row.entry), leaves[index - start]!)) throw altered(index)
        const record = parseEntry(row.entry)
        types[record.type] = (types[record.type] ?? 0) + 1
        first ||= record.observed
        last = record.observed
        const run = runs.at(-1)
        if (run?.[1] === row.epoch) run[0]++
        else runs.push([1, row.epoch])
        if (record.type === 'audit.purge.carried') carried.push(...readCarried(record.audit))
        else if (isCarriedType(record.type)) carried.push([index, fromUtf8(row.entry)])
        mac = row.mac
        index++
      }
    }
    if (index !== start + TILE_WIDTH) throw altered(index)
    onProgress?.(index - from, below - from)
  }
  const epochs = encodeEpochs(runs)
  if (epochs.length > MAX_EPOCHS) {
    throw new IndelibleError('ERR_PURGE_TOO_LARGE', `entries stand in ${runs.length} epochs: purge fewer at a time`)
  }
  return { from, below, epochs, mac: toBase64Url(mac), types, first, last, carried: mergeCopies(carried) }
}

/**
 * Purges below `survey.below`.
 * @throws IndelibleError `ERR_HELD` if a hold covers an entry: also one that was placed after the intent, which wins
 */
export async function purge(
  log: Log,
  survey: PurgeSurvey,
  holds: Pick<HoldRegister, 'firstHeld'>,
  exclusively: <T>(work: () => Promise<T>) => Promise<T>,
  options: PurgeOptions,
): Promise<PurgeReceipt> {
  const { from, below, carried, ...facts } = survey
  await refuseHeld(holds, below)
  const known = await readIntent(log.store, log.origin, below)
  const isOpen = known !== null && !(await isConcluded(log, below, known.attempt))
  const attempt = known === null ? 0 : isOpen ? known.attempt : known.attempt + 1
  let intentIndex = known?.index
  if (!isOpen) {
    const copies: number[] = []
    for (const [i, entries] of packCopies(carried).entries()) {
      const id = purgeEntryId('carried', log.origin, below, attempt * 1000 + i)
      copies.push((await log.recordAudit('audit.purge.carried', { below, entries }, id)).index)
    }
    const intent: PurgeIntent = {
      from,
      below,
      ...facts,
      carried: copies,
      basis: options.basis,
      by: options.by,
      vouched: options.vouched,
      ...(options.approvals && options.approvals.length > 0 && { approvals: options.approvals }),
    }
    const id = purgeEntryId('intent', log.origin, below, attempt)
    intentIndex = (await log.recordAudit('audit.purge.intent', { ...intent }, id)).index
  }
  return exclusively(async () => {
    try {
      await refuseHeld(holds, below)
    } catch (error) {
      // The intent must not lie around as a permit for whoever can write the database.
      if (isIndelibleError(error, 'ERR_HELD')) await conclude(log, below, attempt, { cancelled: true })
      throw error
    }
    await log.store.purge(below)
    const done = await conclude(log, below, attempt, { entries: below - from })
    return { from, below, entries: below - from, intent: intentIndex!, done }
  })
}

/** Finishes what was interrupted between intent and deletion, or between deletion and the word that it is done. */
export async function resumePurge(
  log: Log,
  below: number,
  holds: Pick<HoldRegister, 'firstHeld'>,
  exclusively: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<PurgeReceipt | null> {
  const found = await readIntent(log.store, log.origin, below)
  if (!found || (await isConcluded(log, below, found.attempt))) return null
  return exclusively(async () => {
    const { from } = found.intent
    const head = await log.store.head()
    if (head!.minIndex < below) {
      try {
        await refuseHeld(holds, below)
      } catch (error) {
        if (isIndelibleError(error, 'ERR_HELD')) await conclude(log, below, found.attempt, { cancelled: true })
        throw error
      }
      await log.store.purge(below)
    }
    const done = await conclude(log, below, found.attempt, { entries: below - from })
    return { from, below, entries: below - from, intent: found.index, done }
  })
}

async function conclude(log: Log, below: number, attempt: number, detail: Record<string, unknown>): Promise<number> {
  const id = purgeEntryId('done', log.origin, below, attempt)
  return (await log.recordAudit('audit.purge.done', { below, ...detail }, id)).index
}

async function isConcluded(log: Log, below: number, attempt: number): Promise<boolean> {
  const id = purgeEntryId('done', log.origin, below, attempt)
  return (await log.store.findIds([id])).has(id)
}

async function refuseHeld(holds: Pick<HoldRegister, 'firstHeld'>, below: number): Promise<void> {
  const held = await holds.firstHeld(below)
  if (!held) return
  throw new IndelibleError('ERR_HELD', `entry ${held.index} is under ${held.hold}: it is neither erased nor purged`)
}

/** Holds that were released, and people of whom a later entry says the same, need no copy. */
function mergeCopies(carried: readonly CarriedEntry[]): CarriedEntry[] {
  const released = new Set<unknown>()
  for (const [, entry] of carried) {
    const { type, audit } = parseEntry(utf8(entry))
    if (type === 'audit.hold.released') released.add(audit?.hold)
  }
  return carried.filter(([, entry]) => {
    const { type, audit } = parseEntry(utf8(entry))
    return !(type.startsWith('audit.hold.') && released.has(audit?.hold))
  })
}

function packCopies(carried: readonly CarriedEntry[]): CarriedEntry[][] {
  const packs: CarriedEntry[][] = []
  let room = 0
  for (const copy of carried) {
    const bytes = utf8(JSON.stringify(copy)).length + 1
    if (bytes > room) {
      packs.push([])
      room = MAX_COPIES_BYTES
    }
    packs.at(-1)!.push(copy)
    room -= bytes
  }
  return packs
}

function altered(index: number): IndelibleError {
  const message = `entry ${index} is missing or altered: run indelible verify; a purge must not take that with it`
  return new IndelibleError('ERR_STORE_CORRUPT', message)
}
