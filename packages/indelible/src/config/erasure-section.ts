/** Of section `privacy`: whom events concern, and who has to agree to an erasure. */
import { z } from 'zod'

/**
 * `tool.path` in a part of a tool's entries to what goes before the value found there: `{"get_user_details.user_id": "customer:"}`. `*` as tool is
 * any tool or none, and as a step of the path each element.
 */
export const subjectsKey = () =>
  z
    .record(
      z.string().regex(/^[^.]+(\.[^.]+)+$/, 'expected a tool and a path in its parts: tool.user_id'),
      z.string().max(64),
    )
    .default({})

export const erasureKey = () =>
  z
    .strictObject({
      /** How many others than the one who asks have to agree. */
      approvers: z.number().int().min(0).max(8).default(0),
    })
    .prefault({})
