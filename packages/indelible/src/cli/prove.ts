/** `indelible prove`: writes what convinces somebody who has nothing but the vkey that an entry is in the log. */
import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { parseEntryName } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { formatPairs, printable, shellWord } from './output.ts'

export function addProve(program: Command, context: Context): void {
  program
    .command('prove')
    .description('write the proof that an entry is in the log, and the entry, to hand out')
    .argument('<index|id>', 'which entry', parseEntryName)
    .option('--out <file>', 'where the proof goes (default: entry-INDEX.tlog-proof)')
    .option('--entry-out <file>', 'where the entry goes (default: entry-INDEX.json)')
    .addHelpText(
      'after',
      examples('indelible prove 12', 'indelible prove 12 --out refund.tlog-proof --entry-out refund.json'),
    )
    .action((which: number | string, options: { out?: string; entryOut?: string }) => prove(which, options, context))
}

async function prove(
  which: number | string,
  options: { out?: string; entryOut?: string },
  context: Context,
): Promise<void> {
  const { LogReader } = await import('./reader.ts')
  await using log = await LogReader.open(context.home)
  const { index, entry, proof, size, vkey } = await log.prove(which)
  const { out = `entry-${index}.tlog-proof`, entryOut = `entry-${index}.json` } = options
  writeFileSync(out, proof)
  // Byte for byte, so without a line feed at the end.
  writeFileSync(entryOut, entry)
  const { origin } = log
  await context.answer({ origin, index, size, vkey, proof_file: out, entry_file: entryOut }, () => {
    const files = formatPairs([
      [out, `proof that it is in ${printable(origin)}, of ${size} entries`],
      [entryOut, 'the entry, byte for byte'],
    ])
    const check = `indelible check ${shellWord(out)} --entry ${shellWord(entryOut)} --vkey ${shellWord(vkey)}`
    return `proved entry ${index}\n${files}Whoever has the vkey from you checks both anywhere, offline:\n  ${printable(check)}\n`
  })
}
