/** `indelible lineage`: from the dataset to the running agent and back, with what is missing in between. */
import { writeFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import type { LineageNode } from '../lifecycle/graph.ts'
import { NODE_KINDS } from '../lifecycle/graph.ts'
import type { Lineage } from '../lifecycle/lineage.ts'
import { type Context, examples } from './context.ts'
import { count, paint, printable } from './output.ts'

interface LineageFlags {
  readonly format?: 'text' | 'json' | 'svg'
  readonly out?: string
}

export function addLineage(program: Command, context: Context): void {
  program
    .command('lineage')
    .description('what a model, deployment, dataset or run comes from, and what comes of it')
    .argument('<name>', 'model (NAME or NAME@VERSION), deployment, dataset or run')
    .addOption(new Option('--format <format>', 'default: text').choices(['text', 'json', 'svg']))
    .option('--out <file>', 'write it there')
    .addHelpText(
      'after',
      examples('indelible lineage support-7b', 'indelible lineage run-42 --format svg --out lineage.svg'),
    )
    .action((name: string, flags: LineageFlags) => lineage(name, flags, context))
}

async function lineage(name: string, { format, out }: LineageFlags, context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  const { lineageOf } = await import('../lifecycle/lineage.ts')
  await using query = await openQuery(context.homeOption)
  const found = await lineageOf(query, name)
  const wanted = format ?? (context.isJson ? 'json' : out?.endsWith('.svg') ? 'svg' : 'text')
  const text =
    wanted === 'json'
      ? `${JSON.stringify(found)}\n`
      : wanted === 'svg'
        ? (await import('../lifecycle/picture.ts')).drawLineage(found)
        : lineageText(found)
  if (out === undefined) {
    await context.out.write(text)
    return
  }
  writeFileSync(out, text)
  await context.answer({ file: out, nodes: found.nodes.length, gaps: found.gaps.length }, () => `wrote ${out}\n`)
}

function lineageText({ nodes, edges, gaps, of, more_runs: more }: Lineage): string {
  const lines: string[] = []
  for (const kind of NODE_KINDS) {
    const ofKind = nodes.filter((node) => node.kind === kind)
    if (ofKind.length === 0) continue
    lines.push(paint('bold', kind))
    for (const node of ofKind) {
      const sources = edges.filter(({ to }) => to === node.key).map(({ from }) => from)
      lines.push(`  ${of.includes(node.key) ? '*' : ' '} ${printable(node.key)}${factsText(node)}`)
      if (sources.length > 0) lines.push(paint('dim', `      from ${printable(sources.join(', '))}`))
    }
  }
  if (more > 0) lines.push(paint('dim', `    and ${count(more, 'earlier run')}`))
  if (gaps.length === 0) return `${lines.join('\n')}\n`
  lines.push('', paint('red', `${count(gaps.length, 'gap')} in the chain`))
  for (const { code, key, index, message } of gaps) {
    lines.push(`  ${code}  ${printable(key)}: ${printable(message)} (entry ${index})`)
  }
  return `${lines.join('\n')}\n`
}

function factsText({ entries, facts }: LineageNode): string {
  const shown = Object.entries(facts).filter(([key]) => key !== 'version' && key !== 'kind')
  const texts = shown.map(([key, value]) => `${key.replaceAll('_', ' ')} ${printable(value)}`)
  texts.push(`${entries.length === 1 ? 'entry' : 'entries'} ${entries.slice(0, 5).join(', ')}`)
  return `  ${paint('dim', texts.join('; '))}`
}
