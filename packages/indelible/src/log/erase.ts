/**
 * Erasing: what must go is listed in the log first, then deleted, then made sure of, and then the log says that it is done.
 *
 * The order is that of a crash: whatever is gone has an entry that accounts for it, and what an entry lists is deleted by
 * the next process that opens the log. Every step may be done again.
 */
import { fromHex, toHex, utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { isGone, processToken } from '../keys/process.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { newId } from '../record/id.ts'
import type { LogStore } from '../store/store.ts'
import { auditEntry } from './batch.ts'
import {
  addressesOf,
  checkRequest,
  type EraseRequest,
  type ErasureReceipt,
  type ErasureSite,
  type ErasureTarget,
  partsWanted,
} from './erasure.ts'
import type { ErasureState } from './erasure-journal.ts'
import type { Clock, Sequencing } from './sequencer.ts'
import { areShredded } from './shredding.ts'
import { subjectMac } from './subjects.ts'

/** Most bytes of the list in one entry; the rest of 65,535 is for everything else. */
const MAX_LIST_BYTES = 48_000

/** Parts of one transaction. */
const CHUNK = 1000

/** Entries of the log read at a time in search of a run. */
const SCAN = 1000

interface EraserParts {
  readonly store: LogStore
  readonly keys: LogKeys
  readonly sequencer: Sequencing
  readonly clock: Clock
  readonly site: ErasureSite
}

export class Eraser {
  readonly #store: LogStore
  readonly #keys: LogKeys
  readonly #sequencer: Sequencing
  readonly #clock: Clock
  readonly #site: ErasureSite
  #turn: Promise<unknown> = Promise.resolve()

  constructor({ store, keys, sequencer, clock, site }: EraserParts) {
    this.#store = store
    this.#keys = keys
    this.#sequencer = sequencer
    this.#clock = clock
    this.#site = site
  }

  /** See `Log.erase`. */
  erase(request: EraseRequest): Promise<ErasureReceipt> {
    checkRequest(request, this.#site.approvers)
    return this.#inTurn(() => this.#erase(request))
  }

  /** See `Log.resumeErasures`. */
  resume(): Promise<ErasureReceipt[]> {
    return this.#inTurn(async () => {
      const receipts: ErasureReceipt[] = []
      for (const state of this.#site.journal.list()) {
        // One that another process works on is its own; our own turn is this one.
        if (state.process !== null && state.process !== processToken() && isGone(state.process) === false) continue
        const receipt = await this.#resume(state)
        if (receipt) receipts.push(receipt)
      }
      return receipts
    })
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#turn
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #erase(request: EraseRequest): Promise<ErasureReceipt> {
    await this.#sequencer.flush()
    const below = (await this.#store.head())?.size ?? 0
    const { targets, known } = await this.#find(request, below)
    const parts = targets.reduce((sum, target) => sum + target.parts.length, 0)
    const isWholePerson = request.subject !== undefined && request.part === undefined
    if (parts === 0 && !(isWholePerson && known.length > 0)) throw nothing(request)
    // Of a whole person also what is known of them goes: which entries concern them, and a hold on them with it.
    const concerned = isWholePerson ? await this.#withoutParts(known, targets) : []
    for (const guard of this.#site.guards) await guard([...targets, ...concerned], request)

    const sinceMs = this.#clock()
    const lists = splitList(targets)
    const mac = isWholePerson ? subjectMac(this.#keys, request.subject!) : null
    const state: ErasureState = {
      erasure: newId(sinceMs),
      since_ms: sinceMs,
      process: processToken(),
      subject: mac && toHex(mac),
      person: isWholePerson && this.#site.forget ? request.subject! : null,
      shredded: false,
      below,
      statements: lists.map(() => newId(sinceMs)),
      done: newId(sinceMs),
    }
    const counts = { entries: targets.length, parts }
    const statements = lists.map((list, i) => {
      const { reason, by, approvedBy = [] } = request
      const audit = {
        erasure: state.erasure,
        state: 'pending',
        scope:
          request.subject !== undefined
            ? 'subject'
            : request.run !== undefined
              ? 'run'
              : request.indexes
                ? 'entries'
                : 'entry',
        reason,
        by,
        ...(approvedBy.length > 0 && { approved_by: [...new Set(approvedBy)].sort() }),
        counts,
        ...(lists.length > 1 && { piece: [i + 1, lists.length] }),
        parts: list.map(({ index, parts }) => [index, ...parts]),
      }
      return { ...auditEntry('audit.erased', sinceMs, audit, state.statements[i]!), idGiven: true }
    })
    this.#site.journal.put(state)
    let recorded: number[]
    try {
      recorded = (await this.#sequencer.append(statements)).map(({ index }) => index)
    } catch (error) {
      // Of an unknown outcome the state is kept: whoever resumes finds out.
      if (isIndelibleError(error, 'ERR_OUTCOME_UNKNOWN')) this.#site.journal.put({ ...state, process: null })
      else this.#site.journal.remove(state.erasure)
      throw error
    }
    return this.#finish(state, targets, recorded)
  }

  /** `null` if it never began: the log says nothing of it, and nothing was deleted. */
  async #resume(state: ErasureState): Promise<ErasureReceipt | null> {
    const found = await this.#store.findIds(state.statements)
    if (found.size === 0) {
      this.#site.journal.remove(state.erasure)
      return null
    }
    const recorded = state.statements.map((id) => found.get(id)!.index)
    const targets: ErasureTarget[] = []
    for (const index of recorded) {
      const statement = await this.#record(index)
      for (const [at, ...parts] of listOf(statement)) {
        const record = await this.#record(at)
        if (record) targets.push({ index: at, id: record.id, parts })
      }
    }
    return this.#finish({ ...state, process: processToken() }, targets, recorded)
  }

  async #finish(
    state: ErasureState,
    targets: readonly ErasureTarget[],
    recorded: readonly number[],
  ): Promise<ErasureReceipt> {
    const counts = { entries: targets.length, parts: targets.reduce((sum, { parts }) => sum + parts.length, 0) }
    const waiting: string[] = []
    const ciphertext: string[] = []
    let now = state
    try {
      this.#site.journal.put(now)
      now = await this.#delete(now, targets)
      for (const place of this.#site.places) waiting.push(...(await place.clean(state.since_ms)))
      // What is left of the store's bytes, in a WAL that is archived, say, nobody can read: it is as good as gone.
      const left = now.shredded ? ciphertext : waiting
      left.push(...(await this.#store.scrub()))
      if (waiting.length === 0) {
        const rest = ciphertext.length > 0 && { remains: 'ciphertext' }
        const audit = { erasure: state.erasure, state: 'done', counts, ...rest }
        const done = auditEntry('audit.erased', this.#clock(), audit, state.done)
        const [place] = await this.#sequencer.append([{ ...done, idGiven: true }])
        this.#site.journal.remove(state.erasure)
        return receipt('done', [...recorded, place!.index])
      }
    } catch (error) {
      // It is listed, and goes on later: that is what pending means. What we did not foresee is thrown all the same.
      this.#site.journal.put({ ...now, process: null })
      if (!isIndelibleError(error)) throw error
      waiting.push(`stopped by ${error.code}`)
      return receipt('pending', recorded)
    }
    this.#site.journal.put({ ...now, process: null })
    return receipt('pending', recorded)

    function receipt(outcome: ErasureReceipt['state'], entries: readonly number[]): ErasureReceipt {
      const erased = targets.map(({ index, parts }): [number, ...string[]] => [index, ...parts])
      return { erasure: state.erasure, state: outcome, ...counts, erased, recorded: entries, waiting, ciphertext }
    }
  }

  async #delete(state: ErasureState, targets: readonly ErasureTarget[]): Promise<ErasureState> {
    let now = state
    if (now.person !== null && this.#site.forget) {
      await this.#site.forget(now.person)
      const shredded = await areShredded(this.#store, targets, this.#site.isForgotten)
      now = { ...now, person: null, shredded }
      this.#site.journal.put(now)
    }
    const addresses = targets.flatMap(addressesOf)
    for (let at = 0; at < addresses.length; at += CHUNK) await this.#store.erase(addresses.slice(at, at + CHUNK))
    // Last: as long as this is not done, the person is still found.
    if (now.subject !== null) await this.#store.forgetSubject(fromHex(now.subject), now.below)
    return now
  }

  async #withoutParts(indexes: readonly number[], targets: readonly ErasureTarget[]): Promise<ErasureTarget[]> {
    const listed = new Set(targets.map(({ index }) => index))
    const found: ErasureTarget[] = []
    for (const index of indexes) {
      const record = listed.has(index) ? null : await this.#record(index)
      if (record) found.push({ index, id: record.id, parts: [] })
    }
    return found
  }

  /** What is there of what is asked for, and which entries it is about. */
  async #find(request: EraseRequest, below: number): Promise<{ targets: ErasureTarget[]; known: readonly number[] }> {
    const indexes = await this.#indexes(request, below)
    const targets: ErasureTarget[] = []
    for (const index of indexes) {
      const record = await this.#record(index)
      if (!record && request.index !== undefined) throw notFound(index, below)
      if (!record?.parts) continue
      const names: string[] = []
      for await (const rows of this.#store.payloads(index, index + 1)) {
        for (const { name } of rows) if (Object.hasOwn(record.parts, name)) names.push(name)
      }
      const parts = partsWanted(request, names)
      if (parts.length > 0) targets.push({ index, id: record.id, parts })
    }
    return { targets, known: indexes }
  }

  async #indexes(
    { subject, wholeRuns, index, indexes: given, run }: EraseRequest,
    below: number,
  ): Promise<readonly number[]> {
    if (index !== undefined) return [index]
    if (given !== undefined) return given.filter((at) => at < below)
    if (run !== undefined) return this.#ofRuns(new Set([run]), below)
    const indexes = new Set<number>()
    for await (const chunk of this.#store.subjectEntries(subjectMac(this.#keys, subject!))) {
      for (const at of chunk) if (at < below) indexes.add(at)
    }
    if (wholeRuns) {
      const runs = new Set<string>()
      for (const at of indexes) {
        const id = (await this.#record(at))?.run?.id
        if (id !== undefined) runs.add(id)
      }
      for (const at of await this.#ofRuns(runs, below)) indexes.add(at)
    }
    return [...indexes].sort((a, b) => a - b)
  }

  /** Entries of these runs. Reads the log: no index is relied upon for what must not be missed. */
  async #ofRuns(runs: ReadonlySet<string>, below: number): Promise<number[]> {
    const found: number[] = []
    if (runs.size === 0) return found
    const start = (await this.#store.head())?.minIndex ?? 0
    for (let at = start; at < below; at += SCAN) {
      for await (const rows of this.#store.entries(at, Math.min(below, at + SCAN))) {
        for (const { index, entry } of rows) {
          const text = new TextDecoder().decode(entry)
          // Cheaper than reading every entry; what it lets through is read.
          if (!text.includes('"run":{')) continue
          const id = readRecord(entry)?.run?.id
          if (id !== undefined && runs.has(id)) found.push(index)
        }
      }
    }
    return found
  }

  async #record(index: number): Promise<ReadRecord | null> {
    if (!Number.isSafeInteger(index) || index < 0) return null
    for await (const [row] of this.#store.entries(index, index + 1)) if (row) return readRecord(row.entry)
    return null
  }
}

/** `null` for an entry that cannot be read: verification says what is wrong with it. */
function readRecord(entry: Uint8Array): ReadRecord | null {
  try {
    return parseEntry(entry)
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return null
  }
}

/** What an `audit.erased` entry lists. */
function listOf(record: ReadRecord | null): [index: number, ...parts: string[]][] {
  const parts = record?.type === 'audit.erased' ? record.audit?.parts : undefined
  return Array.isArray(parts) ? (parts as [number, ...string[]][]) : []
}

/** As many lists as it takes for each to fit an entry; at least one. */
function splitList(targets: readonly ErasureTarget[]): ErasureTarget[][] {
  const lists: ErasureTarget[][] = [[]]
  let bytes = 0
  for (const target of targets) {
    const own = utf8(JSON.stringify([target.index, ...target.parts])).length + 1
    if (bytes + own > MAX_LIST_BYTES) {
      lists.push([])
      bytes = 0
    }
    lists.at(-1)!.push(target)
    bytes += own
  }
  return lists
}

function nothing({ index, run }: EraseRequest): IndelibleError {
  const what =
    index !== undefined
      ? `entry ${index} has no such part left`
      : run !== undefined
        ? 'no entry of that run has such a part left'
        : 'no entry concerns that person, as far as events or privacy.subjects said, or no such part is left'
  return new IndelibleError('ERR_NOTHING_TO_ERASE', what)
}

function notFound(index: number, size: number): IndelibleError {
  return new IndelibleError('ERR_ENTRY_NOT_FOUND', `no entry ${index}: log has ${size} entries`)
}
