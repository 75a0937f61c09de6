/** `indelible subject`: what the log has about a person. */
import type { Command } from 'commander'
import { fromUtf8 } from '../bytes.ts'
import type { QueryHit } from '../query/query.ts'
import { type Context, examples } from './context.ts'
import type { ShownPart } from './entry-text.ts'
import { FINDINGS } from './exit.ts'
import { hitJson } from './list.ts'
import { areReadsRecorded, type ReadEntry, recordReads } from './read-audit.ts'

export function addSubject(program: Command, context: Context): void {
  const subject = program
    .command('subject')
    .description('what the log has about a person')
    .addHelpText('after', examples('indelible subject list mia_li_3668', 'indelible subject export mia_li_3668'))
  subject
    .command('list')
    .description('list the entries that concern a person')
    .argument('<id>', 'the id that events gave, or that privacy.subjects found')
    .addHelpText('after', examples('indelible subject list mia_li_3668'))
    .action((id: string) => list(id, context))
  subject
    .command('export')
    .description('write everything about a person as JSON Lines: entries and the parts that are there')
    .argument('<id>', 'the id that events gave, or that privacy.subjects found')
    .addHelpText('after', examples('indelible subject export mia_li_3668 > mia_li_3668.jsonl'))
    .action((id: string) => exportAll(id, context))
}

async function list(id: string, context: Context): Promise<void> {
  await using entries = await open(context)
  const hits: QueryHit[] = []
  for await (const hit of entries.of(id)) {
    if (context.isJson) await context.out.write(hitJson(hit))
    else hits.push(hit)
  }
  if (context.isJson) return
  if (hits.length === 0) return context.say('no entry concerns that person, as far as events or privacy.subjects said')
  const { entryTable } = await import('./entry-table.ts')
  await context.out.write(entryTable(hits))
}

async function exportAll(id: string, context: Context): Promise<void> {
  const { readParts } = await import('./show.ts')
  await using entries = await open(context)
  if (await areReadsRecorded(context)) {
    const read: ReadEntry[] = []
    for await (const { index, record } of entries.of(id)) {
      const there = await entries.disclosures(index, record)
      read.push({ index, parts: [...there].filter(([, text]) => text !== null).map(([name]) => name) })
    }
    // Before the first value is out.
    await recordReads(context, 'subject export', read, 'jsonl')
  }
  let written = 0
  for await (const { index, entry, record } of entries.of(id)) {
    const parts = await readParts(entries.origin, record, await entries.disclosures(index, record))
    for (const { state } of parts.values()) if (state === 'altered') context.exitCode = FINDINGS
    await context.out.write(`{"index":${index},"entry":${fromUtf8(entry)},"parts":${JSON.stringify(plain(parts))}}\n`)
    written++
  }
  if (written === 0) context.say('no entry concerns that person, as far as events or privacy.subjects said')
}

function plain(parts: ReadonlyMap<string, ShownPart>): Record<string, unknown> {
  return Object.fromEntries(
    Array.from(parts, ([name, part]) => {
      const { state, mode } = part
      return [name, part.state === 'disclosed' ? { state, mode, ...disclosed(part) } : { state, mode }]
    }),
  )
}

function disclosed({ disclosure }: Extract<ShownPart, { state: 'disclosed' }>): { value: unknown; meta: unknown } {
  return { value: disclosure.value, meta: disclosure.meta }
}

/** Reading needs the key of the index of persons, and no right to write. */
async function open(context: Context) {
  const { loadConfig } = await import('../config/config.ts')
  const { FileKeys } = await import('../keys/file-keys.ts')
  const { openStore } = await import('../log/home-store.ts')
  const { keysDirectory, resolveHome } = await import('../log/home-paths.ts')
  const { subjectMac } = await import('../log/subjects.ts')
  const { parseEntry } = await import('../record/entry.ts')
  const home = resolveHome(context.home)
  const config = loadConfig(home)
  const keys = new FileKeys(keysDirectory(home, config), { host: config.keys.host })
  const store = await openStore(home, config, { readOnly: true })
  return {
    origin: config.log.origin,
    async *of(id: string): AsyncGenerator<QueryHit> {
      for await (const indexes of store.subjectEntries(subjectMac(keys, id))) {
        for (const index of indexes) {
          for await (const [row] of store.entries(index, index + 1)) {
            if (row) yield { index, entry: row.entry, record: parseEntry(row.entry) }
          }
        }
      }
    },
    async disclosures(index: number, { parts = {} }: QueryHit['record']): Promise<Map<string, string | null>> {
      const found = new Map<string, string | null>()
      for (const name of Object.keys(parts)) found.set(name, await store.payload(index, name))
      return found
    },
    [Symbol.asyncDispose]: () => store.close(),
  }
}
