/** Section `audit`: what the log says of its own use. */
import { z } from 'zod'

export const auditSection = () =>
  z
    .strictObject({
      /** Whether reading disclosed parts is an `audit.read` entry, and exporting them an `audit.exported` one. */
      reads: z.boolean().default(false),
    })
    .prefault({})
