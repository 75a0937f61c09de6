/** Kinds of anchors by name. A new one is a file beside the others and a line here. */
import type { AnchorConfig } from '../config/anchors-section.ts'
import { IndelibleError } from '../errors.ts'
import type { WitnessPolicy } from '../note/policy.ts'
import { quote } from '../note/text.ts'
import type { AnchorVerifier } from '../verify/anchors.ts'
import type { AnchorTrust } from '../verify/trust.ts'
import type { Anchor, AnchorKind, AnchorUse } from './anchor.ts'

interface KnownKind {
  /** For people, with the options it takes. */
  readonly summary: string
  /** Loaded when it is asked for: most logs use one or two. */
  load(): Promise<AnchorKind>
}

const KINDS: Readonly<Record<string, KnownKind>> = {
  witness: {
    summary: 'C2SP tlog-witness servers cosign: policy=FILE, or url=URL and vkey=VKEY of a single one',
    load: async () => (await import('./witness.ts')).witnessKind,
  },
  rfc3161: {
    summary: 'a timestamp authority signs when: url=URL, certificates=PEM FILE, policy=OID',
    load: async () => (await import('./rfc3161.ts')).rfc3161Kind,
  },
  folder: {
    summary: 'copies of checkpoints and tiles in a folder, each file made once: path=FOLDER, entries=true',
    load: async () => (await import('./folder-copy.ts')).folderKind,
  },
  s3: {
    summary:
      'the same in S3, under Object Lock: endpoint=URL, bucket=NAME, region, prefix, lock=compliance, retain=365d, entries=true',
    load: async () => (await import('./s3-copy.ts')).s3Kind,
  },
}

/** Every kind with what it does, for help. */
export function anchorKinds(): { readonly kind: string; readonly summary: string }[] {
  return Object.entries(KINDS).map(([kind, { summary }]) => ({ kind, summary }))
}

/** @throws IndelibleError `ERR_CONFIG_INVALID`, and as {@link AnchorKind.open} */
export async function openAnchor(config: AnchorConfig, use: AnchorUse): Promise<Anchor> {
  const kind = await find(config.kind)
  if (!kind) throw new IndelibleError('ERR_CONFIG_INVALID', `anchor ${quote(config.name)}: ${unknownKind(config.kind)}`)
  return kind.open(config, use)
}

/** @throws IndelibleError `ERR_POLICY_INVALID`, and as {@link AnchorKind.verifier} */
export async function openAnchorVerifier(trust: AnchorTrust, use: AnchorUse): Promise<AnchorVerifier> {
  const kind = await find(trust.kind)
  if (!kind) throw new IndelibleError('ERR_POLICY_INVALID', `anchor ${quote(trust.name)}: ${unknownKind(trust.kind)}`)
  return kind.verifier(trust, use)
}

/** The witnesses that an anchor asks; `null` if it is of a kind without. Throws as {@link openAnchor}. */
export async function anchorPolicy(config: AnchorConfig, directory: string): Promise<WitnessPolicy | null> {
  return (await find(config.kind))?.policy?.(config, directory) ?? null
}

async function find(kind: string): Promise<AnchorKind | null> {
  return Object.hasOwn(KINDS, kind) ? KINDS[kind]!.load() : null
}

function unknownKind(kind: string): string {
  return `kind ${quote(kind)} is none of ${Object.keys(KINDS).join(', ')}`
}
