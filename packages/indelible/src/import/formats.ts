/** All formats that can be imported, by the name that `--from` takes. */
import { IndelibleError } from '../errors.ts'
import { chat } from './chat.ts'
import { claudeCode } from './claude-code.ts'
import { events } from './events.ts'
import type { Importer } from './importer.ts'
import { llmAuditTrail } from './llm-audit-trail.ts'
import { selectools } from './selectools.ts'

export const IMPORTERS: Readonly<Record<string, Importer>> = Object.fromEntries(
  [chat, claudeCode, selectools, llmAuditTrail, events].map((importer) => [importer.name, importer]),
)

/** @throws IndelibleError `ERR_IMPORT_FORMAT` */
export function importerOf(name: string): Importer {
  if (Object.hasOwn(IMPORTERS, name)) return IMPORTERS[name]!
  throw new IndelibleError('ERR_IMPORT_FORMAT', `unknown format; expected one of ${Object.keys(IMPORTERS).join(', ')}`)
}
