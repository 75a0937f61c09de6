/** A verifier's trust policy, opened: the files that it names are read, and its anchors are ready to judge. */
import { dirname, resolve } from 'node:path'
import { fromBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { parseWitnessPolicy, type WitnessPolicy } from '../note/policy.ts'
import { parseVkey, type VerifierKey } from '../note/signed-note.ts'
import type { AnchorVerifier } from '../verify/anchors.ts'
import type { TrustPolicy } from '../verify/evidence.ts'
import type { PurgeApprovers } from '../verify/purge-approval.ts'
import { isTrustFile, parseTrustFile, type TrustFile } from '../verify/trust.ts'
import type { AnchorUse } from './anchor.ts'
import { openAnchorVerifier } from './kinds.ts'
import { quorumVerifier } from './witness.ts'

/** What a trust file, a C2SP policy or a list of vkeys says. */
export type Trust = Pick<
  TrustPolicy,
  'origin' | 'keys' | 'anchors' | 'macId' | 'macEpochs' | 'identities' | 'purgeApprovers'
>

export interface TrustSource {
  readonly path: string
  /** Reads a small text file; throws what its caller wants thrown. */
  readonly read: (path: string) => string
  /** Origin of the log at hand, to choose among several that a policy names. */
  readonly ownOrigin: () => string
  readonly use?: Partial<Pick<AnchorUse, 'env' | 'fetch' | 'clock'>>
}

/** Name of the anchor that the quorum of the policy makes. */
export const QUORUM = 'quorum'

/**
 * @throws IndelibleError `ERR_POLICY_INVALID`, `ERR_KEY_INVALID`, and what reading throws. Nothing is asked over the network
 */
export async function openTrust(source: TrustSource): Promise<Trust> {
  const text = source.read(source.path)
  if (isTrustFile(text)) return openTrustFile(text, source)
  if (!isPolicy(text)) return parseVkeys(text, source.path)
  const policy = parseWitnessPolicy(text)
  const keys = keysOf(policy, undefined, source.ownOrigin)
  return { ...keys, anchors: quorumOf(policy, {}, null) }
}

async function openTrustFile(text: string, source: TrustSource): Promise<Trust> {
  const file = parseTrustFile(text)
  const directory = dirname(source.path)
  const policy = parseWitnessPolicy(source.read(resolve(directory, file.policy)))
  const keys = keysOf(policy, file.origin, source.ownOrigin)
  const { env = process.env, fetch = globalThis.fetch, clock = Date.now } = source.use ?? {}
  const use = { directory, origin: keys.origin, env, fetch, clock }
  const anchors = quorumOf(policy, { maxAgeSeconds: file.max_age }, file.ask ? use : null)
  for (const trust of file.anchors) anchors.push(await openAnchorVerifier(trust, use))
  const { mac, people, approvers } = file
  return {
    ...keys,
    anchors,
    ...(mac?.id !== undefined && { macId: mac.id }),
    ...(mac?.epochs !== undefined && { macEpochs: mac.epochs }),
    ...(people && { identities: people.map(parseVkey) }),
    ...(approvers && { purgeApprovers: approvers.map(approversOf) }),
  }
}

function approversOf({ keys, quorum, since }: NonNullable<TrustFile['approvers']>[number]): PurgeApprovers {
  return { keys: keys.map(parseVkey), quorum, ...(since && { since: { ...since, root: fromBase64(since.root) } }) }
}

function quorumOf(
  policy: WitnessPolicy,
  options: { maxAgeSeconds?: number | undefined },
  use: AnchorUse | null,
): AnchorVerifier[] {
  if (policy.witnesses.size === 0) return []
  return [quorumVerifier(policy, { name: QUORUM, required: policy.quorum !== 'none', ...options }, use)]
}

function keysOf(
  { logs }: WitnessPolicy,
  wanted: string | undefined,
  ownOrigin: () => string,
): Pick<Trust, 'origin' | 'keys'> {
  const origins = new Set(logs.map(({ key }) => key.name))
  if (origins.size === 0) throw new IndelibleError('ERR_POLICY_INVALID', 'policy has no log line')
  const origin = wanted ?? (origins.size === 1 ? logs[0]!.key.name : ownOrigin())
  if (!origins.has(origin)) throw new IndelibleError('ERR_POLICY_INVALID', `policy names no log ${origin}`)
  return { origin, keys: logs.map(({ key }) => key).filter(({ name }) => name === origin) }
}

/** One vkey a line, of one log: after a rotation an old proof needs the old key. Throws `ERR_KEY_INVALID`. */
export function parseVkeys(text: string, where: string): { origin: string; keys: VerifierKey[] } {
  const lines = text.split('\n').map((line) => line.trim())
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#')).map(parseVkey)
  const [first] = keys
  if (!first) throw new IndelibleError('ERR_KEY_INVALID', `${where} has no key`)
  const other = keys.find(({ name }) => name !== first.name)
  if (other) throw new IndelibleError('ERR_KEY_INVALID', `${where} has keys of two logs: ${first.name}, ${other.name}`)
  return { origin: first.name, keys }
}

function isPolicy(text: string): boolean {
  return /^[ \t]*(log|witness|group|quorum)[ \t]/m.test(text)
}
