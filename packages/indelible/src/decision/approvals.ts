/**
 * Approvals at run time: an agent asks, people decide, the agent goes on or does not.
 *
 * A decision is bound to the digest of what was asked for: the tool, its arguments, and what the approvers were shown. The one
 * who waits believes nothing but proven entries of the log that are by whom they name.
 */
import { randomBytes } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Log, RecordOptions } from '../log/log.ts'
import type { SyncNoteSigner } from '../note/signed-note.ts'
import type { QueryEngine } from '../query/query.ts'
import { carry } from '../record/carry.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { derivedId, newId } from '../record/id.ts'
import { canonicalize, type Json, parseJson } from '../record/jcs.ts'
import type { AgentEvent } from '../record/schema.ts'
import { parseTime } from '../record/time.ts'
import { type ApprovalBox, type BoxedRequest, digestRequest } from './approval-box.ts'
import { Pauses } from './approval-wait.ts'
import { IdentityRegister, provenRecord } from './register.ts'

export interface ApprovalRequest {
  /** Who asks. Default an agent of the log's process must be named: there is none. */
  readonly actor: AgentEvent['actor']
  readonly tool: string
  /** What the tool would be called with. */
  readonly args: unknown
  /** What the approvers see. Default the arguments. */
  readonly shown?: unknown
  /** Names of registered identities. */
  readonly approvers: readonly string[]
  /** How many of them must approve. Default 1. */
  readonly quorum?: number
  /** How long it may be decided, ms. Default 10 minutes. */
  readonly expiresMs?: number
  readonly run?: string
  readonly session?: string
  readonly tenant?: string
  readonly call?: string
}

export interface Ruling {
  readonly decision: 'approved' | 'rejected' | 'expired'
  /** Who decided, in the order of the log. */
  readonly by: readonly string[]
  /** Indexes of the entries that decide. */
  readonly entries: readonly number[]
}

export type Credential = { readonly signer: SyncNoteSigner } | { readonly token: string }

export interface PendingApproval {
  readonly id: string
  readonly digest: string
  readonly request: BoxedRequest
  readonly approvals: number
  readonly isExpired: boolean
}

const DEFAULT_EXPIRES_MS = 10 * 60_000

export class Approvals {
  readonly register: IdentityRegister
  readonly #log: Log
  readonly #box: ApprovalBox
  readonly #clock: () => number

  constructor(log: Log, query: QueryEngine, box: ApprovalBox, options: { readonly clock?: () => number } = {}) {
    this.#log = log
    this.#box = box
    this.#clock = options.clock ?? Date.now
    this.register = new IdentityRegister(log, query)
  }

