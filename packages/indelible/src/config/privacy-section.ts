/** Section `privacy`: what is kept of the parts of an event, and how it is protected. */
import { z } from 'zod'
import { DEFAULT_PREVIEW_CHARS, parseMode } from '../privacy/modes.ts'
import { PACK_NAMES } from '../privacy/redaction/rule.ts'
import { findRuleFaults } from '../privacy/rules.ts'
import { MODES, PART_NAME } from '../record/schema.ts'
import { erasureKey, subjectsKey } from './erasure-section.ts'

/** What a replacement shows. */
const KIND_NAME = /^[A-Z][A-Z0-9_]{0,63}$/

/** Members of an event that identify a person, and can be recorded as pseudonyms. */
export const PSEUDONYMOUS_MEMBERS = ['actor', 'on_behalf_of', 'session'] as const

export const privacySection = () => {
  /** Our names, and those that other systems have for the same. */
  const mode = z.preprocess((name) => (typeof name === 'string' ? (parseMode(name) ?? name) : name), z.enum(MODES))
  const pattern = z.string().min(1).max(256)
  return z
    .strictObject({
      /** Of every part that nothing below names. */
      mode: mode.default('fingerprint'),
      /** By part name. */
      parts: z.record(z.string().regex(PART_NAME), mode).default({}),
      /** The first that matches decides, before `parts` and `mode`. `*` in a condition stands for any text. */
      rules: z
        .array(
          z.strictObject({
            type: pattern.optional(),
            tool: pattern.optional(),
            part: pattern.optional(),
            tenant: pattern.optional(),
            mode,
          }),
        )
        .max(1000)
        .default([]),
      /** Whether lengths of values stand in their meta. */
      lengths: z.boolean().default(true),
      /** `sha256` lets anybody try out values against a fingerprint. */
      fingerprint: z.enum(['hmac-sha256', 'sha256']).default('hmac-sha256'),
      preview_chars: z.number().int().min(1).max(4096).default(DEFAULT_PREVIEW_CHARS),
      /** Redaction packs beside `global` and `secrets`, which are always on. */
      packs: z.array(z.enum(PACK_NAMES)).max(PACK_NAMES.length).default([]),
      /** The deployment's own, in RE2 syntax. */
      patterns: z
        .array(z.strictObject({ kind: z.string().regex(KIND_NAME), pattern: z.string().min(1).max(4096) }))
        .max(256)
        .default([]),
      /** Rules by path, such as `*.password`: `drop`, `keep`, or the kind that is shown instead. */
      fields: z.record(z.string().min(1).max(256), z.string().min(1).max(64)).default({}),
      /** A module that exports `recognize`, for what no pattern finds; relative to the home. */
      recognizer: z.string().min(1).optional(),
      /** How long it may take for one value until the part is withheld, ms. */
      recognizer_timeout_ms: z.number().int().min(1).max(600_000).default(1000),
      /** Whether payloads are encrypted under keys of the vault. `auto`: where the store's backups keep what was deleted. */
      encrypt: z.union([z.boolean(), z.literal('auto')]).default('auto'),
      /** What stands in entries as a random token that the vault maps. */
      pseudonyms: z.array(z.enum(PSEUDONYMOUS_MEMBERS)).max(PSEUDONYMOUS_MEMBERS.length).default([]),
      /** Where in the inputs of tools the persons stand whom an entry concerns. */
      subjects: subjectsKey(),
      erasure: erasureKey(),
      /** Where the vault's file and its key are; relative to the home. */
      vault: z.strictObject({ dir: z.string().min(1).default('vault') }).prefault({}),
    })
    .superRefine((rules, context) => {
      const fault = findRuleFaults(rules)
      if (fault) context.addIssue({ code: 'custom', path: [...fault.path], message: fault.message })
    })
    .prefault({})
}
