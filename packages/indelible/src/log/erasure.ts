/** What an erasure is asked for with, what it needs beside the log, and what it answers. */
import { IndelibleError } from '../errors.ts'
import type { PartAddress } from '../store/store.ts'
import { type ErasureJournal, MemoryJournal } from './erasure-journal.ts'

/** Exactly one of `subject`, `index`, `indexes` and `run` says what. */
export interface EraseRequest {
  /** Every entry that concerns this person, by the id that events gave in `subjects`, or that the configuration found. */
  readonly subject?: string
  /** With `subject`: every entry of the runs that its entries belong to. */
  readonly wholeRuns?: boolean
  readonly index?: number
  /** Entries, ascending: by age, say. */
  readonly indexes?: readonly number[]
  readonly run?: string
  /** Names of the parts. Default: all of them. */
  readonly part?: string | readonly string[]
  /** Why, as a code such as `gdpr-17`: it stays in the log for good, so free text is refused. */
  readonly reason: string
  /** Who has it done: an account or a role. It stays in the log for good. */
  readonly by: string
  /** Who agreed: `privacy.erasure.approvers` others. */
  readonly approvedBy?: readonly string[]
}

/** Parts of one entry. */
export interface ErasureTarget {
  readonly index: number
  readonly id: string
  readonly parts: readonly string[]
}

export interface ErasureReceipt {
  /** UUIDv7 that the log's statements about it have in common. */
  readonly erasure: string
  /** `done` once the bytes are gone from everywhere that the log has a say in. */
  readonly state: 'pending' | 'done'
  readonly entries: number
  readonly parts: number
  /** What was erased: an index, and names of parts. */
  readonly erased: readonly (readonly [index: number, ...parts: string[]])[]
  /** Indexes of the `audit.erased` entries that say so. */
  readonly recorded: readonly number[]
  /** Where bytes may still be. Empty once it is done. */
  readonly waiting: readonly string[]
  /** Where encrypted bytes may still be, of which every part was under a key that is destroyed. They keep nothing pending. */
  readonly ciphertext: readonly string[]
}

/**
 * May refuse an erasure by throwing, before anything is written or deleted: legal holds and the like. Where a whole person
 * goes, entries that concern them are among the targets even if no part of them is left.
 */
export type ErasureGuard = (targets: readonly ErasureTarget[], request: EraseRequest) => void | Promise<void>

/** A copy beside the log that may hold what was erased: an index, a spool. */
export interface ErasurePlace {
  /**
   * Removes what was erased for good.
   * @param sinceMs when the erasure was asked for, ms since 1970
   * @returns where it may still be, in a few words each; called again until empty
   */
  clean(sinceMs: number): Promise<readonly string[]>
}

/** What stands beside the log and has a part in erasures. */
export interface ErasureSite {
  readonly journal: ErasureJournal
  readonly places: readonly ErasurePlace[]
  /** Others than the one who asks that have to agree. */
  readonly approvers: number
  readonly guards: readonly ErasureGuard[]
  /** Destroys a person's keys and pseudonyms, where there is a vault. */
  readonly forget?: (subject: string) => Promise<void> | void
  /** Whether a key of the vault was destroyed. */
  readonly isForgotten?: (key: string) => boolean
}

/** Of a log that has nothing beside it. */
export function bareSite(): ErasureSite {
  return { journal: new MemoryJournal(), places: [], approvers: 0, guards: [] }
}

const REASON = /^[a-z0-9][a-z0-9._-]{0,63}$/
const MAX_NAME = 128

/**
 * @throws IndelibleError `ERR_ERASURE_INVALID`, naming the member; `ERR_ERASURE_UNAPPROVED`
 */
export function checkRequest(request: EraseRequest, approvers: number): void {
  const { subject, index, indexes, run, reason, by, approvedBy = [], wholeRuns } = request
  if ([subject, index, indexes, run].filter((what) => what !== undefined).length !== 1) {
    throw invalid('expected one of subject, index, indexes and run')
  }
  if (wholeRuns && subject === undefined) throw invalid('wholeRuns goes with a subject')
  if (subject === '' || run === '') throw invalid('expected a subject or run that is not empty')
  if (!REASON.test(reason)) {
    throw invalid('reason: expected a code such as gdpr-17, in lower case without spaces: it stays in the log for good')
  }
  for (const name of [by, ...approvedBy]) {
    if (typeof name !== 'string' || name === '' || name.length > MAX_NAME || !name.isWellFormed()) {
      throw invalid(`by: expected a name of up to ${MAX_NAME} characters`)
    }
  }
  const others = new Set(approvedBy)
  if (others.has(by)) throw unapproved('who asks for an erasure cannot approve it as well')
  if (others.size < approvers) throw unapproved(`${others.size} others approve it, expected ${approvers}`)
}

/** The parts that a request names, of those that are there. */
export function partsWanted({ part }: EraseRequest, names: readonly string[]): string[] {
  if (part === undefined) return [...names]
  const wanted = new Set(typeof part === 'string' ? [part] : part)
  return names.filter((name) => wanted.has(name))
}

export function addressesOf({ index, id, parts }: ErasureTarget): PartAddress[] {
  return parts.map((name) => ({ index, id, name }))
}

function invalid(why: string): IndelibleError {
  return new IndelibleError('ERR_ERASURE_INVALID', why)
}

function unapproved(why: string): IndelibleError {
  return new IndelibleError('ERR_ERASURE_UNAPPROVED', why)
}
