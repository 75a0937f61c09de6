/** Statements of the log that outlive their place: read where they stand, or from the copies that a purge left. */
import { utf8 } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import {
  type CarriedEntry,
  isCarriedType,
  type PurgeIntent,
  purgeEntryId,
  readCarried,
  readPurgeIntent,
} from '../verify/purge-statement.ts'
import type { QueryEngine } from './query.ts'

export interface Statement {
  readonly index: number
  readonly record: ReadRecord
}

/** Most attempts at one purge that are looked for. */
const MAX_ATTEMPTS = 1000

/**
 * Every statement of a type that begins with `prefix`, in the order of the log, each proven to be in it.
 * @param prefix of types that purges carry over, such as `audit.hold.`
 */
export async function readStatements(log: Log, query: QueryEngine, prefix: string): Promise<Statement[]> {
  const found = new Map<number, ReadRecord>()
  for (const copy of await readCarriedCopies(log.store, log.origin)) {
    const record = parseEntry(utf8(copy[1]))
    if (!record.type.startsWith(prefix) || !isCarriedType(record.type)) continue
    await log.proveCopy(copy[0], utf8(copy[1]))
    found.set(copy[0], record)
  }
  for await (const { index } of query.all({ type: `${prefix}*` })) {
    found.set(index, parseEntry((await log.prove(index)).entry))
  }
  return [...found].sort(([a], [b]) => a - b).map(([index, record]) => ({ index, record }))
}

/** The copies that purges left, the last one and those before it. Nothing of them is proven. */
export async function readCarriedCopies(store: LogStore, origin: string): Promise<CarriedEntry[]> {
  const copies: CarriedEntry[] = []
  const intents = new Map<number, PurgeIntent>()
  for (let below = (await store.head())?.minIndex ?? 0; below > 0; ) {
    const intent: PurgeIntent | undefined = intents.get(below) ?? (await readIntent(store, origin, below))?.intent
    if (!intent) break
    const known = copies.length
    for (const index of intent.carried) {
      for await (const rows of store.entries(index, index + 1)) {
        for (const { entry } of rows) copies.push(...readCarried(parseEntry(entry).audit))
      }
    }
    for (const [, text] of copies.slice(known)) {
      const { type, audit } = parseEntry(utf8(text))
      const earlier = type === 'audit.purge.intent' ? readPurgeIntent(audit) : null
      if (earlier) intents.set(earlier.below, earlier)
    }
    below = intent.from
  }
  return copies
}

/** The last intent to purge below `below`, as it stands in the log. */
export async function readIntent(
  store: LogStore,
  origin: string,
  below: number,
): Promise<{
  readonly index: number
  readonly attempt: number
  readonly intent: PurgeIntent
  readonly record: ReadRecord
} | null> {
  let last: { index: number; attempt: number } | null = null
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const id = purgeEntryId('intent', origin, below, attempt)
    const index = (await store.findIds([id])).get(id)?.index
    if (index === undefined) break
    last = { index, attempt }
  }
  if (!last) return null
  for await (const rows of store.entries(last.index, last.index + 1)) {
    for (const { entry } of rows) {
      try {
        const record = parseEntry(entry)
        const intent = record.type === 'audit.purge.intent' ? readPurgeIntent(record.audit) : null
        if (intent?.below === below) return { ...last, intent, record }
      } catch (error) {
        if (!isIndelibleError(error)) throw error
      }
    }
  }
  return null
}
