/**
 * What a back-end keeps of one log, behind two interfaces because they promise opposite things: a {@link Store} never loses
 * an entry, a {@link PayloadStore} must be able to erase one. One database may implement both.
 *
 * A back-end is done when the suite in `indelible/testing` passes unchanged.
 */

/** Where the log stands. Written with every batch, all or nothing with the entries. */
export interface Head {
  /** Number of entries. */
  readonly size: number
  /** Root hashes of the perfect subtrees, largest first. */
  readonly frontier: readonly Uint8Array[]
  /** HMAC chain value and epoch of the last entry, and when it was accepted. */
  readonly mac: Uint8Array
  readonly epoch: number
  readonly observed: string
  /** Signed note over `size`. */
  readonly checkpoint: string
  /** `observed` of the batch whose checkpoint was last published. */
  readonly published: string
  /** First index whose entry may not be missing; rises only by {@link Store.purge}. */
  readonly minIndex: number
}

/** One row of the log. */
export interface StoredEntry {
  readonly index: number
  readonly entry: Uint8Array
  /** SHA-256(0x00 ‖ entry), RFC 6962 §2.1. */
  readonly leaf: Uint8Array
  readonly mac: Uint8Array
  readonly epoch: number
}

/** A part's disclosure, verbatim. */
export interface StoredPayload {
  readonly index: number
  readonly name: string
  readonly disclosure: string
}

/** The persons that an entry concerns, as the producer named them. In memory only: no store keeps a name as it is. */
export interface EntrySubjects {
  readonly index: number
  readonly subjects: readonly string[]
}

/** That an entry concerns a person: kept under a keyed hash, so that the store alone names nobody. */
export interface StoredSubject {
  /** 16 bytes. */
  readonly subject: Uint8Array
  readonly index: number
}

/** Which entry an id names, and the keyed digest that tells a retry from a conflict; `null` once erased. */
export interface StoredId {
  readonly id: string
  readonly index: number
  readonly digest: Uint8Array | null
}

/** A full tile: 256 hashes, and their root, which is the hash `index` of the level above. */
export interface StoredTile {
  readonly level: number
  readonly index: number
  readonly root: Uint8Array
  readonly hashes: Uint8Array
}

/** What a store has mended by itself: bytes of entries that a crash left behind the end of the log, kept aside under a name. */
export interface StoreRepair {
  readonly name: string
  readonly bytes: number
}

export interface PublishedCheckpoint {
  readonly size: number
  readonly note: string
}

/** All that one append writes. Arrays of entries run in index order from `from`. */
export interface Batch {
  /** The size, in entries, that the log must have for the batch to apply. */
  readonly from: number
  readonly entries: readonly Uint8Array[]
  readonly leaves: readonly Uint8Array[]
  readonly macs: readonly Uint8Array[]
  readonly epochs: readonly number[]
  readonly payloads: readonly StoredPayload[]
  /** Of the entries that name any. Absent: none does. */
  readonly subjects?: readonly EntrySubjects[]
  /** Which entries concern which person; each pair once. Absent: none is known. */
  readonly concerns?: readonly StoredSubject[]
  readonly ids: readonly StoredId[]
  /** Tiles that became full. */
  readonly tiles: readonly StoredTile[]
  readonly head: Head
  /** Whether the head's checkpoint is kept for good, beside being the latest. */
  readonly publish: boolean
}

/** What {@link Store.append} shows its caller under the lock. */
export interface Locked {
  /** `null` before the first append. */
  readonly head: Head | null
  /** Those of the ids asked for that the log has. */
  readonly known: ReadonlyMap<string, StoredId>
  /** The clock of a store that all writers share, ms since 1970. Left out where each has its own. */
  readonly nowMs?: number
}

/** Keeps one log. Methods may be called concurrently, from several processes at once where the back-end allows it. */
export interface Store {
  /**
   * Takes the head lock, calls `seal` once with the head as it is, and applies the batch that `seal` returns, all or
   * nothing. Resolves only once a crash can no longer undo it. `null` from `seal` writes nothing; what `seal` throws is
   * thrown on, and nothing is written. Payloads are in the same transaction, or durable before the entries.
   *
   * @param ids to look up under the lock
   * @throws IndelibleError `ERR_STORE_CONFLICT` if `from` is not the log's size (nothing was written), `ERR_STORE_BUSY` if
   * the lock was not to be had in time, `ERR_STORE_FULL`, `ERR_STORE_READONLY`, `ERR_STORE_FAILED`. After any but the first
   * two the outcome counts as unknown until {@link head} has been read again.
   */
  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void>

