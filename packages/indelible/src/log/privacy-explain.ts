/** What the privacy policy of a home would make of an event, and why. Records nothing and makes nothing. */
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/config.ts'
import { readFingerprintKey } from '../keys/file-keys.ts'
import { redactMembers } from '../privacy/members.ts'
import { parseDisclosure } from '../record/disclosure.ts'
import { type Mode, prepareEvent } from '../record/event.ts'
import { newId } from '../record/id.ts'
import { canonicalize, type Json } from '../record/jcs.ts'
import { keysDirectory } from './home-paths.ts'
import { Identities } from './identities.ts'
import { privacyPolicy } from './privacy-home.ts'

export interface ExplainedPart {
  readonly part: string
  readonly mode: Mode
  /** Where in the configuration that stands: `privacy.rules[0]`, `privacy.parts.output`, `privacy.mode`. */
  readonly by: string
  readonly rule?: unknown
  /** Nothing would be kept, because the redactor fails on it. */
  readonly withheld?: true
  readonly value: Json
  readonly meta: Readonly<Record<string, Json | undefined>>
}

export interface ExplainedEvent {
  readonly parts: readonly ExplainedPart[]
  /** Members of the entry that would not stand there as they were handed in. */
  readonly members: Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>
}

/** Stands for a pseudonym: explaining must not make one. */
const TOKEN = 'p_…'

/** @throws IndelibleError `ERR_EVENT_INVALID`, `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID`, `ERR_KEY_…` */
export async function explainEvent(home: string, event: unknown): Promise<ExplainedEvent> {
  const config = loadConfig(home)
  const keys = { origin: config.log.origin, fingerprint: readFingerprintKey(keysDirectory(home, config)) }
  const { privacy } = await privacyPolicy(home, config, keys)
  const before = prepareEvent(event, 'reported')
  const { members, parts } = pseudonymized(prepareEvent(event, 'reported'), config)
  const id = members.id ?? newId(Date.now())
  const subject = { ...members }
  if (privacy.redactor) await redactMembers(members, privacy.redactor)
  const explained: ExplainedPart[] = []
  for (const [name, part] of parts) {
    const { mode, by } = privacy.decide(subject, name)
    const kept = await privacy.keep(id, name, part, subject)
    const { value, meta } = parseDisclosure(kept.disclosure)
    const at = /^privacy\.rules\[([0-9]+)\]$/.exec(by)?.[1]
    explained.push({
      part: name,
      mode: kept.withheld ? mode : kept.mode,
      by,
      ...(at !== undefined && { rule: config.privacy.rules[Number(at)] }),
      ...(kept.withheld && { withheld: true }),
      value,
      meta,
    })
  }
  return { parts: explained, members: changes(before.members, members) }
}

function pseudonymized(event: ReturnType<typeof prepareEvent>, { privacy }: Config): ReturnType<typeof prepareEvent> {
  const vault = { pseudonym: () => TOKEN, isPseudonym: () => false }
  return new Identities(vault, privacy.pseudonyms).pseudonymize(event)
}

function changes(before: object, after: object): ExplainedEvent['members'] {
  const [from, to] = [flat(before), flat(after)]
  const names = [...new Set([...from.keys(), ...to.keys()])]
  const changed = names.filter((name) => canonicalize(from.get(name) ?? null) !== canonicalize(to.get(name) ?? null))
  return Object.fromEntries(changed.map((name) => [name, { from: from.get(name) ?? null, to: to.get(name) ?? null }]))
}

/** One level deep: `actor.id`, `attributes.note`. */
function flat(members: object): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const [name, value] of Object.entries(members)) {
    if (typeof value !== 'object' || value === null) found.set(name, value)
    else for (const [inner, one] of Object.entries(value)) found.set(`${name}.${inner}`, one)
  }
  return found
}
