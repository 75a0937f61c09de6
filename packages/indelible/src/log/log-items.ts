/** Events become items of a batch here: validated, redacted, committed to, as canonical text. Nothing is written. */
import { hmacSha256, sha256 } from '#crypto'
import { concat, toBase64Url, utf8 } from '../bytes.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { formatSignatureLine, type SyncNoteSigner } from '../note/signed-note.ts'
import { isPlainAttribute, isPlainName, redactMembers } from '../privacy/members.ts'
import type { KeptPart, PrivacyPolicy } from '../privacy/policy.ts'
import { type CommonDraft, draftCommon } from '../record/common-event.ts'
import { draftEntry } from '../record/entry.ts'
import { type Assurance, type PreparedEvent, prepareEvent } from '../record/event.ts'
import { newId } from '../record/id.ts'
import { type AgentEvent, ASSURANCES, type AuditRecord, ENTRY_SCHEMA } from '../record/schema.ts'
import { decisionStatement } from '../record/statement.ts'
import { formatTime } from '../record/time.ts'
import type { Item } from './groups.ts'
import type { Identities } from './identities.ts'
import { restoreEvent, restorePart } from './log-draft.ts'
import type { Clock } from './sealer.ts'
import type { SubjectFinder } from './subject-finder.ts'

export interface RecordOptions {
  /** The most that this channel vouches for. Default `observed`. A producer can lower it, not raise it. */
  readonly assurance?: Assurance
  /** Whether the channel filled in an event's time (say, a file's): the same event may come again with another. */
  readonly isTimeFilledIn?: (event: AgentEvent) => boolean
  /** Signs what the event decides, as the person named in `actor`: see `record/statement.ts`. */
  readonly sign?: SyncNoteSigner
  /** How the caller made sure that it is the person named in `actor` who decides. `key` goes with {@link sign}. */
  readonly recognised?: 'key' | 'token'
}

/** An event of which the redactor has seen everything. */
interface Settled {
  readonly id: string
  readonly time: string
  readonly members: PreparedEvent['members']
  readonly isTimed: boolean
  readonly kept: readonly KeptPart[]
  readonly subjects: readonly string[]
  readonly sign: SyncNoteSigner | undefined
  readonly recognised: RecordOptions['recognised']
}

const STEERED = { isPlainAttribute, isPlainName }
const NO_DIGEST = new Uint8Array(0)

/** What an {@link ItemMaker} goes by. */
export interface ItemRules {
  readonly keys: LogKeys
  readonly privacy: PrivacyPolicy
  readonly identities: Identities | null
  readonly subjects: SubjectFinder | null
  readonly clock: Clock
  /** Told of parts that nothing was kept of because the redactor failed. */
  readonly onWithheld: (parts: number) => void
}

export class ItemMaker {
  /** Names the privacy rules in force. */
  readonly policyMark: string
  readonly #keys: LogKeys
  readonly #privacy: PrivacyPolicy
  readonly #privacyMark: Uint8Array
  readonly #identities: Identities | null
  readonly #subjects: SubjectFinder | null
  readonly #clock: Clock
  readonly #onWithheld: (parts: number) => void
  /** Whether the redactor has answered with a promise: it is not to be asked twice. */
  #redactsLater = false

  constructor({ keys, privacy, identities, subjects, clock, onWithheld }: ItemRules) {
    const version = sha256(privacy.version)
    this.policyMark = toBase64Url(version)
    this.#keys = keys
    this.#privacy = privacy
    this.#privacyMark = version.slice(0, 4)
    this.#identities = identities
    this.#subjects = subjects
    this.#clock = clock
    this.#onWithheld = onWithheld
  }

