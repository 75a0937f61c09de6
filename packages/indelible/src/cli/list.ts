/** `indelible list`: entries that answer a filter. */
import type { Command } from 'commander'
import { fromUtf8 } from '../bytes.ts'
import type { QueryHit } from '../query/query.ts'
import { parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { addFilterOptions, type FilterOptions, filterOf } from './filters.ts'
import { Progress } from './progress.ts'

interface ListOptions extends FilterOptions {
  readonly limit: number
  readonly cursor?: string
  readonly oldestFirst?: boolean
  readonly count?: boolean
  readonly proofs?: boolean
}

export function addList(program: Command, context: Context): void {
  addFilterOptions(program.command('list').description('list entries, the latest first'))
    .option('--limit <n>', 'entries of one page', parsePositive, 50)
    .option('--cursor <cursor>', 'go on where another page ended')
    .option('--oldest-first', 'the earliest first')
    .option('--count', 'only say how many there are')
    .option('--proofs', 'with --json: add to each entry what proves that it is in the log')
    .addHelpText(
      'after',
      examples(
        'indelible list --type tool.end --tool get_user_details',
        'indelible list --outcome denied --since 2026-11-01 --json | jq .entry',
      ),
    )
    .action((options: ListOptions) => list(options, context))
}

async function list({ limit, cursor, oldestFirst, ...options }: ListOptions, context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  using progress = new Progress('indexed')
  await using query = await openQuery({ ...context.homeOption, onProgress: progress.update })
  progress[Symbol.dispose]()
  const filter = filterOf(options)
  if (options.count) {
    const n = await query.count(filter)
    await context.answer({ count: n }, () => `${n}\n`)
    return
  }
  const page = await query.page(filter, {
    limit,
    ...(cursor !== undefined && { cursor }),
    order: oldestFirst ? 'ascending' : 'descending',
    proofs: (options.proofs ?? false) && context.isJson,
  })
  if (context.isJson) {
    for (const hit of page.hits) await context.out.write(hitJson(hit))
    await context.out.json({ next: page.next, previous: page.previous, size: page.size })
    return
  }
  if (page.hits.length === 0) {
    context.say(`no entry of ${page.size} answers this`)
    return
  }
  const { entryTable } = await import('./entry-table.ts')
  await context.out.write(entryTable(page.hits))
  if (page.next !== null) context.say(`more: repeat with --cursor ${page.next}`)
}

/** One line; the entry stands in it verbatim. */
export function hitJson({ index, entry, proof }: QueryHit): string {
  const end = proof === undefined ? '' : `,"proof":${JSON.stringify(proof)}`
  return `{"index":${index},"entry":${fromUtf8(entry)}${end}}\n`
}
