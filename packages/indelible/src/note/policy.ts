/**
 * Trust policies (C2SP tlog-policy, draft of July 2026): which logs, which witnesses, and how many of whom make a quorum.
 *
 *     log <vkey> [<url>]
 *     witness <name> <vkey> [<url>]
 *     group <name> <k|any|all> <member>...
 *     quorum <name|none>
 */
import { isEqual, toHex } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { parseCosignature } from './cosignature.ts'
import { formatVkey, type OpenedNote, parseVkey, SIGNATURE_COSIGNATURE, type VerifierKey } from './signed-note.ts'
import { quote } from './text.ts'

/** A log or a witness. */
export interface PolicyParty {
  readonly key: VerifierKey
  /** Where to reach it, as the file has it. */
  readonly url?: string
}

/** Counts as having witnessed what at least `threshold` of its members have. */
export interface PolicyGroup {
  readonly threshold: number
  /** Witnesses, and groups defined before this one. */
  readonly members: readonly string[]
}

/** A policy as {@link parseWitnessPolicy} gives it. Names mean something within one policy only. */
export interface WitnessPolicy {
  readonly logs: readonly PolicyParty[]
  readonly witnesses: ReadonlyMap<string, PolicyParty>
  /** In the order of definition. */
  readonly groups: ReadonlyMap<string, PolicyGroup>
  /** Name of a witness or a group, or `none` if no cosignature is asked for. */
  readonly quorum: string
}

/** A witness of the policy whose cosignature verified. */
export interface Cosigner {
  /** Its name in the policy. */
  readonly witness: string
  readonly key: VerifierKey
  /** POSIX seconds, by the witness's clock. */
  readonly timestamp: number
}

const MAX_LENGTH = 2 ** 18

/**
 * Reads a policy file, whole or not at all. A log's key is Ed25519 or ECDSA, a witness's that of a cosignature. Stricter than
 * the specification in one thing: a log and a witness may not share a public key, or the log would witness itself.
 *
 * @param text lines that end in LF, parted into words by spaces and tabs; at most 2^18 characters
 * @throws IndelibleError `ERR_POLICY_INVALID`, naming the line
 */
export function parseWitnessPolicy(text: string): WitnessPolicy {
  if (text.length > MAX_LENGTH)
    throw new IndelibleError('ERR_POLICY_INVALID', `policy of over ${MAX_LENGTH} characters`)
  const reader = new PolicyReader()
  const lines = text.split('\n')
  // A cut-off last line can have another meaning than the whole one, so the final LF is required.
  if (lines.pop() !== '') throw new IndelibleError('ERR_POLICY_INVALID', 'policy has no newline at the end')
  for (const line of lines) reader.read(line)
  return reader.finish()
}

/** The policy as a file that {@link parseWitnessPolicy} reads. Throws `ERR_POLICY_INVALID` if there is none. */
export function formatWitnessPolicy(policy: WitnessPolicy): string {
  const lines = [
    ...policy.logs.map(({ key, url }) => ['log', formatVkey(key), url]),
    ...Array.from(policy.witnesses, ([name, { key, url }]) => ['witness', name, formatVkey(key), url]),
    ...Array.from(policy.groups, ([name, group]) => ['group', name, String(group.threshold), ...group.members]),
    ['quorum', policy.quorum],
  ]
  const text = lines.map(formatLine).join('')
  parseWitnessPolicy(text)
  return text
}

function formatLine(words: readonly (string | undefined)[]): string {
  const present = words.filter((word) => word !== undefined)
  // A name with a line break in it would otherwise write a line of its own.
  if (present.some((word) => word === '' || /[ \t\n]/.test(word))) {
    throw new IndelibleError('ERR_POLICY_INVALID', `${words[0]} line: a name or URL is empty or has white space`)
  }
  return `${present.join(' ')}\n`
}

/** The keys whose signatures count on a checkpoint of `origin`: the policy's logs whose key has that name, and its witnesses. */
export function policyKeys(policy: WitnessPolicy, origin: string): VerifierKey[] {
  const parties = [...policy.logs.filter((log) => log.key.name === origin), ...policy.witnesses.values()]
  return parties.map((party) => party.key)
}

/**
 * Checks that enough witnesses cosigned. Whether the log signed is `openCheckpoint`'s to say.
 *
 * @param opened from `openNote` or `openCheckpoint`, with the witnesses' keys among those given
 * @returns every witness of the policy that cosigned, needed or not, in the policy's order
 * @throws IndelibleError `ERR_NOTE_UNVERIFIED` if they are no quorum; the message counts who is missing
 */
export function checkQuorum(policy: WitnessPolicy, opened: OpenedNote): Cosigner[] {
  const cosigners: Cosigner[] = []
  const present = new Set<string>()
  for (const [witness, { key }] of policy.witnesses) {
    const found = opened.verified.find((verified) => isSameKey(verified.key, key))
    if (found === undefined) continue
    cosigners.push({ witness, key, timestamp: parseCosignature(found.signature).timestamp })
    present.add(witness)
  }
  // One pass, no recursion: a group's members are defined before it.
  for (const [name, group] of policy.groups) if (countMembers(group, present) >= group.threshold) present.add(name)
  if (policy.quorum === 'none' || present.has(policy.quorum)) return cosigners
  throw new IndelibleError('ERR_NOTE_UNVERIFIED', `no quorum: ${describeMissing(policy, present)}`)
}

const countMembers = (group: PolicyGroup, present: ReadonlySet<string>) =>
  group.members.filter((member) => present.has(member)).length