  /** {@link make} without any text of parts: for what must be kept before the redactor has answered. */
  withoutText(event: AgentEvent, options: RecordOptions): Item {
    return this.make(event, options, this.#privacy.withoutText()) as Item
  }

  /** The item of an event that was drafted before, under the same {@link policyMark}; `null` if it was not. */
  restore(event: AgentEvent): Item | null {
    return this.#restoreCommon(event) ?? this.#restoreAny(event)
  }

  #restoreCommon(event: AgentEvent): Item | null {
    if (typeof event.id !== 'string' || typeof event.time !== 'string') return null
    const { parts: disclosed = {} } = event
    const parts: Record<string, { value: unknown }> = {}
    for (const name of Object.keys(disclosed)) parts[name] = { value: disclosed[name] }
    const common = draftCommon(
      { ...event, parts },
      {
        // What the channel vouched for was judged when it was drafted.
        ceiling: ASSURANCES[0],
        makeId: () => '',
        now: '',
        hasRules: false,
        keep: (id, name) => restorePart(disclosed[name]!, this.#keys.origin, id, name),
      },
    )
    return common && this.#itemOf(common)
  }

  #itemOf({ id, idGiven, draft, kept, subjects, stable }: CommonDraft<KeptPart>): Item {
    return { id, idGiven, draft, payloads: kept, subjects, digest: stable ? this.#digest(stable, kept) : NO_DIGEST }
  }

  #restoreAny(event: AgentEvent): Item | null {
    const restored = restoreEvent(event, this.#keys.origin)
    if (!restored) return null
    const { id, record, kept, subjects } = restored
    const { draft, stable } = draftEntry(record, { time: true })
    return { id, idGiven: true, draft, payloads: kept, subjects, digest: this.#digest(stable, kept) }
  }

  /** Throws as `Log.record`. */
  make(event: AgentEvent, options: RecordOptions, privacy = this.#privacy): Item | Promise<Item> {
    return this.#commonItem(event, options, privacy) ?? this.#anyItem(event, options, privacy)
  }

  /** `null` if the event, or what is to be done with it, is not ordinary in every way. */
  #commonItem(
    event: AgentEvent,
    { assurance = 'observed', isTimeFilledIn, sign, recognised }: RecordOptions,
    privacy: PrivacyPolicy,
  ): Item | null {
    if (sign || recognised || this.#identities || this.#subjects || this.#redactsLater) return null
    const nowMs = this.#clock()
    const common = draftCommon(event, {
      ceiling: assurance,
      makeId: () => newId(nowMs),
      now: formatTime(nowMs),
      isTimeFilledIn: isTimeFilledIn && (() => isTimeFilledIn(event)),
      // A redactor must see whatever it could find something in.
      steered: privacy.redactor ? STEERED : undefined,
      hasRules: privacy.hasRules,
      keep: (id, name, part, subject) => {
        const kept = privacy.keep(id, name, part, subject)
        if ('then' in kept) this.#redactsLater = true
        return 'then' in kept || kept.withheld ? null : kept
      },
    })
    return common && this.#itemOf(common)
  }

  /** A promise if the redactor gives one: only this event waits for it, and the order of others is unaffected. */
  #anyItem(
    event: AgentEvent,
    { assurance = 'observed', isTimeFilledIn, sign, recognised }: RecordOptions,
    privacy: PrivacyPolicy,
  ): Item | Promise<Item> {
    const given = prepareEvent(event, assurance)
    const prepared = this.#subjects ? { ...given, subjects: this.#subjects.find(given) } : given
    // Who signs a decision stands in the register of people: a token would be nobody's there.
    const { members, parts, subjects } = (!sign && !recognised && this.#identities?.pseudonymize(prepared)) || prepared
    const nowMs = this.#clock()
    const id = members.id ?? newId(nowMs)
    const time = members.time ?? formatTime(nowMs)
    const isTimed = members.time !== undefined && !isTimeFilledIn?.(event)
    const redacted = privacy.redactor && redactMembers(members, privacy.redactor)
    let isPending = redacted !== null
    const kept: (KeptPart | Promise<KeptPart>)[] = []
    for (const [name, part] of parts) {
      const one = privacy.keep(id, name, part, members)
      if ('then' in one) isPending = true
      kept.push(one)
    }
    const finish = (settled: readonly KeptPart[]) =>
      this.#finish({ id, time, members, isTimed, kept: settled, subjects, sign, recognised })
    if (!isPending) return finish(kept as KeptPart[])
    return Promise.all([Promise.all(kept), redacted]).then(([settled]) => finish(settled))
  }

  #finish({ id, time, members, isTimed, kept, subjects, sign, recognised }: Settled): Item {
    const record = { ...members, schema: ENTRY_SCHEMA, id, time } as Omit<AuditRecord, 'observed'>
    if (kept.length > 0)
      record.parts = Object.fromEntries(kept.map(({ name, commit, mode }) => [name, { commit, mode }]))
    if (recognised) record.decision = { ...record.decision, method: recognised }
    if (sign) this.#sign(record, sign)
    const { draft, stable } = draftEntry(record, { time: isTimed })
    const withheld = kept.reduce((count, part) => count + (part.withheld ? 1 : 0), 0)
    if (withheld > 0) this.#onWithheld(withheld)
    const idGiven = members.id !== undefined
    // Nobody can rightly hand in again an id that the log has made: an empty digest equals no other. And one without the
    // part that the redactor failed on says nothing of the event.
    const digest = idGiven ? (withheld > 0 ? null : this.#digest(stable, kept)) : NO_DIGEST
    return {
      id,
      idGiven,
      draft,
      payloads: kept.map(({ name, disclosure }) => ({ name, disclosure })),
      subjects,
      digest,
    }
  }

  #sign(record: Omit<AuditRecord, 'observed'>, signer: SyncNoteSigner): void {
    record.decision = { ...record.decision, method: 'key' }
    const statement = utf8(decisionStatement(this.#keys.origin, record))
    record.decision.signature = formatSignatureLine(signer.key, signer.sign(statement))
  }

  #digest(stable: string | Uint8Array, kept: readonly { readonly stable: string }[]): Uint8Array {
    let parts = ''
    for (const part of kept) parts += part.stable
    const text = typeof stable === 'string' ? stable + parts : concat(stable, utf8(parts))
    return concat(this.#privacyMark, hmacSha256(this.#keys.ids, text))
  }
}