  /**
   * Asks. Resolves once the request is an entry of the log, and people can see it.
   * @throws IndelibleError `ERR_APPROVAL_REFUSED` if too few could ever approve it, `ERR_IDENTITY_UNKNOWN`,
   * `ERR_IDENTITY_REVOKED`, and as `Log.record`
   */
  async request(request: ApprovalRequest): Promise<Approval> {
    const { actor, tool, run, session, tenant, call, quorum = 1, expiresMs = DEFAULT_EXPIRES_MS } = request
    const requester = [actor.id, ...(actor.on_behalf_of === undefined ? [] : [actor.on_behalf_of])]
    const approvers = [...new Set(request.approvers)].sort()
    if (approvers.filter((name) => !requester.includes(name)).length < quorum) {
      const message = `quorum of ${quorum} cannot be met: ${approvers.length} approvers, of whom nobody may approve his own request`
      throw new IndelibleError('ERR_APPROVAL_REFUSED', message)
    }
    for (const name of approvers) await this.register.active(name)
    const nowMs = this.#clock()
    const args = carried(request.args)
    const boxed: BoxedRequest = {
      origin: this.#log.origin,
      id: newId(nowMs),
      nonce: toBase64Url(randomBytes(32)),
      tool,
      args,
      shown: request.shown === undefined ? args : carried(request.shown),
      approvers,
      quorum,
      expires: new Date(nowMs + expiresMs).toISOString(),
      requester,
      run: run ?? null,
    }
    const digest = digestRequest(boxed)
    await this.#log.record({
      type: 'approval.requested',
      id: boxed.id,
      actor,
      outcome: 'pending',
      tool: { name: tool },
      subject_digest: digest,
      decision: { approvers, quorum, until: boxed.expires },
      ...(run !== undefined && { run: { id: run } }),
      ...(session !== undefined && { session }),
      ...(tenant !== undefined && { tenant }),
      ...(call !== undefined && { call }),
      parts: { input: { value: request.args }, shown: { value: boxed.shown } },
    })
    await this.#box.put(boxed)
    return new Approval(this, boxed, digest)
  }

  /** An approval that another process asked for, or this one before it was started anew. Throws as {@link show}. */
  async resume(id: string): Promise<Approval> {
    const { request, digest } = await this.#open(id)
    return new Approval(this, request, digest)
  }

  /** What waits for people, the oldest first. What expired meanwhile is among them until somebody notices. */
  async list(): Promise<PendingApproval[]> {
    const pending: PendingApproval[] = []
    for (const id of await this.#box.ids()) {
      try {
        pending.push(await this.#pending(id))
      } catch (error) {
        // Decided meanwhile; what was put there by somebody else is shown by nobody.
        if (!isIndelibleError(error)) throw error
      }
    }
    return pending
  }

  /**
   * One request, as it will be executed.
   * @param viewer records that this person has seen it
   * @throws IndelibleError `ERR_APPROVAL_NOT_FOUND`, `ERR_APPROVAL_CHANGED`
   */
  async show(id: string, viewer?: Credential): Promise<PendingApproval> {
    const pending = await this.#pending(id)
    if (viewer) {
      const identity = await this.#identify(viewer)
      await this.#log.record(
        {
          ...this.#about(pending.request),
          type: 'approval.viewed',
          actor: { type: 'user', id: identity },
          outcome: 'success',
          subject_digest: pending.digest,
          decision: { meaning: 'view' },
        },
        recognisedBy(viewer),
      )
    }
    return pending
  }

  /**
   * Decides, as the person who holds the key or the token.
   * @throws IndelibleError `ERR_APPROVAL_NOT_FOUND`, `ERR_APPROVAL_CHANGED` if what waits is not what the log says was asked for,
   * `ERR_APPROVAL_EXPIRED`, `ERR_APPROVAL_CONCLUDED` for a second decision, `ERR_APPROVAL_REFUSED` if this person may not
   * decide it, `ERR_IDENTITY_UNKNOWN`, `ERR_IDENTITY_REVOKED`, `ERR_SIGNATURE_INVALID`
   */
  async decide(
    id: string,
    decision: 'approved' | 'rejected',
    credential: Credential,
    options: { readonly reason?: string } = {},
  ): Promise<Ruling | null> {
    const by = await this.#identify(credential)
    return this.#box.deciding(id, async (add) => {
      const { request, digest } = await this.#open(id)
      if (request.requester.includes(by)) {
        throw new IndelibleError('ERR_APPROVAL_REFUSED', 'nobody approves his own request')
      }
      if (!request.approvers.includes(by)) {
        throw new IndelibleError('ERR_APPROVAL_REFUSED', 'the request names other approvers')
      }
      const { votes } = await this.#votes(request, digest, await this.#box.decisions(id))
      const before = this.#rule(request, votes)
      if (before) throw new IndelibleError('ERR_APPROVAL_CONCLUDED', `the request is ${before.decision} already`)
      if (votes.some((vote) => vote.by === by)) {
        throw new IndelibleError('ERR_APPROVAL_CONCLUDED', 'this person has decided it already')
      }
      if (this.#clock() >= parseTime(request.expires)) throw expired(request)
      const entryId = newId(this.#clock())
      // Before the entry: a decision that is in the log and that nobody looks for would count for nothing.
      add(entryId)
      await this.#log.record(
        {
          ...this.#about(request),
          id: entryId,
          type: 'approval.decided',
          actor: { type: 'user', id: by },
          outcome: decision,
          subject_digest: digest,
          decision: { meaning: decision === 'approved' ? 'approval' : 'rejection' },
          ...(options.reason !== undefined && { parts: { reason: { value: options.reason } } }),
        },
        recognisedBy(credential),
      )
      return this.ruling(request, digest)
    })
  }

  /** What the decisions in the log amount to; `null` while too few have decided. Of a request that expired: `expired`. */
  async ruling(request: BoxedRequest, digest: string): Promise<Ruling | null> {
    const { votes } = await this.#votes(request, digest, await this.#box.decisions(request.id))
    return this.#rule(request, votes)
  }

  #rule(request: BoxedRequest, votes: readonly Vote[]): Ruling | null {
    const entries = votes.map(({ index }) => index)
    const by = votes.map((vote) => vote.by)
    if (votes.some(({ outcome }) => outcome === 'rejected')) return { decision: 'rejected', by, entries }
    if (votes.length >= request.quorum) return { decision: 'approved', by, entries }
    if (this.#clock() >= parseTime(request.expires)) return { decision: 'expired', by, entries }
    return null
  }

  /** Waits for a ruling. Of one that expired an entry is written, once. */
  async wait(request: BoxedRequest, digest: string, signal?: AbortSignal): Promise<Ruling> {
    const pauses = new Pauses(this.#box, request.id)
    try {
      // Looked at again only if that could change the answer: a vote that was found counts or not, whatever comes after it.
      for (let seen: string | null = null; ; ) {
        signal?.throwIfAborted()
        const noted = await this.#box.decisions(request.id)
        const isOver = this.#clock() >= parseTime(request.expires)
        const now = JSON.stringify([noted, isOver])
        if (now !== seen) {
          const { votes, isComplete } = await this.#votes(request, digest, noted)
          const ruling = this.#rule(request, votes)
          if (ruling) return await this.#ended(request, digest, ruling)
          pauses.restart()
          // Noted before it is recorded: what is not there yet is looked for until it is.
          seen = isComplete ? now : null
        }
        await pauses.pause(parseTime(request.expires) - this.#clock(), signal)
      }
    } finally {
      pauses.close()
    }
  }

  async #ended(request: BoxedRequest, digest: string, ruling: Ruling): Promise<Ruling> {
    if (ruling.decision === 'expired') await this.#recordExpired(request, digest)
    if (ruling.decision !== 'approved') await this.#box.remove(request.id)
    return ruling
  }

  /** Whether a request waits, or was approved and is yet to be used. */
  async isOpen(id: string): Promise<boolean> {
    return (await this.#box.get(id)) !== null
  }

  /**
   * Ends an approval: it is used up. That is an entry whose id follows from the request, so that it is written once, whatever
   * becomes of the box: whoever puts the request back there finds that it was used.
   */
  async conclude(request: BoxedRequest, digest: string): Promise<void> {
    const { id } = request
    await this.#box.deciding(id, async () => {
      if (!(await this.#box.get(id))) throw concluded()
      const use: AgentEvent = {
        ...this.#about(request),
        id: useId(request.origin, digest),
        type: 'approval.used',
        actor: { type: 'system', id: 'indelible' },
        outcome: 'success',
        subject_digest: digest,
      }
      const { duplicate, uncompared } = await this.#log.record(use).catch((error: unknown) => {
        throw isIndelibleError(error, 'ERR_ID_CONFLICT') ? concluded() : error
      })
      await this.#box.remove(id)
      if (duplicate || uncompared) throw concluded()
    })
  }

  async #pending(id: string): Promise<PendingApproval> {
    const { request, digest } = await this.#open(id)
    const { votes } = await this.#votes(request, digest, await this.#box.decisions(id))
    return {
      id,
      digest,
      request,
      approvals: votes.filter(({ outcome }) => outcome === 'approved').length,
      isExpired: this.#clock() >= parseTime(request.expires),
    }
  }

  /** The request in the box, if it is the one that the log has. */
  async #open(id: string): Promise<{ request: BoxedRequest; digest: string }> {
    const request = await this.#box.get(id)
    if (!request)
      throw new IndelibleError('ERR_APPROVAL_NOT_FOUND', 'no such request waits: it was decided, or expired')
    const record = await provenRecord(this.#log, id)
    const digest = digestRequest(request)
    if (record.type !== 'approval.requested' || record.subject_digest !== digest || request.id !== id) {
      throw new IndelibleError('ERR_APPROVAL_CHANGED', 'what waits is not what the log says was asked for')
    }
    return { request, digest }
  }

  /** The votes that count; `isComplete` if every decision that was noted is in the log. */
  async #votes(
    request: BoxedRequest,
    digest: string,
    noted: readonly string[],
  ): Promise<{ votes: Vote[]; isComplete: boolean }> {
    const decisions: { index: number; record: ReadRecord }[] = []
    let isComplete = true
    for (const entryId of noted) {
      const decision = await this.#decision(entryId)
      if (decision === null) isComplete = false
      else if (decision.record.type === 'approval.decided' && decision.record.subject_digest === digest)
        decisions.push(decision)
    }
    // The register is read once for all of them, and as far as the last one.
    const upTo = Math.max(0, ...decisions.map(({ index }) => index + 1))
    const votes = new Map<string, Vote>()
    for (const { index, record } of decisions) {
      const { name } = await this.register.checkDecision(index, record, upTo)
      const { observed, outcome } = record
      const isTheirs = request.approvers.includes(name) && !request.requester.includes(name)
      if (!isTheirs || observed >= request.expires || votes.has(name)) continue
      if (outcome === 'approved' || outcome === 'rejected') votes.set(name, { by: name, index, outcome })
    }
    return { votes: [...votes.values()].sort((a, b) => a.index - b.index), isComplete }
  }

  /** An entry that is noted as a decision, proven; `null` if it is not there yet, or never will be. */
  async #decision(entryId: string): Promise<{ index: number; record: ReadRecord } | null> {
    try {
      const { index, entry } = await this.#log.prove(entryId)
      return { index, record: parseEntry(entry) }
    } catch (error) {
      if (isIndelibleError(error, 'ERR_ENTRY_NOT_FOUND')) return null
      throw error
    }
  }

  async #identify(credential: Credential): Promise<string> {
    if ('token' in credential) return (await this.register.byToken(credential.token)).name
    const { key } = credential.signer
    const identity = await this.register.active(key.name)
    const isSame = identity.key && toBase64Url(identity.key.publicKey) === toBase64Url(key.publicKey)
    if (!isSame) throw new IndelibleError('ERR_SIGNATURE_INVALID', 'the log knows another key under this name')
    return identity.name
  }

  async #recordExpired(request: BoxedRequest, digest: string): Promise<void> {
    await this.#box.deciding(request.id, async () => {
      if (!(await this.#box.get(request.id))) return
      await this.#log.record({
        ...this.#about(request),
        type: 'approval.expired',
        actor: { type: 'system', id: 'indelible' },
        outcome: 'failure',
        subject_digest: digest,
      })
    })
  }

  #about({ id, tool, run }: BoxedRequest): Pick<AgentEvent, 'tool' | 'run' | 'resource'> {
    return {
      tool: { name: tool },
      resource: { type: 'approval', id },
      ...(run !== null && { run: { id: run } }),
    }
  }
}

