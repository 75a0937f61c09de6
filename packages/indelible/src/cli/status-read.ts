/** What `indelible status` says, read in an order in which nothing can be ahead of the log by accident. */
import { anchorsDirectory } from '../anchor/receipts.ts'
import { type AnchorStatus, anchorStatus, behindOf } from '../anchor/state.ts'
import { loadConfig } from '../config/config.ts'
import { privacyWarnings } from '../config/privacy-warnings.ts'
import { withoutPassword } from '../config/sources.ts'
import { Pins } from '../keys/pins.ts'
import { indexedSize } from '../query/indexes.ts'
import { storeFacts } from '../store/stores.ts'
import { describeFailure } from './exit.ts'
import { epochNow, readDisk, readLog, readSpool, readWriters, type WriterFacts } from './home-facts.ts'

export interface Status {
  readonly origin: string
  readonly home: string
  /** `file`: where it is; of a server, `host:port/database`. */
  readonly store: { readonly uri: string; readonly file: string; readonly bytes: number }
  readonly entries: number
  readonly last_entry: { readonly time: string; readonly age_seconds: number }
  readonly checkpoint: { readonly size: number; readonly age_seconds: number }
  /** `clock`: the epoch by the wall clock, `seconds`: length of one; `null` where entry 0 no longer says. */
  readonly epoch: { readonly log: number; readonly clock: number | null; readonly seconds: number | null }
  readonly index: Memory | null
  readonly pin: (Memory & { readonly directory: string }) | null
  readonly anchors: readonly AnchorStatus[] | { readonly error: string }
  readonly writers: WriterFacts
  readonly spool: { readonly waiting: number }
  /** Settings that are weaker than they may look. */
  readonly warnings: readonly string[]
  readonly disk: { readonly free_bytes: number }
}

/** How far something beside the log has come; negative `behind` if the log has fewer entries than that. */
export type Memory = { readonly size: number; readonly behind: number } | { readonly error: string }

/** @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID`, and what reading the log throws */
export async function readStatus(home: string): Promise<Status> {
  const config = loadConfig(home)
  const { origin, store } = config.log
  const pins = new Pins()
  const pin = await attempt(() => pins.read(origin)?.size ?? null)
  const indexed = await attempt(() => indexedSize({ home, url: store, origin }))
  const anchors = await attempt(() => anchorStatus(anchorsDirectory(home, config), config.anchors))
  const { head, size, clock } = await readLog(home)
  const now = Date.now()
  const age = (now - Date.parse(head.observed)) / 1000
  const { place, folder, bytes } = await storeFacts(store, { home, origin })
  const pinned = memoryOf(pin, head.size)
  return {
    origin,
    home,
    store: { uri: String(withoutPassword(store)), file: place, bytes },
    entries: head.size,
    last_entry: { time: head.observed, age_seconds: age },
    checkpoint: { size, age_seconds: age },
    epoch: { log: head.epoch, clock: clock && epochNow(clock, now), seconds: clock?.seconds ?? null },
    index: memoryOf(indexed, head.size),
    pin: pinned && { ...pinned, directory: pins.directory },
    anchors: 'error' in anchors ? anchors : behindOf(anchors, head.size),
    writers: readWriters(home),
    spool: { waiting: readSpool(home) },
    warnings: privacyWarnings(config).map(({ key, message }) => `${key}: ${message}`),
    disk: { free_bytes: readDisk(folder ?? home).freeBytes },
  }
}

/** What is beside the log must not keep its status from being told. */
async function attempt<T>(work: () => T | Promise<T>): Promise<T | { readonly error: string }> {
  try {
    return await work()
  } catch (error) {
    return { error: describeFailure(error).message }
  }
}

function memoryOf(seen: number | { readonly error: string } | null, entries: number): Memory | null {
  return typeof seen === 'number' ? { size: seen, behind: entries - seen } : seen
}
