/**
 * Whom a log knows: people with a key, and people with a token. The register is what `audit.identity.*` entries say, read back
 * with their proofs, so that whoever can write the database cannot make himself an approver.
 */
import { sha256 } from '#crypto'
import { isEqual, toBase64Url } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { checkIdentityName } from '../keys/identities.ts'
import type { Log, Receipt } from '../log/log.ts'
import { formatVkey, openNote, parseVkey, SIGNATURE_COSIGNATURE, type VerifierKey } from '../note/signed-note.ts'
import type { QueryEngine } from '../query/query.ts'
import { readStatements } from '../query/statements.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { decisionStatement } from '../record/statement.ts'

/** One person, as the log knows him. */
export interface Identity {
  readonly name: string
  /** `null` for one who shows a token. */
  readonly key: VerifierKey | null
  readonly tokenDigest: string | null
  /** Index of the entry that registered it. */
  readonly since: number
  /** Index of the entry that revoked it. */
  readonly revoked: number | null
}

export class IdentityRegister {
  readonly #log: Log
  readonly #query: QueryEngine
  /** What was read last, and how many entries the log had then: it stays true of those for ever. */
  #known: { readonly size: number; readonly history: ReadonlyMap<string, readonly Identity[]> } | null = null

  constructor(log: Log, query: QueryEngine) {
    this.#log = log
    this.#query = query
  }

