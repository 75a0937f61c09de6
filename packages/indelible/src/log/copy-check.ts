/**
 * Holds a copy against its source, entry by entry, and makes the copy forget what the source has forgotten: an erasure or a
 * purge may have come while the copy was made, or between two parts of it.
 */
import { sha256 } from '#crypto'
import { isEqual, toHex } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import type { LogStore, PartAddress, StoredEntry, StoredSubject } from '../store/store.ts'
import { Frontier } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import { RowsBefore } from './copy-rows.ts'

const WINDOW = 256

/** Disclosures of so many entries are compared at a time. */
const PAYLOAD_WINDOW = 32

export interface CheckOptions {
  readonly signal?: AbortSignal
}

/**
 * Returns whether it came to the end.
 * @throws IndelibleError `ERR_STORE_CORRUPT` if the copy is not what the source has
 */
export async function reconcile(
  source: LogStore,
  target: LogStore,
  { size, root }: { readonly size: number; readonly root: Uint8Array },
  { signal }: CheckOptions,
): Promise<boolean> {
  const { minIndex } = (await source.head())!
  if (((await target.head())?.minIndex ?? 0) < Math.min(minIndex, size))
    await target.purge(Math.min(minIndex, size - (size % 256)))
  const start = Math.min((await target.head())!.minIndex, size)
  const tree = Frontier.empty()
  for (let at = 0; at < start; at += WINDOW) {
    for (const leaf of await target.leaves(at, Math.min(start, at + WINDOW))) tree.append(leaf)
  }
  await using ids = new RowsBefore(source.ids(0, size))
  await using copiedIds = new RowsBefore(target.ids(0, size))
  await using concerns = new RowsBefore(source.concerns(start, size))
  await using copiedConcerns = new RowsBefore(target.concerns(start, size))
  for (let at = 0; at < size; at += WINDOW) {
    if (signal?.aborted) return false
    const end = Math.min(size, at + WINDOW)
    const known = await ids.before(end)
    await forgetDigests(target, known, await copiedIds.before(end))
    if (at < start) continue
    const rows = await rowsOf(source, at, end)
    const copied = await rowsOf(target, at, end)
    for (let i = 0; i < end - at; i++) {
      const [row, copy] = [rows[i], copied[i]]
      if (!row || !copy || !isSameRow(row, copy)) throw differs(`entry ${at + i} is another`)
      tree.append(leafHash(copy.entry))
    }
    for (let part = at; part < end; part += PAYLOAD_WINDOW) {
      await forgetParts(source, target, part, Math.min(end, part + PAYLOAD_WINDOW), known)
    }
    await forgetConcerns(target, await concerns.before(end), await copiedConcerns.before(end))
  }
  if (!isEqual(tree.root(), root)) throw differs('its entries do not make the root that was signed')
  return true
}

async function rowsOf(store: LogStore, start: number, end: number): Promise<StoredEntry[]> {
  const rows: StoredEntry[] = []
  for await (const chunk of store.entries(start, end)) rows.push(...chunk)
  return rows
}

function isSameRow(a: StoredEntry, b: StoredEntry): boolean {
  return (
    a.index === b.index &&
    a.epoch === b.epoch &&
    isEqual(a.mac, b.mac) &&
    isEqual(a.leaf, b.leaf) &&
    isEqual(a.entry, b.entry)
  )
}

type IdRow = { readonly id: string; readonly index: number; readonly digest: Uint8Array | null }

async function forgetDigests(target: LogStore, known: readonly IdRow[], copied: readonly IdRow[]): Promise<void> {
  const there = new Map(copied.map((row) => [row.id, row]))
  const gone: PartAddress[] = []
  for (const { id, index, digest } of known) {
    const copy = there.get(id)
    if (copy?.index !== index) throw differs(`the id of entry ${index} is not there`)
    if (digest === null && copy.digest !== null) gone.push({ index, id, name: '' })
    else if (digest !== null && !(copy.digest && isEqual(digest, copy.digest)))
      throw differs(`entry ${index} has another digest`)
  }
  if (gone.length > 0) await target.erase(gone)
}

async function forgetParts(source: LogStore, target: LogStore, start: number, end: number, ids: readonly IdRow[]) {
  const kept = await digestsOf(source, start, end)
  const copied = await digestsOf(target, start, end)
  const gone: PartAddress[] = []
  for (const [key, { index, name, digest }] of copied) {
    const id = ids.find((row) => row.index === index)?.id ?? ''
    if (!kept.has(key)) gone.push({ index, id, name })
    else if (kept.get(key)!.digest !== digest) throw differs(`part ${name} of entry ${index} is another`)
  }
  if (gone.length > 0) await target.erase(gone)
  for (const [key, { index, name }] of kept) {
    // Erased at the source since it was read there, or lost on the way.
    if (!copied.has(key) && (await source.payload(index, name)) !== null)
      throw differs(`part ${name} of entry ${index} is missing`)
  }
}

async function digestsOf(store: LogStore, start: number, end: number) {
  const found = new Map<string, { index: number; name: string; digest: string }>()
  for await (const rows of store.payloads(start, end)) {
    for (const { index, name, disclosure } of rows) {
      found.set(`${index} ${name}`, { index, name, digest: toHex(sha256(disclosure)) })
    }
  }
  return found
}

async function forgetConcerns(target: LogStore, kept: readonly StoredSubject[], copied: readonly StoredSubject[]) {
  const keyOf = ({ index, subject }: StoredSubject) => `${index} ${toHex(subject)}`
  const there = new Set(kept.map(keyOf))
  // Whoever is forgotten is forgotten in everything before.
  for (const row of copied) if (!there.has(keyOf(row))) await target.forgetSubject(row.subject, row.index + 1)
}

function differs(why: string): IndelibleError {
  return new IndelibleError('ERR_STORE_CORRUPT', `the copy is not what the source has: ${why}`)
}