interface Vote {
  readonly by: string
  readonly index: number
  readonly outcome: 'approved' | 'rejected'
}

/** One request, on the side of the one who asked. */
export class Approval {
  readonly id: string
  /** What decisions are bound to. */
  readonly digest: string
  readonly #approvals: Approvals
  readonly #request: BoxedRequest

  constructor(approvals: Approvals, request: BoxedRequest, digest: string) {
    this.id = request.id
    this.digest = digest
    this.#approvals = approvals
    this.#request = request
  }

  /** Resolves with the ruling, at the latest when the request expires. */
  wait(signal?: AbortSignal): Promise<Ruling> {
    return this.#approvals.wait(this.#request, this.digest, signal)
  }

  /**
   * Calls `work` with the approved arguments, once, and only if those that the caller has are the same.
   * @throws IndelibleError `ERR_APPROVAL_CHANGED` for other arguments, `ERR_APPROVAL_REFUSED` if it is not approved,
   * `ERR_APPROVAL_EXPIRED`, `ERR_APPROVAL_CONCLUDED` the second time
   */
  async execute<A, T>(args: A, work: (args: A) => T | Promise<T>): Promise<T> {
    if (canonicalize(carried(args)) !== canonicalize(this.#request.args)) {
      throw new IndelibleError('ERR_APPROVAL_CHANGED', 'the arguments are not those that were approved')
    }
    // Its votes went with it.
    if (!(await this.#approvals.isOpen(this.id))) throw concluded()
    const ruling = await this.#approvals.ruling(this.#request, this.digest)
    if (ruling?.decision === 'expired') throw expired(this.#request)
    if (ruling?.decision !== 'approved') {
      throw new IndelibleError('ERR_APPROVAL_REFUSED', `the request is ${ruling?.decision ?? 'not decided yet'}`)
    }
    await this.#approvals.conclude(this.#request, this.digest)
    return work(args)
  }
}

function recognisedBy(credential: Credential): RecordOptions {
  return 'signer' in credential ? { sign: credential.signer, recognised: 'key' } : { recognised: 'token' }
}

/** Of the entry that says that an approval was used. */
function useId(origin: string, digest: string): string {
  return derivedId(canonicalize(['indelible/approval-use@1', origin, digest]))
}

/** What a value is in a log, whatever it was: the same for whoever asks and whoever executes. */
function carried(value: unknown): Json {
  return parseJson(canonicalize(carry(value).value))
}

function expired({ expires }: BoxedRequest): IndelibleError {
  return new IndelibleError('ERR_APPROVAL_EXPIRED', `the request could be decided until ${expires}`)
}

function concluded(): IndelibleError {
  return new IndelibleError('ERR_APPROVAL_CONCLUDED', 'the approval was used already')
}
