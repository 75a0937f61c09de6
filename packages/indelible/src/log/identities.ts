/** Persons under pseudonyms: random tokens in the entry, the mapping in the vault, so that erasing a person unlinks them. */
import type { PartInput, PreparedEvent } from '../record/event.ts'

/** `person` covers actors and those they act for: one person has one token. */
export type PseudonymKind = 'person' | 'session'

/** Where the mapping is kept. */
export interface PseudonymVault {
  /** The token of an identifier, made if there is none yet. */
  pseudonym(kind: PseudonymKind, id: string): string
  /** Whether `text` is a token of this vault: it stands for somebody already. */
  isPseudonym(text: string): boolean
}

export class Identities {
  readonly #vault: PseudonymVault
  readonly #members: ReadonlySet<string>

  /** @param members which are recorded as tokens: `actor`, `on_behalf_of`, `session` */
  constructor(vault: PseudonymVault, members: Iterable<string>) {
    this.#vault = vault
    this.#members = new Set(members)
  }

  /**
   * Puts tokens in the place of identifiers. Only users are persons: an agent, a service or a system keeps its id. A user's
   * name moves to the part `actor.name`, where the privacy policy decides about it.
   */
  pseudonymize(event: PreparedEvent): PreparedEvent {
    const { actor, session } = event.members
    const members = { ...event.members }
    const parts = new Map<string, PartInput>(event.parts)
    if (this.#members.has('actor') && actor.type === 'user') {
      const { name, ...rest } = actor
      members.actor = { ...rest, id: this.#token('person', actor.id) }
      if (name !== undefined) parts.set(parts.has('actor.name') ? 'actor.name.moved' : 'actor.name', { value: name })
    }
    if (this.#members.has('on_behalf_of') && actor.on_behalf_of !== undefined) {
      members.actor = { ...members.actor, on_behalf_of: this.#token('person', actor.on_behalf_of) }
    }
    if (this.#members.has('session') && session !== undefined) members.session = this.#token('session', session)
    return { ...event, members, parts }
  }

  #token(kind: PseudonymKind, id: string): string {
    return this.#vault.isPseudonym(id) ? id : this.#vault.pseudonym(kind, id)
  }
}
