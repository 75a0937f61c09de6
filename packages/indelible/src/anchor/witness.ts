/**
 * Witnesses as an anchor (C2SP tlog-witness): each checks that the log has only grown, and cosigns. Enough of them, by the
 * quorum of a C2SP policy, make a receipt. A witness that the log's operator runs is not independent of him.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import type { AnchorConfig } from '../config/anchors-section.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { checkQuorum, parseWitnessPolicy, type WitnessPolicy } from '../note/policy.ts'
import { openNote, parseNote, parseVkey, SIGNATURE_COSIGNATURE } from '../note/signed-note.ts'
import { quote } from '../note/text.ts'
import type { Voucher } from '../verify/anchors.ts'
import { type QuorumOptions, QuorumVerifier, vouchedBy } from '../verify/quorum.ts'
import type { AnchorTrust } from '../verify/trust.ts'
import type { Anchor, AnchorKind, AnchorResult, AnchorTask, AnchorUse } from './anchor.ts'
import { parseOptions } from './options.ts'
import { readBody, reasonOf, WitnessClient } from './witness-client.ts'

const httpUrl = z.url({ protocol: /^https?$/, error: 'expected an http or https URL' })

const optionsSchema = z.strictObject({
  /** C2SP policy with witnesses that have URLs, and a quorum; a path. */
  policy: z.string().min(1).optional(),
  /** Or a single witness. */
  url: httpUrl.optional(),
  vkey: z.string().optional(),
})

const trustSchema = z.strictObject({
  policy: z.string().min(1).optional(),
  vkey: z.string().optional(),
  url: httpUrl.optional(),
  /** Whether they are asked what they have cosigned last. */
  ask: z.boolean().default(false),
})

const failure = (config: AnchorConfig) => (message: string) =>
  new IndelibleError('ERR_CONFIG_INVALID', `anchor ${quote(config.name)}: ${message}`)

function policyOf(config: AnchorConfig, directory: string): WitnessPolicy {
  const fail = failure(config)
  return readPolicy(parseOptions(optionsSchema, config.options, fail), directory, fail)
}

export const witnessKind: AnchorKind = {
  kind: 'witness',
  async open(config, use) {
    const fail = failure(config)
    const policy = policyOf(config, use.directory)
    if (policy.quorum === 'none') throw fail('the policy asks for no witness (quorum none)')
    return new WitnessAnchor(config, policy, use, fail)
  },
  policy: policyOf,
  async verifier(trust: AnchorTrust, use: AnchorUse) {
    const fail = (message: string) =>
      new IndelibleError('ERR_POLICY_INVALID', `anchor ${quote(trust.name)}: ${message}`)
    const { ask, ...options } = parseOptions(trustSchema, trust.options, fail)
    const policy = readPolicy(options, use.directory, fail)
    const { name, required, max_age: maxAgeSeconds } = trust
    return quorumVerifier(policy, { name, required, maxAgeSeconds }, ask ? use : null)
  },
}

/**
 * Judges by the quorum of `policy`.
 * @param use given if its witnesses are to be asked; those without a URL are not
 */
export function quorumVerifier(policy: WitnessPolicy, options: QuorumOptions, use: AnchorUse | null): QuorumVerifier {
  return use ? new AskingVerifier(policy, options, use) : new QuorumVerifier(policy, options)
}

class WitnessAnchor implements Anchor {
  readonly kind = 'witness'
  readonly name: string
  readonly #policy: WitnessPolicy
  readonly #clients: readonly WitnessClient[]

  constructor(config: AnchorConfig, policy: WitnessPolicy, use: AnchorUse, fail: (message: string) => IndelibleError) {
    this.name = config.name
    this.#policy = policy
    this.#clients = [...policy.witnesses].flatMap(([name, { key, url }]) =>
      url === undefined ? [] : [new WitnessClient({ name, key, url: checkUrl(url, fail), fetch: use.fetch })],
    )
    if (this.#clients.length === 0) throw fail('no witness of the policy has a URL')
  }