  /**
   * {@link append} of a batch that was sealed before the lock was had, for a store that writes while its caller goes on with
   * other work: applies `batch` if the log's head still is `head`, in every member but `minIndex`, and has none of the batch's
   * ids. Otherwise writes nothing and resolves with `false`. What the batch holds is copied before this returns.
   *
   * @throws IndelibleError as {@link append} does
   */
  appendAfter?(head: Head, batch: Batch): Promise<boolean>

  head(): Promise<Head | null>

  /** Rows `[start, end)` in index order, in chunks. A row that is missing is left out: the caller counts. */
  entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]>

  /**
   * Rows at any indexes, in no order, in one question: for a store that is far away. At most 10,000. A row that is missing is
   * left out.
   */
  entriesAt?(indexes: readonly number[]): Promise<readonly StoredEntry[]>

  /** The 8,192 bytes of a full tile, or `null`. */
  tile(level: number, index: number): Promise<Uint8Array | null>

  /** Roots of the full tiles `[start, end)` of a level. Throws `RangeError` if one is missing. */
  tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]>

  /** Leaf hashes of `[start, end)`, also of entries that were purged. Throws `RangeError` if one is missing. */
  leaves(start: number, end: number): Promise<readonly Uint8Array[]>

  findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>>

  /** Whether each of `ids` is known, the first at `start`, the next behind it: cheaper than asking where. `false` also if it cannot tell. */
  areIdsAt?(ids: readonly string[], start: number): Promise<boolean>

  /** Ids of the entries `[start, end)`, by index, in chunks; also of entries that were purged. */
  ids(start: number, end: number): AsyncIterable<readonly StoredId[]>

  /** Published checkpoints of a size in `(above, upTo]`, ascending, in chunks. */
  checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]>

  /** Keeps a checkpoint for good. The same again is no error; another one of that size is `ERR_STORE_CONFLICT`. */
  publish(checkpoint: PublishedCheckpoint): Promise<void>

  /**
   * Runs `work` while nobody else does under the same name, on any machine that reaches this store. Left out where one machine
   * is all there is: callers then take a lock file.
   *
   * @throws IndelibleError `ERR_STORE_BUSY` if somebody else does for long
   */
  exclusively?<T>(name: string, work: () => Promise<T>): Promise<T>

  /**
   * Raises `minIndex` to `below` and deletes entries, payloads and subjects beneath it; tiles and ids stay. The caller has committed
   * the `audit.purge.intent` that allows it.
   *
   * @throws RangeError unless `below` is a multiple of 256, not above the size and not below `minIndex`
   */
  purge(below: number): Promise<void>

  /**
   * Calls `onGrowth` when the log may have grown, sooner than asking again would tell. A courtesy of some back-ends: notices
   * may be lost, so whoever must not miss any asks as well, only less often. Returns what ends it.
   */
  subscribe?(onGrowth: () => void): () => Promise<void>

  /**
   * Of a store that mends itself: mends what a crash has left, and has `tell` tell of it, and of earlier repairs that nobody
   * told of; they are forgotten once that resolves.
   */
  repaired?(tell: (repairs: readonly StoreRepair[]) => Promise<unknown>): Promise<void>

  close(): Promise<void>
}

/** Keeps the disclosures of one log until somebody has them erased. */
export interface PayloadStore {
  payload(index: number, name: string): Promise<string | null>

  /** Disclosures of entries `[start, end)`, by index and then name, in chunks. */
  payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]>

  /**
   * Deletes disclosures, and the digests of their entries' ids. Erasing what is gone is no error.
   * @returns how many disclosures were there
   */
  erase(parts: readonly PartAddress[]): Promise<number>

  /** Entries that concern a person, ascending, in chunks. */
  subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]>

  /** Which of the entries `[start, end)` concern whom, by index, in chunks. */
  concerns(start: number, end: number): AsyncIterable<readonly StoredSubject[]>

  /** Forgets which entries below `below` concern a person. Forgetting what is not known is no error. */
  forgetSubject(subject: Uint8Array, below: number): Promise<void>

  /**
   * Makes what was deleted physically gone, also what other handles deleted before the call: from files, free space,
   * journals. May take as long as reading the whole log, and may keep appends waiting meanwhile.
   *
   * @returns where it may still be, in a few words for people each; empty when it is gone. The caller calls again later
   * until it is. Names no contents
   */
  scrub(): Promise<readonly string[]>

  /**
   * Where payloads are encrypted: names of the keys that each part of an entry is under, by part name; none for one that is
   * kept as it is. Back-ends have no such method: it comes with `store/sealed-payloads.ts`.
   */
  sealedUnder?(index: number): Promise<ReadonlyMap<string, readonly string[]>>
}

/** Where a part is: its entry, by index and id, and its name. */
export interface PartAddress {
  readonly index: number
  readonly id: string
  readonly name: string
}

/** A back-end in one piece, as `openLog` takes it. */
export type LogStore = Store & PayloadStore