function isSameKey(a: VerifierKey, b: VerifierKey): boolean {
  return a.type === b.type && a.name === b.name && isEqual(a.publicKey, b.publicKey)
}

function describeMissing(policy: WitnessPolicy, present: ReadonlySet<string>): string {
  const groups: string[] = []
  const witnesses: string[] = []
  const missing = [policy.quorum]
  // Grows on the way: an unmet group names its missing members.
  for (const name of missing) {
    const group = policy.groups.get(name)
    if (group === undefined) {
      witnesses.push(quote(name))
    } else {
      groups.push(`group ${quote(name)} has ${countMembers(group, present)} of ${group.threshold}`)
      for (const member of group.members) if (!present.has(member)) missing.push(member)
    }
  }
  return [...groups, `no cosignature by ${witnesses.join(', ')}`].join('; ')
}

/** Takes a policy's lines one by one. */
class PolicyReader {
  readonly #logs: PolicyParty[] = []
  readonly #witnesses = new Map<string, PolicyParty>()
  readonly #groups = new Map<string, PolicyGroup>()
  readonly #publicKeys = new Set<string>()
  readonly #members = new Set<string>()
  #quorum: string | undefined
  #line = 0

  read(line: string): void {
    this.#line++
    if (!line.isWellFormed()) throw this.#fault('a lone surrogate')
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) throw this.#fault('a control character')
    // Spaces and tabs only: what else Unicode calls a space is part of a name here.
    const [keyword, ...words] = line.split(/[ \t]+/).filter((word) => word !== '')
    if (keyword === undefined || keyword.startsWith('#')) return
    if (keyword === 'log') this.#log(words)
    else if (keyword === 'witness') this.#witness(words)
    else if (keyword === 'group') this.#group(words)
    else if (keyword === 'quorum') this.#setQuorum(words)
    else throw this.#fault('begins with none of log, witness, group, quorum')
  }

  finish(): WitnessPolicy {
    if (this.#quorum === undefined) throw new IndelibleError('ERR_POLICY_INVALID', 'policy has no quorum line')
    return { logs: this.#logs, witnesses: this.#witnesses, groups: this.#groups, quorum: this.#quorum }
  }

  #log(words: readonly string[]): void {
    const [vkey, url, ...more] = words
    if (vkey === undefined || more.length > 0) throw this.#fault('expected: log <vkey> [<url>]')
    const log = this.#party(vkey, url)
    if (log.key.type === SIGNATURE_COSIGNATURE) throw this.#fault('a log cannot have the key of a cosignature')
    this.#logs.push(log)
  }

  #witness(words: readonly string[]): void {
    const [name, vkey, url, ...more] = words
    if (name === undefined || vkey === undefined || more.length > 0) {
      throw this.#fault('expected: witness <name> <vkey> [<url>]')
    }
    const witness = this.#party(vkey, url)
    if (witness.key.type !== SIGNATURE_COSIGNATURE) throw this.#fault('a witness needs the key of a cosignature')
    this.#checkUndefined(name)
    this.#witnesses.set(name, witness)
  }

  #group(words: readonly string[]): void {
    const [name, count, ...members] = words
    if (name === undefined || count === undefined || members.length === 0) {
      throw this.#fault('expected: group <name> <k|any|all> <member>...')
    }
    const threshold = count === 'any' ? 1 : count === 'all' ? members.length : this.#threshold(count, members.length)
    this.#checkUndefined(name)
    for (const member of members) {
      this.#checkDefined(member)
      // Across all groups, so that no witness counts twice on any way to the quorum.
      if (this.#members.has(member)) throw this.#fault(`${quote(member)} is a member of a group already`)
      this.#members.add(member)
    }
    this.#groups.set(name, { threshold, members })
  }

  #setQuorum(words: readonly string[]): void {
    const [name, ...more] = words
    if (name === undefined || more.length > 0) throw this.#fault('expected: quorum <name|none>')
    if (this.#quorum !== undefined) throw this.#fault('a second quorum line')
    if (name !== 'none') this.#checkDefined(name)
    this.#quorum = name
  }

  #party(vkey: string, url: string | undefined): PolicyParty {
    const key = this.#key(vkey)
    const publicKey = toHex(key.publicKey)
    if (this.#publicKeys.has(publicKey)) throw this.#fault('the public key is that of an earlier log or witness')
    this.#publicKeys.add(publicKey)
    return url === undefined ? { key } : { key, url }
  }

  #isDefined(name: string): boolean {
    return this.#witnesses.has(name) || this.#groups.has(name)
  }

  #checkDefined(name: string): void {
    if (!this.#isDefined(name)) throw this.#fault(`${quote(name)} is not defined on an earlier line`)
  }

  #checkUndefined(name: string): void {
    if (name === 'none' || this.#isDefined(name)) throw this.#fault(`the name ${quote(name)} is taken`)
  }

  #key(vkey: string): VerifierKey {
    try {
      return parseVkey(vkey)
    } catch (error) {
      throw this.#fault(error instanceof IndelibleError ? error.message : 'not a verifier key', { cause: error })
    }
  }

  /** C2SP tlog-policy, "Defining a witness group": 1 ≤ k ≤ n, in decimal. */
  #threshold(text: string, members: number): number {
    const threshold = /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : 0
    if (threshold < 1 || threshold > members) throw this.#fault(`threshold is not any, all or a decimal to ${members}`)
    return threshold
  }

  #fault(message: string, options?: ErrorOptions): IndelibleError {
    return new IndelibleError('ERR_POLICY_INVALID', `line ${this.#line}: ${message}`, options)
  }
}