  async anchor({ checkpoint, tree, previous, signal }: AnchorTask): Promise<AnchorResult> {
    const known = previous ? (vouchedBy(this.#policy, previous.checkpoint)?.by ?? []) : []
    const answers = await Promise.allSettled(
      this.#clients.map((client) =>
        client.cosign(checkpoint, tree, known.includes(client.name) ? previous!.size : 0, signal),
      ),
    )
    const failures: IndelibleError[] = []
    let note = checkpoint.note
    for (const answer of answers) {
      if (answer.status === 'fulfilled') note += answer.value
      else if (isIndelibleError(answer.reason)) failures.push(answer.reason)
      else throw answer.reason
    }
    if (note === checkpoint.note) throw worst(failures, '')
    const keys = Array.from(this.#policy.witnesses.values(), ({ key }) => key)
    try {
      checkQuorum(this.#policy, openNote(note, keys))
    } catch (error) {
      if (!isIndelibleError(error, 'ERR_NOTE_UNVERIFIED')) throw error
      throw worst(failures, `${error.message}. `)
    }
    return { note, warnings: failures.map(({ code, message }) => `${message} (${code})`) }
  }
}

/** What the log lied about outweighs a refusal, and that outweighs what the next attempt may mend. */
const GRAVITY = ['ERR_SPLIT_VIEW', 'ERR_ROLLED_BACK', 'ERR_ANCHOR_REFUSED'] as const

function worst(failures: readonly IndelibleError[], before: string): IndelibleError {
  const code = GRAVITY.find((one) => failures.some((failure) => failure.code === one)) ?? 'ERR_ANCHOR_FAILED'
  const message = failures.map(({ message }) => message).join('; ')
  return new IndelibleError(code, `${before}${message}`, { cause: failures.find((failure) => failure.code === code) })
}

/** C2SP tlog-witness, "Retrieving checkpoints": what a witness has cosigned last is there for everybody. */
class AskingVerifier extends QuorumVerifier {
  readonly #use: AnchorUse

  constructor(policy: WitnessPolicy, options: QuorumOptions, use: AnchorUse) {
    super(policy, options)
    this.#use = use
  }

  async ask(origin: string): Promise<Voucher[]> {
    const asked = [...this.policy.witnesses].filter(([, { url }]) => url !== undefined)
    const notes = await Promise.all(asked.map(([name, { url }]) => this.#latest(name, url!, origin)))
    // Of equal texts the cosignatures add up: each witness has only its own.
    const byText = new Map<string, Set<string>>()
    for (const note of notes) {
      if (note === null) continue
      const end = note.lastIndexOf('\n\n') + 2
      const lines = byText.get(note.slice(0, end)) ?? new Set<string>()
      byText.set(note.slice(0, end), lines)
      for (const line of note.slice(end, -1).split('\n')) lines.add(line)
    }
    return [...byText].flatMap(([text, lines]) => {
      const voucher = vouchedBy(this.policy, `${text}${[...lines].map((line) => `${line}\n`).join('')}`)
      return voucher ? [voucher] : []
    })
  }

  /** `null` if this witness has not seen the log. */
  async #latest(name: string, url: string, origin: string): Promise<string | null> {
    const id = createHash('sha256').update(origin).digest('hex')
    const signal = AbortSignal.timeout(ASK_MS)
    const failed = (what: string, options?: ErrorOptions) =>
      new IndelibleError('ERR_ANCHOR_FAILED', `witness ${quote(name)} ${what}`, options)
    let status: number
    let note: string
    try {
      const response = await this.#use.fetch(`${url.replace(/\/+$/, '')}/${id}/checkpoint`, {
        redirect: 'error',
        signal,
      })
      ;[status, note] = [response.status, await readBody(response, MAX_CHECKPOINT)]
    } catch (cause) {
      throw isIndelibleError(cause) ? failed(cause.message) : failed(reasonOf(cause, signal), { cause })
    }
    if (status === 404) return null
    if (status !== 200) throw failed(`answers ${status}`)
    try {
      if (parseCheckpoint(parseNote(note).text).origin !== origin) throw failed('answers with another log’s checkpoint')
    } catch (cause) {
      if (isIndelibleError(cause, 'ERR_ANCHOR_FAILED')) throw cause
      throw failed('answers with what is no checkpoint', { cause })
    }
    return note
  }
}

/** How long a witness may take to say what it has seen, ms. */
const ASK_MS = 15_000

/** Longest checkpoint that a witness may answer with, bytes. */
const MAX_CHECKPOINT = 2 ** 20

interface PolicyOptions {
  readonly policy?: string | undefined
  readonly vkey?: string | undefined
  readonly url?: string | undefined
}

function readPolicy(
  options: PolicyOptions,
  directory: string,
  fail: (message: string) => IndelibleError,
): WitnessPolicy {
  const { policy, vkey, url } = options
  if ((policy === undefined) === (vkey === undefined) || (policy !== undefined && url !== undefined)) {
    throw fail('expected the option policy, or url and vkey of one witness')
  }
  if (policy !== undefined) {
    try {
      return parseWitnessPolicy(readFileSync(resolve(directory, policy), 'utf8'))
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      throw fail(`policy ${policy}: ${error.message}`)
    }
  }
  const key = parseVkey(vkey!)
  if (key.type !== SIGNATURE_COSIGNATURE) throw fail('vkey is not that of a cosignature')
  const party = url === undefined ? { key } : { key, url }
  // A policy gives the word another meaning.
  const name = key.name === 'none' ? 'witness' : key.name
  return { logs: [], witnesses: new Map([[name, party]]), groups: new Map(), quorum: name }
}

function checkUrl(url: string, fail: (message: string) => IndelibleError): string {
  if (!httpUrl.safeParse(url).success) throw fail('a witness of the policy has no http or https URL')
  return url
}
