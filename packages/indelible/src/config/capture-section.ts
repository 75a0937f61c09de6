/** Section `capture` of the configuration: what happens to an agent's events on their way to the log. */
import { z } from 'zod'

export const captureSection = () =>
  z
    .strictObject({
      /** Whether runs are recorded. Default true; false in an application that embeds us (`embedded: true`). */
      enabled: z.boolean().optional(),
      /** While events cannot be recorded: `continue` lets the agent go on and spools them, `block` refuses its actions. */
      on_failure: z.enum(['continue', 'block']).default('continue'),
      /** How long an action waits for its intent to be durable in mode `block`, ms. */
      timeout_ms: z.number().int().min(1).max(600_000).default(10_000),
      /** Most bytes of events that wait in memory. */
      max_pending_bytes: z.number().int().min(65_536).default(67_108_864),
      /** Most bytes of spooled events on disk; 0 switches the spool off. */
      spool_max_bytes: z.number().int().min(0).default(268_435_456),
      /** Longest pause between two attempts to reach the log, ms. */
      retry_ms: z.number().int().min(10).max(600_000).default(5_000),
    })
    .prefault({})
