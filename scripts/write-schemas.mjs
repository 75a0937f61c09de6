/**
 * Writes the published JSON Schemas, from the same source as validation and types. `npm run build && npx node
 * scripts/write-schemas.mjs` after a change of `src/record/schema.ts` or `src/export/trace-schema.ts`; a test says when it was forgotten.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { traceJsonSchema } from '../packages/indelible/dist/export/trace-schema.js'
import { jsonSchemas } from '../packages/indelible/dist/record/schema.js'

const directory = new URL('../packages/indelible/schemas/', import.meta.url)
mkdirSync(directory, { recursive: true })
for (const [name, schema] of Object.entries({ ...jsonSchemas(), 'trace.schema.json': traceJsonSchema() })) {
  writeFileSync(new URL(name, directory), `${JSON.stringify(schema, null, 2)}\n`)
}
