/** `indelible dataset`: what models learn from. */
import type { Command } from 'commander'
import { parseIndex } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { formatPairs } from './output.ts'
import { addOwner, parseJsonFlag, recordWith, withOwner } from './owner-flags.ts'
import { Progress } from './progress.ts'
import { bytesText } from './units.ts'

interface RegisterFlags {
  readonly path?: string
  readonly owner?: string
  readonly [flag: string]: unknown
}

export function addDataset(program: Command, context: Context): void {
  const dataset = program
    .command('dataset')
    .description('hash, register, attest and list datasets')
    .addHelpText('after', examples('indelible dataset hash data/', 'indelible dataset list'))
  dataset
    .command('hash')
    .description('digest of a file or folder, read as a stream')
    .argument('<path>')
    .option('--manifest', 'also name each file with its digest')
    .addHelpText('after', examples('indelible dataset hash data/ --manifest'))
    .action((path: string, flags: { manifest?: boolean }) => hash(path, flags.manifest ?? false, context))
  addOwner(dataset.command('register'))
    .description('register a version of a dataset')
    .requiredOption('--dataset-id <id>', 'name of the dataset')
    .requiredOption('--dataset-version <version>', 'its version')
    .requiredOption('--source <text>', 'where it comes from')
    .option('--path <path>', 'the data: its digest is made from it')
    .option('--content-hash <digest>', 'its digest, if the data is elsewhere')
    .option('--rows <n>', 'rows', parseIndex)
    .option('--license <name>', 'licence')
    .option('--datasheet-url <url>', 'its datasheet')
    .option('--preprocessing <json>', 'what was done to it, as JSON', parseJsonFlag)
    .option('--pii-residual-risk <level>', 'what risk of personal data is left')
    .addHelpText(
      'after',
      examples(
        'indelible dataset register --owner dana --dataset-id tickets --dataset-version 3 --source "helpdesk export" --path data/',
      ),
    )
    .action((flags: RegisterFlags) => register(flags, context))
  addOwner(dataset.command('attest'))
    .description('vouch for a version of a dataset')
    .requiredOption('--dataset-id <id>', 'name of the dataset')
    .requiredOption('--dataset-version <version>', 'its version')
    .option('--statement <text>', 'what is vouched for')
    .option('--content-hash <digest>', 'digest of what was looked at')
    .addHelpText(
      'after',
      examples(
        'indelible dataset attest --owner dana --dataset-id tickets --dataset-version 3 --statement "no patient data"',
      ),
    )
    .action((flags: RegisterFlags) =>
      recordWith(context, 'attested', async (log) => {
        const { attestDataset } = await import('../lifecycle/lifecycle.ts')
        return attestDataset(log, inputOf(flags) as never)
      }),
    )
  dataset
    .command('list')
    .description('datasets that were registered')
    .addHelpText('after', examples('indelible dataset list'))
    .action(() => list(context))
}

async function hash(path: string, withManifest: boolean, context: Context): Promise<void> {
  const { digest, bytes, files, manifest } = await hashWithProgress(path)
  const shown = { path, digest, bytes, files, ...(withManifest && { manifest }) }
  await context.answer(shown, () => {
    const lines = withManifest ? (manifest ?? []).map((file) => `${file.digest}  ${file.path}\n`).join('') : ''
    return `${lines}${formatPairs(
      [
        ['digest', digest],
        ['files', String(files)],
        ['size', bytesText(bytes)],
      ],
      '',
    )}`
  })
}

async function hashWithProgress(path: string) {
  const { hashDataset } = await import('../lifecycle/dataset-hash.ts')
  using progress = new Progress('bytes read')
  return await hashDataset(path, { onProgress: progress.update })
}

async function register({ path, ...flags }: RegisterFlags, context: Context): Promise<void> {
  const contentHash = path === undefined ? flags.contentHash : (await hashWithProgress(path)).digest
  await recordWith(context, 'registered', async (log) => {
    const { registerDataset } = await import('../lifecycle/lifecycle.ts')
    return registerDataset(log, { ...inputOf(flags), contentHash } as never)
  })
}

/** The program's own --version is another option. */
function inputOf({ datasetVersion, ...flags }: RegisterFlags): Record<string, unknown> {
  return { ...withOwner(flags), version: datasetVersion }
}

async function list(context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  await using query = await openQuery(context.homeOption)
  const rows: { index: number; id: string; version: string; digest: string; owner: string }[] = []
  for await (const { index, record } of query.all({ type: 'dataset.registered' })) {
    const { id = '', version = '', digest = '' } = record.dataset ?? {}
    rows.push({ index, id, version, digest, owner: record.actor.id })
  }
  const { answerRows } = await import('./table.ts')
  await answerRows(context, rows, 'no dataset was registered', [
    { title: 'entry', value: ({ index }) => String(index) },
    { title: 'dataset', value: ({ id }) => id, least: 12 },
    { title: 'version', value: ({ version }) => version },
    { title: 'owner', value: ({ owner }) => owner, rank: 1 },
    { title: 'digest', value: ({ digest }) => digest, rank: 2, least: 20 },
  ])
}
