/** Section `anchors` of the configuration: who vouches for the log's checkpoints, and how often they are asked. */
import { z } from 'zod'

/** A duration such as `30s`, `15m`, `1h` or `7d`. */
export const durationSchema = () =>
  z.string().regex(/^[1-9][0-9]{0,6}(s|m|h|d)$/, 'expected a duration such as 30s, 15m, 1h or 7d')

const UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** Seconds of a {@link durationSchema}. */
export function durationSeconds(duration: string): number {
  return Number(duration.slice(0, -1)) * UNIT_SECONDS[duration.at(-1) as keyof typeof UNIT_SECONDS]
}

const anchorSchema = () =>
  z.strictObject({
    /** Of the operator's choice; names the file with its receipts. */
    name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'expected up to 64 of a-z, 0-9, _ and -'),
    kind: z.string().min(1),
    /** How often, at most; nothing is anchored that has not grown. Default that of the section. */
    every: durationSchema().optional(),
    /** After so many new entries, though it may be earlier than `every` says. */
    every_entries: z.number().int().min(1).optional(),
    /** Whether status and doctor complain when it lags. */
    required: z.boolean().default(true),
    /** Those of the kind. No secrets: every change of the configuration is an entry. */
    options: z.record(z.string(), z.unknown()).default({}),
  })

/** One anchor as the configuration has it. */
export type AnchorConfig = z.infer<ReturnType<typeof anchorSchema>>

export const anchorsSection = () =>
  z
    .strictObject({
      list: z
        .array(anchorSchema())
        .default([])
        .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'two anchors have one name'),
      /** How often each anchor is asked, unless it says otherwise. */
      every: durationSchema().default('1h'),
      /** Where receipts are kept, relative to the home. Replicas that share it take turns. */
      dir: z.string().min(1).default('anchors'),
      /** How long one anchor may take. */
      timeout: durationSchema().default('30s'),
    })
    .prefault({})
export type AnchorsConfig = z.infer<ReturnType<typeof anchorsSection>>