  /** Everybody who was ever registered, by name; the last registration of a name counts. */
  async all(): Promise<Map<string, Identity>> {
    return new Map([...(await this.#history())].map(([name, registrations]) => [name, registrations.at(-1)!]))
  }

  /**
   * Registrations of each name, in the order of the log: one ends where the next begins.
   * @param upTo entries that must be taken into account. Default all that there are
   */
  async #history(upTo?: number): Promise<ReadonlyMap<string, readonly Identity[]>> {
    if (this.#known && upTo !== undefined && this.#known.size >= upTo) return this.#known.history
    // Before it is read: what comes meanwhile may be in it, and is read again next time.
    const size = (await this.#log.store.head())?.size ?? 0
    if (this.#known?.size === size) return this.#known.history
    const history = await this.#read()
    this.#known = { size, history }
    return history
  }

  async #read(): Promise<Map<string, Identity[]>> {
    const found = new Map<string, Identity[]>()
    for (const { index, record } of await readStatements(this.#log, this.#query, 'audit.identity.')) {
      const { type, audit } = record
      const name = String(audit?.name)
      if (type === 'audit.identity.added') {
        const key = typeof audit?.vkey === 'string' ? parseVkey(audit.vkey) : null
        const tokenDigest = typeof audit?.token_digest === 'string' ? audit.token_digest : null
        const before = found.get(name) ?? []
        found.set(name, [...before, { name, key, tokenDigest, since: index, revoked: null }])
      } else {
        const known = found.get(name)
        if (known) found.set(name, known.with(-1, { ...known.at(-1)!, revoked: index }))
      }
    }
    return found
  }

  /** @throws IndelibleError `ERR_IDENTITY_UNKNOWN`, `ERR_IDENTITY_REVOKED` */
  async active(name: string): Promise<Identity> {
    const identity = (await this.all()).get(name)
    if (!identity) {
      throw new IndelibleError('ERR_IDENTITY_UNKNOWN', 'the log knows no such identity: register it with identity add')
    }
    if (identity.revoked !== null) {
      const message = `the identity was revoked with entry ${identity.revoked}`
      throw new IndelibleError('ERR_IDENTITY_REVOKED', message)
    }
    return identity
  }

  /**
   * Registers a person's key, or the digest of a token.
   * @throws IndelibleError `ERR_IDENTITY_INVALID` if the name, key or token is taken, or the key is of a kind that signs no decisions
   */
  async add(identity: { readonly vkey: string } | { readonly name: string; readonly token: string }): Promise<Receipt> {
    const audit: Record<string, string> = {}
    if ('vkey' in identity) {
      const key = parseVkey(identity.vkey)
      if (key.type === SIGNATURE_COSIGNATURE) {
        throw new IndelibleError('ERR_IDENTITY_INVALID', 'the key is that of a witness: it signs checkpoints only')
      }
      audit.name = key.name
      audit.vkey = formatVkey(key)
    } else {
      audit.name = identity.name
      audit.token_digest = digestToken(identity.token)
    }
    checkIdentityName(audit.name!)
    for (const known of (await this.all()).values()) {
      if (known.revoked !== null) continue
      if (known.name === audit.name) {
        throw new IndelibleError(
          'ERR_IDENTITY_INVALID',
          `the name is taken since entry ${known.since}: revoke it first`,
        )
      }
      // Two names for one key would be a quorum of one.
      if (isSameCredential(known, audit)) {
        const message = `the key or token is another identity's since entry ${known.since}: each person has their own`
        throw new IndelibleError('ERR_IDENTITY_INVALID', message)
      }
    }
    return this.#log.recordAudit('audit.identity.added', audit)
  }

  /** From the next entry on it decides nothing. Throws as {@link active}. */
  async revoke(name: string): Promise<Receipt> {
    const { since } = await this.active(name)
    return this.#log.recordAudit('audit.identity.revoked', { name, since })
  }

  /**
   * The one who holds `token`.
   * @throws IndelibleError `ERR_IDENTITY_UNKNOWN`, `ERR_IDENTITY_REVOKED`
   */
  async byToken(token: string): Promise<Identity> {
    // Digests of 256 random bits: that comparing them takes longer for a longer match helps nobody to guess one.
    const digest = digestToken(token)
    for (const identity of (await this.all()).values()) {
      if (identity.tokenDigest === digest) return this.active(identity.name)
    }
    throw new IndelibleError('ERR_IDENTITY_UNKNOWN', 'the log knows no such token')
  }

  /**
   * Whether a decision in the log is by whom it names, who counted when it was made.
   * @param upTo above `index`: of several decisions, the end of the last one, so that the register is read once for all
   * @throws IndelibleError `ERR_SIGNATURE_INVALID`, `ERR_IDENTITY_UNKNOWN`, `ERR_IDENTITY_REVOKED`
   */
  async checkDecision(index: number, record: ReadRecord, upTo = index): Promise<Identity> {
    const identity = (await this.#history(upTo)).get(record.actor.id)?.findLast(({ since }) => since < index)
    if (!identity) {
      throw new IndelibleError('ERR_IDENTITY_UNKNOWN', `entry ${index} is by nobody whom the log knows`)
    }
    if (identity.revoked !== null && identity.revoked < index) {
      throw new IndelibleError('ERR_IDENTITY_REVOKED', `entry ${index} is by an identity that was revoked before`)
    }
    const { method, signature } = record.decision ?? {}
    if (identity.key ? method !== 'key' || signature === undefined : method !== 'token') {
      throw new IndelibleError('ERR_SIGNATURE_INVALID', `entry ${index} was not decided as its identity decides`)
    }
    if (identity.key) checkSigned(this.#log.origin, record, signature!, identity.key)
    return identity
  }
}

/** @throws IndelibleError `ERR_SIGNATURE_INVALID` */
function checkSigned(origin: string, record: ReadRecord, signature: string, key: VerifierKey): void {
  try {
    openNote(`${decisionStatement(origin, record)}\n${signature}`, [key])
  } catch (cause) {
    throw new IndelibleError('ERR_SIGNATURE_INVALID', 'the decision is not signed by the one whom it names', { cause })
  }
}

/** An entry's record, of which it is proven that it is in the log that this signer signs. */
export async function provenRecord(log: Log, which: number | string): Promise<ReadRecord> {
  return parseEntry((await log.prove(which)).entry)
}

function isSameCredential({ key, tokenDigest }: Identity, audit: Readonly<Record<string, string>>): boolean {
  if (audit.vkey === undefined) return audit.token_digest === tokenDigest
  return key !== null && isEqual(key.publicKey, parseVkey(audit.vkey).publicKey)
}

function digestToken(token: string): string {
  return `sha256:${toBase64Url(sha256(`indelible/identity-token@1\n${token}`))}`
}
