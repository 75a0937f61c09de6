/** The export formats, by name. */
import { csv } from './csv.ts'
import { evidence } from './evidence.ts'
import type { Exporter } from './exporter.ts'
import { jsonl } from './jsonl.ts'
import { trace } from './trace.ts'

export const EXPORTERS = { jsonl, csv, evidence, trace } as const satisfies Readonly<Record<string, Exporter>>
export type ExportFormat = keyof typeof EXPORTERS
