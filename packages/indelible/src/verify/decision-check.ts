/**
 * Signatures of people over what they decided. A log registers the keys of its people with entries of its own; a verifier
 * that names people in its trust policy believes those keys alone.
 */
import { isIndelibleError } from '../errors.ts'
import { openNote, parseVkey, type VerifierKey } from '../note/signed-note.ts'
import type { ReadRecord } from '../record/entry.ts'
import { decisionStatement } from '../record/statement.ts'
import type { FindingList } from './report.ts'

interface Registered {
  readonly key: VerifierKey
  isRevoked: boolean
}

export class DecisionCheck {
  readonly #origin: string
  readonly #findings: FindingList
  readonly #trusted: ReadonlyMap<string, VerifierKey> | null
  /** Whether registrations may lie outside of what is checked. */
  readonly #isPartial: () => boolean
  readonly #registered = new Map<string, Registered>()
  /** Signatures that verified, under keys of the policy or, failing one, of the log's own register. */
  checked = 0
  /** Signatures of people whose key is not known here. */
  unknown = 0

  /** @param trusted people whom the verifier knows itself; `null` leaves the log's register to name them */
  constructor(
    origin: string,
    trusted: readonly VerifierKey[] | null,
    findings: FindingList,
    options: { readonly isPartial: () => boolean },
  ) {
    this.#origin = origin
    this.#findings = findings
    this.#trusted = trusted && new Map(trusted.map((key) => [key.name, key]))
    this.#isPartial = options.isPartial
  }

  /** Whether signatures were held against the log's own register only. */
  get isSelfVouched(): boolean {
    return this.#trusted === null
  }

  /** In the order of the log. */
  entry(index: number, record: ReadRecord): void {
    if (record.type === 'audit.identity.added') this.#add(record)
    else if (record.type === 'audit.identity.revoked') this.#revoke(record)
    else if (typeof record.decision?.signature === 'string') this.#check(index, record, record.decision.signature)
    else if (record.decision?.method === 'key') this.#refuse(index, 'says that it is signed, and is not')
  }

  #add({ audit }: ReadRecord): void {
    const { name, vkey } = audit ?? {}
    if (typeof name !== 'string' || typeof vkey !== 'string') return
    try {
      const key = parseVkey(vkey)
      if (key.name === name) this.#registered.set(name, { key, isRevoked: false })
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      // A register entry that names no key vouches for no signature.
    }
  }

  #revoke({ audit }: ReadRecord): void {
    const known = typeof audit?.name === 'string' ? this.#registered.get(audit.name) : undefined
    if (known) known.isRevoked = true
  }

  #check(index: number, record: ReadRecord, signature: string): void {
    const name = record.actor.id
    const registered = this.#registered.get(name)
    const fault = registered?.isRevoked
      ? 'that was revoked before'
      : registered || this.#isPartial()
        ? null
        : 'that the log does not know'
    if (fault !== null) {
      this.#findings.add('signer_unknown', `entry ${index} is signed by an identity ${fault}`, { index })
      return
    }
    const key = this.#trusted ? this.#trusted.get(name) : registered?.key
    if (!key) {
      this.unknown++
      return
    }
    try {
      openNote(`${decisionStatement(this.#origin, record)}\n${signature}`, [key])
      this.checked++
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#refuse(index, 'is not signed by the one whom it names')
    }
  }

  #refuse(index: number, why: string): void {
    this.#findings.add('signature_invalid', `entry ${index} ${why}`, { index })
  }
}
