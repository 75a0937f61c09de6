/**
 * Trust files (`indelible/trust@1`): what a verifier demands beside the keys. Logs, witnesses, groups and the quorum stand in
 * a C2SP policy of its own, which other tools read too; the trust file names it.
 *
 *     { "format": "indelible/trust@1", "policy": "log.policy", "max_age": "1d",
 *       "anchors": [{ "name": "tsa", "kind": "rfc3161", "max_age": "7d", "options": {…} }],
 *       "mac": { "id": "…" } }
 *
 * This module reads the text. Opening the files and anchors that it names is for whoever has a file system.
 */
import { z } from 'zod'
import { IndelibleError } from '../errors.ts'
import { quote } from '../note/text.ts'
import { parseJson } from '../record/jcs.ts'

export const TRUST_FORMAT = 'indelible/trust@1'

/** As in the configuration of a log: `30s`, `15m`, `1h`, `7d`. */
const duration = z
  .string()
  .regex(/^[1-9][0-9]{0,6}(s|m|h|d)$/, 'expected a duration such as 30s, 15m, 1h or 7d')
  .transform((text) => Number(text.slice(0, -1)) * { s: 1, m: 60, h: 3600, d: 86_400 }[text.slice(-1) as 's'])

const anchorTrustSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'expected up to 64 of a-z, 0-9, _ and -'),
  kind: z.string().min(1),
  /** Whether a log without it does not verify. */
  required: z.boolean().default(true),
  /** The newest voucher must not be older, by the anchor's clock; seconds. */
  max_age: duration.optional(),
  /** Those of the kind: whose signatures count, where to ask. */
  options: z.record(z.string(), z.unknown()).default({}),
})

/** What a trust file says of one anchor. */
export type AnchorTrust = z.infer<typeof anchorTrustSchema>

const approversSchema = z
  .strictObject({
    keys: z.array(z.string()).min(1),
    quorum: z.number().int().min(1),
    /** Size and root (base64) of the log when they were adopted: a line of its checkpoint each. */
    since: z
      .strictObject({ size: z.number().int().positive(), root: z.string().regex(/^[A-Za-z0-9+/]{43}=$/) })
      .optional(),
  })
  .refine(({ keys, quorum }) => quorum <= new Set(keys).size, 'quorum is larger than the number of keys')

const trustSchema = z.strictObject({
  format: z.literal(TRUST_FORMAT),
  /** Path of the C2SP policy, relative to the trust file. */
  policy: z.string().min(1),
  /** Which of the policy's logs is meant, if it names several. */
  origin: z.string().min(1).optional(),
  /** The quorum's cosignatures must not be older; seconds. Without it, any age will do. */
  max_age: duration.optional(),
  /** Whether the witnesses of the policy that have a URL are asked what they saw last. */
  ask: z.boolean().default(false),
  anchors: z
    .array(anchorTrustSchema)
    .default([])
    .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'two anchors have one name')
    .refine((list) => list.every(({ name }) => name !== 'quorum'), 'quorum is the name of the policy’s own anchor'),
  mac: z
    .strictObject({
      /** Id of the mac key that the log was opened with, as `keys show` prints it. */
      id: z
        .string()
        .regex(/^[A-Za-z0-9_-]{43}$/)
        .optional(),
      /** Epochs whose macs count as evidence: outside, the key is known to others. */
      epochs: z
        .strictObject({
          from: z.number().int().nonnegative().optional(),
          to: z.number().int().nonnegative().optional(),
        })
        .optional(),
    })
    .optional(),
  /** People whose signatures on decisions count, as vkeys; without, the log's own register names them. */
  people: z.array(z.string()).min(1).optional(),
  /** People of whom so many must have signed each purge; of several, each purge is judged by those adopted last before it. */
  approvers: z
    .union([approversSchema.transform((one) => [one]), z.array(approversSchema).min(1)])
    .refine(
      (list) => new Set(list.map(({ since }) => since?.size ?? 0)).size === list.length,
      'two were adopted at one size',
    )
    .optional(),
})

export type TrustFile = z.infer<typeof trustSchema>

/** Whether a file's text is a trust file rather than a policy or a list of vkeys. */
export function isTrustFile(text: string): boolean {
  return /^\s*\{/.test(text)
}

/** @throws IndelibleError `ERR_POLICY_INVALID`, naming the member */
export function parseTrustFile(text: string): TrustFile {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (cause) {
    throw new IndelibleError('ERR_POLICY_INVALID', 'trust file is not JSON', { cause })
  }
  const parsed = trustSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const keys = issue!.code === 'unrecognized_keys' ? `: ${issue!.keys.map(quote).join(', ')}` : ''
  const where = issue!.path.length > 0 ? `${issue!.path.join('.')}: ` : ''
  throw new IndelibleError('ERR_POLICY_INVALID', `trust file: ${where}${issue!.message}${keys}`)
}
