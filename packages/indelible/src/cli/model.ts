/** `indelible model` and `indelible eval`: what was made, how good it is, and where it runs. */
import type { Command } from 'commander'
import type { Log, Receipt } from '../log/log.ts'
import { type Context, examples } from './context.ts'
import { addOwner, parseJsonFlag, parseMetric, recordWith, withOwner } from './owner-flags.ts'

type Flags = Readonly<Record<string, unknown>> & { readonly owner?: string }

export function addModel(program: Command, context: Context): void {
  const model = program
    .command('model')
    .description('register, promote, deploy, retire and list models')
    .addHelpText('after', examples('indelible model list', 'indelible lineage support-7b'))
  const step = (verb: string, description: string, done: string) =>
    addModelFlags(addOwner(model.command(verb)), verb !== 'deploy' && verb !== 'retire')
      .description(description)
      .action((flags: Flags) =>
        recordWith(context, done, async (log) => {
          const lifecycle = await import('../lifecycle/lifecycle.ts')
          const record = {
            register: lifecycle.registerModel,
            promote: lifecycle.promoteModel,
            deploy: lifecycle.deployModel,
            retire: lifecycle.retireModel,
          }[verb] as (log: Log, input: never) => Promise<Receipt>
          return record(log, inputOf(flags) as never)
        }),
      )
  step('register', 'register a version of a model', 'registered')
    .option('--run-id <id>', 'training run that made it')
    .option('--card <json>', 'model card, as JSON', parseJsonFlag)
    .addHelpText(
      'after',
      examples('indelible model register --owner dana --model-id support-7b --model-version 3 --run-id train-9'),
    )
  step('promote', 'say that a version goes to another stage', 'promoted')
    .requiredOption('--stage <name>', 'such as staging or production')
    .option('--reason <text>', 'why')
    .addHelpText(
      'after',
      examples('indelible model promote --owner dana --model-id support-7b --model-version 3 --stage production'),
    )
  step('deploy', 'say that a model runs somewhere from now on', 'deployed')
    .requiredOption('--deployment-id <id>', 'name of the place')
    .option('--environment <name>', 'such as production')
    .option('--configuration <json>', 'as JSON', parseJsonFlag)
    .addHelpText(
      'after',
      examples('indelible model deploy --owner dana --model-id support-7b --model-version 3 --deployment-id eu-1'),
    )
  step('retire', 'say that a model, or a deployment of it, is no more', 'retired')
    .option('--deployment-id <id>', 'name of the place')
    .option('--reason <text>', 'why')
    .addHelpText('after', examples('indelible model retire --owner dana --model-id support-7b --model-version 2'))
  model
    .command('list')
    .description('models that were registered, and where they run')
    .addHelpText('after', examples('indelible model list'))
    .action(() => list(context))

  addModelFlags(addOwner(program.command('eval')), false)
    .description('record the result of an evaluation')
    .option('--metric <name=value>', 'a figure; may be repeated', parseMetric)
    .option('--dataset-id <id>', 'what it was evaluated on')
    .option('--dataset-version <version>', 'version of that')
    .option('--run-id <id>', 'run of the evaluation')
    .option('--passed', 'it is good enough')
    .option('--failed', 'it is not')
    .option('--report <json>', 'the whole report, as JSON', parseJsonFlag)
    .addHelpText(
      'after',
      examples('indelible eval --owner dana --model-id support-7b --model-version 3 --metric accuracy=0.93 --passed'),
    )
    .action((flags: Flags) => evaluate(flags, context))
}

/** The program's own --version is another option. */
function inputOf({ modelVersion, ...flags }: Flags): Record<string, unknown> {
  return { ...withOwner(flags), ...(modelVersion !== undefined && { version: modelVersion }) }
}

function addModelFlags(command: Command, needsVersion: boolean): Command {
  command.requiredOption('--model-id <id>', 'name of the model')
  if (needsVersion) command.requiredOption('--model-version <version>', 'its version')
  else command.option('--model-version <version>', 'its version')
  return command
    .option('--model-digest <digest>', 'digest of its weights: see indelible dataset hash')
    .option('--provider <name>', 'who provides it')
}

async function evaluate({ passed, failed, metric = {}, datasetId, datasetVersion, ...flags }: Flags, context: Context) {
  const { UsageError } = await import('./exit.ts')
  if ((passed ?? false) === (failed ?? false)) throw new UsageError('expected --passed or --failed')
  const dataset = datasetId === undefined ? undefined : { id: datasetId, version: datasetVersion }
  await recordWith(context, passed ? 'passed' : 'failed', async (log) => {
    const { recordEvaluation } = await import('../lifecycle/lifecycle.ts')
    const input = { ...inputOf(flags), metrics: metric, passed: passed === true, ...(dataset && { dataset }) }
    return recordEvaluation(log, input as never)
  })
}

interface ModelRow {
  readonly model: string
  readonly version: string
  readonly owner: string
  readonly stage: string
  readonly deployments: string[]
}

async function list(context: Context): Promise<void> {
  const { openQuery } = await import('../query/home-query.ts')
  const { LIFECYCLE_TYPES, LineageGraph } = await import('../lifecycle/graph.ts')
  await using query = await openQuery(context.homeOption)
  const graph = new LineageGraph()
  for await (const { index, record } of query.all({ type: LIFECYCLE_TYPES })) graph.add(index, record)
  const rows: ModelRow[] = [...graph.nodes.values()]
    .filter(({ kind }) => kind === 'model')
    .map(({ key, name, facts }) => ({
      model: name,
      version: facts.version ?? '',
      owner: facts.owner ?? '',
      stage: facts.state ?? facts.stage ?? '',
      deployments: graph.edges
        .filter(({ from, to }) => from === key && to.startsWith('deployment:'))
        .map(({ to }) => graph.nodes.get(to)!)
        .filter((place) => place.facts.state !== 'retired')
        .map((place) => place.name),
    }))
  const { answerRows } = await import('./table.ts')
  await answerRows(context, rows, 'no entry speaks of a model', [
    { title: 'model', value: ({ model }) => model, least: 12 },
    { title: 'version', value: ({ version }) => version },
    { title: 'stage', value: ({ stage }) => stage },
    { title: 'runs at', value: ({ deployments }) => deployments.join(', '), least: 12 },
    { title: 'owner', value: ({ owner }) => owner, rank: 1 },
  ])
}
