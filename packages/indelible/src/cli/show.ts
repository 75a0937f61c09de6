/** `indelible show`: one entry for people. */
import type { Command } from 'commander'
import { fromUtf8, toBase64Url } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import type { ReadRecord } from '../record/entry.ts'
import { parseEntryName } from './arguments.ts'
import { type Context, examples } from './context.ts'
import type { ShownPart } from './entry-text.ts'
import { FINDINGS } from './exit.ts'
import { paint } from './output.ts'

export function addShow(program: Command, context: Context): void {
  program
    .command('show')
    .description('show one entry, with the parts that are disclosed')
    .argument('<index|id>', 'which entry', parseEntryName)
    .addHelpText('after', examples('indelible show 12', 'indelible show --json 12 | jq .parts.output.value'))
    .action((which: number | string) => showEntry(which, context))
}

async function showEntry(which: number | string, context: Context): Promise<void> {
  const { LogReader } = await import('./reader.ts')
  const { parseEntry } = await import('../record/entry.ts')
  await using log = LogReader.open(context.home)
  const { index, entry, leaf } = await log.entry(which)
  const record = parseEntry(entry)
  const parts = await readParts(log.origin, record, await log.disclosures(index, record))
  for (const { state } of parts.values()) if (state === 'altered') context.exitCode = FINDINGS
  if (context.isJson) {
    const head = `"origin":${JSON.stringify(log.origin)},"index":${index},"leaf":"${toBase64Url(leaf)}"`
    // Verbatim: it is one line of canonical JSON.
    await context.out.write(`{${head},"entry":${fromUtf8(entry)},"parts":${partsJson(parts)}}\n`)
    return
  }
  const { describeParts, describeRecord } = await import('./entry-text.ts')
  const title = paint('bold', `entry ${index} of ${log.origin}`)
  await context.out.write(`${title}\n${describeRecord(record)}${describeParts(parts)}`)
}

async function readParts(
  origin: string,
  { id, parts = {} }: ReadRecord,
  disclosures: ReadonlyMap<string, string | null>,
): Promise<Map<string, ShownPart>> {
  const { checkDisclosure } = await import('../record/disclosure.ts')
  const shown = new Map<string, ShownPart>()
  for (const [name, { commit, mode }] of Object.entries(parts)) {
    const text = disclosures.get(name) ?? null
    try {
      if (text === null) shown.set(name, { state: 'absent', mode })
      else
        shown.set(name, { state: 'disclosed', mode, disclosure: checkDisclosure(text, { commit, origin, id, name }) })
    } catch (error) {
      if (!isIndelibleError(error, 'ERR_DISCLOSURE_INVALID')) throw error
      shown.set(name, { state: 'altered', mode })
    }
  }
  return shown
}

function partsJson(parts: ReadonlyMap<string, ShownPart>): string {
  const members = Array.from(parts, ([name, part]) => {
    const { state, mode } = part
    const disclosed = part.state === 'disclosed' ? { value: part.disclosure.value, meta: part.disclosure.meta } : {}
    return `${JSON.stringify(name)}:${JSON.stringify({ state, mode, ...disclosed })}`
  })
  return `{${members.join(',')}}`
}
