/** Seals drafts into a batch: index, leaf hash, HMAC chain value, frontier, tiles, and the signed checkpoint over it all. */
import type { MacKey } from '#crypto'
import { toBase64Url, utf8 } from '../bytes.ts'
import { entryMac, GENESIS_MAC, type Ratchet, sealMac } from '../chain/chain.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { formatCheckpoint } from '../note/checkpoint.ts'
import { formatSignatureLine, type NoteSigner } from '../note/signed-note.ts'
import { type Draft, draftEntry, sealDraft } from '../record/entry.ts'
import { newId } from '../record/id.ts'
import { type AuditRecord, type AuditType, ENTRY_SCHEMA } from '../record/schema.ts'
import type { Batch, EntrySubjects, StoredId, StoredPayload, StoredSubject, StoredTile } from '../store/store.ts'
import { Frontier } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import type { Position } from './head-check.ts'
import { subjectMacs } from './subjects.ts'
import { TileEdge } from './tile-edge.ts'

/** Most seals in one entry: 512 of 46 bytes leave room for the rest. */
const MAX_SEALS = 512

/** How long after the last published checkpoint the next one is due, ms. */
const PUBLISH_INTERVAL_MS = 1000

/** An entry to be, with all that is stored beside it. */
export interface Sealable {
  readonly id: string
  readonly draft: Draft
  readonly payloads: readonly { readonly name: string; readonly disclosure: string }[]
  readonly digest: Uint8Array | null
  /** The persons concerned, by the producer's own names: never in the entry. Absent: none. */
  readonly subjects?: readonly string[]
}

/** A statement of the log about itself. */
export function auditEntry(
  type: AuditType,
  atMs: number,
  audit: Record<string, unknown>,
  id: string = newId(atMs),
): Sealable {
  const record = {
    schema: ENTRY_SCHEMA,
    id,
    time: new Date(atMs).toISOString(),
    type,
    actor: { type: 'system', id: 'indelible' },
    outcome: 'success',
    assurance: 'observed',
    audit,
  } as Omit<AuditRecord, 'observed'>
  return { id, draft: draftEntry(record, { time: false }).draft, payloads: [], digest: null }
}

/** M_e of the epoch that each log stands in: one that has ended goes with the first batch of the next. */
const macKeys = new WeakMap<LogKeys, { readonly epoch: number; readonly key: MacKey }>()

function macKeyOf(keys: LogKeys, ratchet: Ratchet): MacKey {
  const { epoch } = ratchet
  const known = macKeys.get(keys)
  if (known?.epoch === epoch) return known.key
  const key = ratchet.macKey(keys.origin)
  macKeys.set(keys, { epoch, key })
  return key
}

/** One batch in the making. Nothing of `position` changes until the batch is committed and {@link finish}ed with. */
export class BatchBuilder {
  readonly #keys: LogKeys
  readonly #from: number
  readonly #observed: string
  readonly #published: string
  readonly #minIndex: number
  readonly #frontier: Frontier
  readonly #edge: TileEdge
  readonly #ratchet: Ratchet
  readonly #epoch: number
  #mac: Uint8Array
  readonly #macKey: MacKey

  readonly #entries: Uint8Array[] = []
  readonly #leaves: Uint8Array[] = []
  readonly #macs: Uint8Array[] = []
  readonly #epochs: number[] = []
  readonly #payloads: StoredPayload[] = []
  readonly #subjects: EntrySubjects[] = []
  readonly #concerns: StoredSubject[] = []
  readonly #ids: StoredId[] = []
  readonly #tiles: StoredTile[] = []
  readonly #onTile = (tile: StoredTile) => this.#tiles.push(tile)
  readonly #onNode = (level: number, at: number, hash: Uint8Array) => this.#edge.add(level, at, hash, this.#onTile)

  /**
   * @param position `null` for the first batch of a log
   * @param observed when the log accepts these entries; not before the head's
   * @param epoch of `observed`
   */
  constructor(position: Position | null, keys: LogKeys, observed: string, epoch: number) {
    this.#keys = keys
    this.#from = position?.head.size ?? 0
    this.#observed = observed
    this.#published = position?.head.published ?? ''
    this.#minIndex = position?.head.minIndex ?? 0
    this.#frontier = position?.frontier.clone() ?? Frontier.empty()
    this.#edge = position?.edge.clone() ?? new TileEdge()
    this.#mac = position?.head.mac ?? GENESIS_MAC
    this.#epoch = epoch
    this.#ratchet = keys.ratchet()
    const ended = position && epoch > position.head.epoch ? position.head.epoch : epoch
    this.#ratchet.advance(ended)
    const seals = ended < epoch ? this.#sealsFrom(ended) : []
    this.#macKey = macKeyOf(keys, this.#ratchet)
    if (seals.length > 0) this.#addSeals(ended, seals)
  }

