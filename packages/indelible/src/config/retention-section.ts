/** Section `retention` of the configuration: how long entries and parts stay. */
import { z } from 'zod'

const ordered = (rule: {
  floor_days?: number | undefined
  ceiling_days?: number | undefined
  parts_days?: number | undefined
}) =>
  rule.floor_days === undefined ||
  (rule.floor_days <= (rule.ceiling_days ?? Number.POSITIVE_INFINITY) &&
    rule.floor_days <= (rule.parts_days ?? Number.POSITIVE_INFINITY))
const ORDER = 'floor_days is longer than ceiling_days or parts_days: nothing could satisfy both'

export const retentionSection = () => {
  const days = z.number().positive().max(36_500)

  const keep = {
    /** Nothing of this class goes before, not even when somebody asks for erasure. */
    floor_days: days.optional(),
    /** It goes after this. Without it: never. */
    ceiling_days: days.optional(),
    /** Disclosures go after this; entries and proofs stay. */
    parts_days: days.optional(),
    /** Why: a law, a contract. Stands in the entry that purges. */
    basis: z.string().min(1).max(256).optional(),
  }
  const rule = z
    .strictObject({ tenant: z.string().optional(), type: z.string().optional(), ...keep })
    .refine(({ tenant, type }) => tenant !== undefined || type !== undefined, 'a rule names a tenant, a type or both')
    .refine(ordered, ORDER)
  return z
    .strictObject({
      /** What no rule names. Without a ceiling here nothing is purged. */
      default: z.strictObject(keep).refine(ordered, ORDER).default({}),
      /** Classes that stay longer, or whose parts go earlier. `type` may end in `.*`. */
      rules: z.array(rule).max(100).default([]),
      /** When a long-lived process purges: a cron expression in UTC. */
      schedule: z.string().optional(),
      /** Signatures of registered people that a purge needs. */
      approvers: z.number().int().nonnegative().max(16).default(0),
      /** Who must have vouched for what goes: a pin on this machine, or any anchor. */
      vouched_by: z.enum(['pin', 'anchor']).default('pin'),
    })
    .prefault({})
}
export type RetentionConfig = z.infer<ReturnType<typeof retentionSection>>
