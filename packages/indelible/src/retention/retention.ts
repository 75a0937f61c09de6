/** Retention of the log of a home: plan it, run it, hold what must stay. */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { anchorsDirectory } from '../anchor/receipts.ts'
import { utf8 } from '../bytes.ts'
import { type Config, loadConfig } from '../config/config.ts'
import type { RetentionConfig } from '../config/retention-section.ts'
import { IdentityRegister } from '../decision/register.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { withFileLock, writeFileAtomic } from '../keys/files.ts'
import { Pins } from '../keys/pins.ts'
import { resolveHome } from '../log/home-paths.ts'
import type { Log } from '../log/log.ts'
import { formatSignatureLine, openNote, type SyncNoteSigner } from '../note/signed-note.ts'
import { type HomeQuery, openQuery } from '../query/home-query.ts'
import type { ReadRecord } from '../record/entry.ts'
import { formatPurgeApproval, type PurgeIntent } from '../verify/purge-statement.ts'
import { HoldRegister } from './holds.ts'
import { planRetention, type RetentionPlan } from './plan.ts'
import { type PurgeReceipt, type PurgeSurvey, purge, resumePurge, surveyPurge } from './purge.ts'
import { findVouched } from './vouched.ts'

export interface RetentionOptions {
  readonly home?: string
  readonly pins?: Pins
  /** Wall clock, ms since 1970. */
  readonly clock?: () => number
}

export interface RunOptions {
  /** Who authorises it. Stands in the log. */
  readonly by: string
  readonly trustClock?: boolean
  /** Signature lines over {@link Retention.approvalText}. */
  readonly approvals?: readonly string[]
  /** Purge less than the rules allow: a multiple of 256. */
  readonly below?: number
  readonly onProgress?: (done: number, total: number) => void
}

export interface RetentionStatus {
  readonly rules: RetentionConfig
  readonly size: number
  readonly min_index: number
  readonly holds: number
  readonly last_purge: { readonly entry: number; readonly below: number; readonly by: string } | null
}

export interface RetentionRun {
  readonly plan: RetentionPlan
  /** What was purged, with what an earlier run had left unfinished. */
  readonly purged: readonly PurgeReceipt[]
  /** Entries that stood below an earlier purge again, as after a restore. */
  readonly purged_again: number
  /** Parts whose disclosures were erased by age. */
  readonly parts_erased: number
  /** Where what went may still be, in a few words each. */
  readonly pending: readonly string[]
}

/** Entries of one erasure by age. */
const MAX_ERASED_AT_ONCE = 10_000

/** @param log opened for writing, of the same home; when it is closed, so is this */
export async function openRetention(log: Log, options: RetentionOptions = {}): Promise<Retention> {
  const home = resolveHome(options.home)
  const query = await openQuery({ home })
  log.onClose(() => void query.close())
  return new Retention(log, query, home, loadConfig(home), options)
}

export class Retention {
  readonly holds: HoldRegister
  readonly #log: Log
  readonly #query: HomeQuery
  readonly #home: string
  readonly #config: RetentionConfig
  readonly #anchors: string
  readonly #pins: Pins
  readonly #clock: () => number

  constructor(log: Log, query: HomeQuery, home: string, config: Config, options: RetentionOptions) {
    this.#log = log
    this.#query = query
    this.#home = home
    this.#config = config.retention
    this.#anchors = anchorsDirectory(home, config)
    this.#pins = options.pins ?? new Pins()
    this.#clock = options.clock ?? Date.now
    this.holds = new HoldRegister(log, query)
  }

