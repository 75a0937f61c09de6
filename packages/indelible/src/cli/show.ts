/** `indelible show`: one entry, or one run, for people. */
import type { Command } from 'commander'
import { fromUtf8, toBase64Url } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import { isEntryId, parseEntryOrRunName, parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import type { ShownPart } from './entry-text.ts'
import { FINDINGS, UsageError } from './exit.ts'
import { hitJson } from './list.ts'
import { paint, printable } from './output.ts'
import { type ReadEntry, recordReads } from './read-audit.ts'

/** Most entries of a run that are shown; the rest is for `list` and `export`. */
const MAX_STEPS = 2000

export function addShow(program: Command, context: Context): void {
  program
    .command('show')
    .description('show an entry with the parts that are disclosed, a run as a timeline, or the last runs')
    .argument('[index|id|run]', 'which entry or run', parseEntryOrRunName)
    .option('--last <n>', 'the last runs', parsePositive)
    .option('--resolve', 'say who is behind pseudonyms; needs the vault')
    .addHelpText('after', examples('indelible show 12', 'indelible show --last 5', 'indelible show run-42'))
    .action((which: number | string | undefined, options: ShowOptions) => show(which, options, context))
}

interface ShowOptions {
  readonly last?: number
  readonly resolve?: boolean
}

async function show(
  which: number | string | undefined,
  { last, resolve = false }: ShowOptions,
  context: Context,
): Promise<void> {
  if ((which === undefined) === (last === undefined)) {
    throw new UsageError('expected an index, an id or a run, or --last with a number of runs')
  }
  if (last !== undefined) await showRuns(last, context)
  else if (typeof which === 'number' || (isEntryId(which!) && (await hasEntry(which!, context))))
    await showEntry(which!, resolve, context)
  else await showRun(which!, context)
}

async function hasEntry(id: string, context: Context): Promise<boolean> {
  const { LogReader } = await import('./reader.ts')
  await using log = await LogReader.open(context.home)
  return log.hasId(id)
}

async function showRuns(last: number, context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  await using query = await openQuery(context.homeOption)
  const runs = await query.runs({ limit: last })
  if (context.isJson) {
    for (const run of runs) await context.out.json(run)
    return
  }
  if (runs.length === 0) return context.say('no entry of this log belongs to a run')
  const { runTable } = await import('./entry-table.ts')
  await context.out.write(runTable(runs))
}

async function showRun(name: string, context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  await using query = await openQuery(context.homeOption)
  const run = await query.run(name)
  if (!run) {
    throw new IndelibleError(
      'ERR_ENTRY_NOT_FOUND',
      'no entry has that id, and no run that name: see indelible show --last 10',
    )
  }
  const page = await query.page({ run: name }, { order: 'ascending', limit: MAX_STEPS })
  if (context.isJson) {
    await context.out.json(run)
    for (const hit of page.hits) await context.out.write(hitJson(hit))
    return
  }
  const { describeRun } = await import('./run-text.ts')
  const steps = []
  const read: ReadEntry[] = []
  for (const { index, record } of page.hits) {
    const parts = await readParts(query.origin, record, await disclosuresOf(query.store, index, record))
    const values = new Map<string, unknown>()
    for (const [part, shown] of parts) {
      if (shown.state === 'disclosed' && shown.disclosure.value !== null) values.set(part, shown.disclosure.value)
      if (shown.state === 'altered') context.exitCode = FINDINGS
    }
    steps.push({ index, record, values })
    read.push({ index, parts: [...values.keys()] })
  }
  await recordReads(context, 'show', read)
  await context.out.write(describeRun(run, steps))
  if (page.next !== null) context.say(`more: indelible list --run ${name} --oldest-first --cursor ${page.next}`)
}

async function disclosuresOf(
  store: LogStore,
  index: number,
  { parts = {} }: ReadRecord,
): Promise<Map<string, string | null>> {
  const found = new Map<string, string | null>()
  for (const name of Object.keys(parts)) found.set(name, await store.payload(index, name))
  return found
}

async function showEntry(which: number | string, resolve: boolean, context: Context): Promise<void> {
  const { LogReader } = await import('./reader.ts')
  const { parseEntry } = await import('../record/entry.ts')
  await using log = await LogReader.open(context.home)
  const { index, entry, leaf } = await log.entry(which)
  const record = parseEntry(entry)
  const parts = await readParts(log.origin, record, await log.disclosures(index, record))
  for (const { state } of parts.values()) if (state === 'altered') context.exitCode = FINDINGS
  const identities = resolve ? await identitiesIn(record, context) : null
  await markErased(index, parts, context)
  await recordReads(context, 'show', [{ index, parts: namesShown(parts) }])
  if (context.isJson) {
    const head = `"origin":${JSON.stringify(log.origin)},"index":${index},"leaf":"${toBase64Url(leaf)}"`
    // Verbatim: it is one line of canonical JSON.
    const people = identities ? `,"identities":${JSON.stringify(identities)}` : ''
    await context.out.write(`{${head},"entry":${fromUtf8(entry)},"parts":${partsJson(parts)}${people}}\n`)
    return
  }
  const { describeParts, describeRecord } = await import('./entry-text.ts')
  const title = paint('bold', `entry ${index} of ${printable(log.origin)}`)
  const people = identities ? await describeIdentities(identities) : ''
  await context.out.write(`${title}\n${describeRecord(record)}${describeParts(parts)}${people}`)
}

/** Pseudonyms of an entry, and who is behind them; `null` for one that was unlinked. */
type Identities = Readonly<Record<string, string | null>>

async function identitiesIn({ actor, session }: ReadRecord, context: Context): Promise<Identities> {
  const { loadConfig } = await import('../config/config.ts')
  const { resolveHome } = await import('../log/home-paths.ts')
  const { openVaultOrFail } = await import('../log/vault-home.ts')
  const home = resolveHome(context.home)
  const vault = openVaultOrFail(home, loadConfig(home))
  if (!vault) throw new UsageError('--resolve: this log has no vault, and so no pseudonyms')
  try {
    const tokens = [actor.id, actor.on_behalf_of, session].filter((id) => id?.startsWith('p_')) as string[]
    return Object.fromEntries(tokens.map((token) => [token, vault.resolve(token)?.id ?? null]))
  } finally {
    vault.close()
  }
}

async function describeIdentities(identities: Identities): Promise<string> {
  const { formatPairs } = await import('./output.ts')
  const pairs = Object.entries(identities).map(([token, id]): [string, string] => [
    printable(token),
    id === null ? 'nobody: never linked here, or unlinked' : printable(id),
  ])
  if (pairs.length === 0) return 'no pseudonyms in this entry\n'
  return `${paint('bold', 'identities')}\n${formatPairs(pairs)}`
}

/** What is there of an entry's parts, checked against its commitments. */
export async function readParts(
  origin: string,
  { id, parts = {} }: ReadRecord,
  disclosures: ReadonlyMap<string, string | null>,
): Promise<Map<string, ShownPart>> {
  const { checkDisclosure } = await import('../record/disclosure.ts')
  const { isSealed } = await import('../record/sealed.ts')
  const shown = new Map<string, ShownPart>()
  for (const [name, { commit, mode }] of Object.entries(parts)) {
    const text = disclosures.get(name) ?? null
    try {
      if (text === null) shown.set(name, { state: 'absent', mode })
      else if (isSealed(text)) shown.set(name, { state: 'unreadable', mode })
      else
        shown.set(name, { state: 'disclosed', mode, disclosure: checkDisclosure(text, { commit, origin, id, name }) })
    } catch (error) {
      if (!isIndelibleError(error, 'ERR_DISCLOSURE_INVALID')) throw error
      shown.set(name, { state: 'altered', mode })
    }
  }
  return shown
}

/** Says of parts that are gone which erasure took them. */
async function markErased(index: number, parts: Map<string, ShownPart>, context: Context): Promise<void> {
  const gone = [...parts].filter(([, { state }]) => state === 'absent')
  if (gone.length === 0) return
  const { openQuery } = await import('../query/home-query.ts')
  const { findErased } = await import('./erased-parts.ts')
  await using query = await openQuery(context.homeOption)
  const erased = await findErased(query, index)
  for (const [name, { mode }] of gone) {
    const said = erased.get(name)
    if (said) parts.set(name, { state: 'erased', mode, erased: said })
  }
}

/** Parts whose values are shown. */
function namesShown(parts: ReadonlyMap<string, ShownPart>): string[] {
  const shown = [...parts].filter(([, part]) => part.state === 'disclosed' && part.disclosure.value !== null)
  return shown.map(([name]) => name)
}

function partsJson(parts: ReadonlyMap<string, ShownPart>): string {
  const members = Array.from(parts, ([name, part]) => {
    const { state, mode } = part
    const disclosed =
      part.state === 'disclosed'
        ? { value: part.disclosure.value, meta: part.disclosure.meta }
        : part.state === 'erased'
          ? { erased: part.erased }
          : {}
    return `${JSON.stringify(name)}:${JSON.stringify({ state, mode, ...disclosed })}`
  })
  return `{${members.join(',')}}`
}