  get size(): number {
    return this.#from + this.#entries.length
  }

  /** The ratchet at this batch's epoch: what may be kept once the batch is committed. */
  get ratchet(): Ratchet {
    return this.#ratchet
  }

  /** Appends one entry, at index {@link size}. Returns its leaf hash. */
  add({ id, draft, payloads, digest, subjects }: Sealable): Uint8Array {
    const index = this.size
    const entry = sealDraft(draft, this.#observed)
    const leaf = leafHash(entry)
    this.#frontier.append(leaf, this.#onNode)
    this.#mac = entryMac(this.#macKey, this.#epoch, index, this.#mac, leaf)
    this.#entries.push(entry)
    this.#leaves.push(leaf)
    this.#macs.push(this.#mac)
    this.#epochs.push(this.#epoch)
    for (const { name, disclosure } of payloads) this.#payloads.push({ index, name, disclosure })
    if (subjects !== undefined && subjects.length > 0) {
      this.#subjects.push({ index, subjects })
      for (const subject of subjectMacs(this.#keys, subjects)) this.#concerns.push({ subject, index })
    }
    this.#ids.push({ id, index, digest })
    return leaf
  }

  /**
   * Seals of every epoch from `ended` up to this batch's, empty ones too, each under its own key: an epoch that could go
   * unsealed is one that could be cut off (CVE-2023-31438). Leaves the ratchet at this batch's epoch.
   */
  #sealsFrom(ended: number): string[] {
    const root = this.#frontier.root()
    return Array.from({ length: this.#epoch - ended }, (_, i) => {
      const seal = sealMac(this.#ratchet.macKey(this.#keys.origin), ended + i, this.#from, root)
      this.#ratchet.advance(ended + i + 1)
      return toBase64Url(seal)
    })
  }

  #addSeals(firstEpoch: number, seals: readonly string[]): void {
    const sealed = { size: this.#from, root: toBase64Url(this.#frontier.root()) }
    for (let at = 0; at < seals.length; at += MAX_SEALS) {
      const audit = { ...sealed, first_epoch: firstEpoch + at, seals: seals.slice(at, at + MAX_SEALS) }
      this.add(auditEntry('audit.epoch.sealed', Date.parse(this.#observed), audit))
    }
  }

  /**
   * Signs the checkpoint and hands over the batch, with the position that it leads to.
   * @param options.signers beside the log's own: the successor's, in a rotation
   * @param options.publish whether the checkpoint must be kept for good, however recent the last one
   */
  async finish(options: { signers?: readonly NoteSigner[]; publish?: boolean } = {}): Promise<{
    batch: Batch
    position: Position
  }> {
    const size = this.size
    const root = this.#frontier.root()
    const text = formatCheckpoint({ origin: this.#keys.origin, size, root })
    const message = utf8(text)
    let checkpoint = `${text}\n`
    for (const signer of [this.#keys.signer, ...(options.signers ?? [])]) {
      checkpoint += formatSignatureLine(signer.key, await signer.sign(message))
    }
    const due =
      this.#published === '' || Date.parse(this.#observed) - Date.parse(this.#published) >= PUBLISH_INTERVAL_MS
    const publish = due || (options.publish ?? false)
    const head = {
      size,
      frontier: this.#frontier.hashes,
      mac: this.#mac,
      epoch: this.#epoch,
      observed: this.#observed,
      checkpoint,
      published: publish ? this.#observed : this.#published,
      minIndex: this.#minIndex,
    }
    const batch = {
      from: this.#from,
      entries: this.#entries,
      leaves: this.#leaves,
      macs: this.#macs,
      epochs: this.#epochs,
      payloads: this.#payloads,
      subjects: this.#subjects,
      concerns: this.#concerns,
      ids: this.#ids,
      tiles: this.#tiles,
      head,
      publish,
    }
    return { batch, position: { head, root, frontier: this.#frontier, edge: this.#edge } }
  }
}