  /** What a run would do now. Throws as {@link planRetention}. */
  async plan(options: { readonly trustClock?: boolean } = {}): Promise<RetentionPlan> {
    const vouched = await this.#vouched()
    return planRetention(this.#log, this.#query, this.holds, this.#config, {
      nowMs: this.#clock(),
      vouched: vouched.size,
      ...options,
    })
  }

  /** How things stand. */
  async status(): Promise<RetentionStatus> {
    const head = await this.#log.store.head()
    const { hits } = await this.#query.page({ type: 'audit.purge.intent' }, { limit: 1 })
    const [last] = hits
    return {
      rules: this.#config,
      size: head?.size ?? 0,
      min_index: head?.minIndex ?? 0,
      holds: (await this.holds.active()).length,
      last_purge: last
        ? { entry: last.index, below: Number(last.record.audit?.below), by: String(last.record.audit?.by) }
        : null,
    }
  }

  /** Places a hold; a purge that is about to delete finishes first, or gives way. */
  placeHold(...hold: Parameters<HoldRegister['place']>): ReturnType<HoldRegister['place']> {
    return this.#exclusively(() => this.holds.place(...hold))
  }

  /** What approvers sign of the purge that the rules allow now; `null` if they allow none. */
  async approvalText(run: Pick<RunOptions, 'by' | 'below' | 'trustClock'>): Promise<string | null> {
    const plan = await this.plan(run)
    const below = this.#below(plan, run.below)
    if (below === plan.from) return null
    return this.#textOf(await surveyPurge(this.#log.store, below), plan.basis, run.by)
  }

  /** An approval of that text, by a registered person. */
  async approve(run: Pick<RunOptions, 'by' | 'below' | 'trustClock'>, signer: SyncNoteSigner): Promise<string | null> {
    const text = await this.approvalText(run)
    return text === null ? null : formatSignatureLine(signer.key, signer.sign(utf8(text)))
  }

  /**
   * Does what the rules ask for. One at a time among the processes of a machine, and among replicas where the store has a lock.
   *
   * @throws IndelibleError `ERR_PURGE_UNVOUCHED` if nobody else vouches for the log, `ERR_PURGE_UNAPPROVED`, `ERR_HELD`,
   * `ERR_RETENTION_CLOCK`, `ERR_STORE_BUSY` if another run goes on
   */
  run(options: RunOptions): Promise<RetentionRun> {
    return this.#oneRunner(async () => {
      const purged: PurgeReceipt[] = []
      const left = await this.#resume()
      if (left) purged.push(left)
      const again = await this.#purgeAgain()
      const plan = await this.plan(options)
      const below = this.#below(plan, options.below)
      if (below > plan.from) {
        const vouched = await this.#vouched()
        const survey = await surveyPurge(this.#log.store, below, options.onProgress)
        const text = this.#textOf(survey, plan.basis, options.by)
        const approvals = await this.#approvals(text, options)
        const work = { basis: plan.basis, by: options.by, vouched, approvals }
        purged.push(await purge(this.#log, survey, this.holds, (step) => this.#deleting(step), work))
      }
      const erased = await this.#eraseParts(plan, options.by)
      const pending = existsSync(this.#mark) || erased > 0 ? await this.#clean() : []
      return { plan, purged, purged_again: again, parts_erased: erased, pending }
    })
  }

  #below(plan: RetentionPlan, wanted: number | undefined): number {
    if (wanted === undefined) return plan.below
    if (wanted % 256 !== 0 || wanted <= plan.from) {
      throw new RangeError(`cannot purge below ${wanted}: expected a multiple of 256 above ${plan.from}`)
    }
    if (wanted <= plan.below) return wanted
    const [limit] = plan.limits
    const code = limit!.code === 'hold' ? 'ERR_HELD' : limit!.code === 'vouched' ? 'ERR_PURGE_UNVOUCHED' : 'ERR_HELD'
    throw new IndelibleError(code, `cannot purge below ${wanted}: ${limit!.message}`)
  }

  #textOf(survey: PurgeSurvey, basis: string, by: string): string {
    return formatPurgeApproval(this.#log.origin, { ...survey, basis, by } as unknown as PurgeIntent)
  }

  /** Signatures of as many registered people as the configuration asks for, none of whom authorises the purge himself. */
  async #approvals(text: string, { approvals = [], by }: RunOptions): Promise<string[]> {
    const register = new IdentityRegister(this.#log, this.#query)
    const counted = new Map<string, string>()
    for (const line of approvals) {
      for (const identity of (await register.all()).values()) {
        if (!identity.key || identity.revoked !== null || identity.name === by) continue
        try {
          openNote(`${text}\n${line}`, [identity.key])
          counted.set(identity.name, line)
        } catch (error) {
          if (!isIndelibleError(error)) throw error
        }
      }
    }
    if (counted.size < this.#config.approvers) {
      const message = `${counted.size} registered people other than the one who authorises have signed this purge, expected ${this.#config.approvers}`
      throw new IndelibleError('ERR_PURGE_UNAPPROVED', message)
    }
    return [...counted.values()]
  }

  #vouched(): Promise<PurgeIntent['vouched']> {
    return findVouched(this.#log, this.#config.vouched_by === 'pin' ? { pins: this.#pins } : { anchors: this.#anchors })
  }

  async #resume(): Promise<PurgeReceipt | null> {
    let last: unknown
    const { hits } = await this.#query.page({ type: 'audit.purge.intent' }, { limit: 1 })
    for (const { record } of hits) last = record.audit?.below
    if (typeof last !== 'number') return null
    try {
      return await resumePurge(this.#log, last, this.holds, (step) => this.#deleting(step))
    } catch (error) {
      // Held since: that purge is off, and the plan says so.
      if (isIndelibleError(error, 'ERR_HELD')) return null
      throw error
    }
  }

  /** A restored backup may hold again what was purged since it was made. */
  async #purgeAgain(): Promise<number> {
    const { store } = this.#log
    const { minIndex } = (await store.head())!
    let count = 0
    for await (const rows of store.entries(0, minIndex)) count += rows.length
    if (count === 0) return 0
    await this.#deleting(() => store.purge(minIndex))
    await this.#log.notice('purged_again', { entries: count, below: minIndex })
    return count
  }

  /** Holds come before the ceiling: what is held is left out, and looked at again by the next run. */
  async #eraseParts(plan: RetentionPlan, by: string): Promise<number> {
    let erased = 0
    for (const { filter, below } of plan.parts) {
      let indexes: number[] = []
      const erase = async () => {
        if (indexes.length > 0) erased += (await this.#log.erase({ indexes, reason: 'retention', by })).parts
        indexes = []
      }
      for await (const { index, record } of this.#query.all(filter, plan.below)) {
        if (index >= below) break
        if (!record.parts || !(await this.#hasParts(index)) || (await this.#isHeld(index, record))) continue
        indexes.push(index)
        if (indexes.length === MAX_ERASED_AT_ONCE) await erase()
      }
      await erase()
    }
    return erased
  }

  async #hasParts(index: number): Promise<boolean> {
    for await (const payloads of this.#log.store.payloads(index, index + 1)) if (payloads.length > 0) return true
    return false
  }

  async #isHeld(index: number, record: ReadRecord): Promise<boolean> {
    try {
      await this.holds.assertNotHeld(one({ index, record }))
      return false
    } catch (error) {
      if (isIndelibleError(error, 'ERR_HELD')) return true
      throw error
    }
  }

  async #clean(): Promise<readonly string[]> {
    await this.#query.rebuild()
    const pending = await this.#log.store.scrub()
    if (pending.length === 0) rmSync(this.#mark, { force: true })
    return pending
  }

  /** Stands there from a deletion on until the store is clean of what was deleted, whatever happens in between. */
  get #mark(): string {
    return join(this.#home, 'retention', 'unclean')
  }

  #deleting<T>(work: () => Promise<T>): Promise<T> {
    return this.#exclusively(() => {
      mkdirSync(join(this.#home, 'retention'), { recursive: true, mode: 0o700 })
      writeFileAtomic(this.#mark, '')
      return work()
    })
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#lock('purge', work)
  }

  #oneRunner<T>(work: () => Promise<T>): Promise<T> {
    return this.#lock('run', work)
  }

  #lock<T>(name: string, work: () => Promise<T>): Promise<T> {
    const { store } = this.#log
    if (store.exclusively) return store.exclusively(`retention-${name}`, work)
    const folder = join(this.#home, 'retention')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return withFileLock(join(folder, `${name}.lock`), work)
  }
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value
}
