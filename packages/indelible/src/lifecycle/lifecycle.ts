/**
 * What a model comes from and where it goes: datasets, training runs, evaluations, models, deployments. Each function records
 * one entry; `lineage.ts` puts them together again.
 */
import { z } from 'zod'
import { parseInput, requiredText } from '../decision/decisions.ts'
import type { Receipt } from '../log/log.ts'
import { once } from '../once.ts'
import type { AgentEvent } from '../record/schema.ts'

/** What takes events: a log, or a client of one. */
export interface EventSink {
  record(event: AgentEvent): Promise<Receipt>
}

/** What the schemas share. Made when one is asked for: whoever only records runs needs none of them. */
const members = once(() => {
  const name = requiredText(256)
  const digest = z.string().regex(/^(sha256|sha384|sha512):[0-9A-Za-z_-]{43,128}$/, 'expected algorithm:digest')
  const metrics = z.record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/),
    z.union([z.number(), z.string().max(256), z.boolean()]),
  )
  const common = { owner: name, tenant: name.optional(), id: z.string().optional(), time: z.string().optional() }
  const model = { modelId: name, version: name.optional(), modelDigest: digest.optional(), provider: name.optional() }
  const datasetRef = z.strictObject({ id: name, version: name.optional(), digest: digest.optional() })
  return { name, digest, metrics, common, model, datasetRef }
})

export const datasetInput = once(() => {
  const { common, digest, name } = members()
  return z.strictObject({
    ...common,
    datasetId: name,
    version: name,
    source: requiredText(4096),
    rows: z.number().int().nonnegative().optional(),
    license: name.optional(),
    datasheetUrl: z.string().max(4096).optional(),
    contentHash: digest,
    preprocessing: z.unknown().optional(),
    piiResidualRisk: name.optional(),
  })
})
export const datasetAttestationInput = once(() => {
  const { common, digest, name } = members()
  return z.strictObject({
    ...common,
    datasetId: name,
    version: name,
    statement: requiredText(65_536),
    contentHash: digest.optional(),
  })
})

export const trainingInput = once(() => {
  const { common, datasetRef, model, name } = members()
  return z.strictObject({
    ...common,
    ...model,
    runId: name,
    datasets: z.array(datasetRef).min(1).max(64),
    parameters: z.unknown().optional(),
  })
})
export const evaluationInput = once(() => {
  const { common, datasetRef, metrics, model, name } = members()
  return z.strictObject({
    ...common,
    ...model,
    dataset: datasetRef.optional(),
    runId: name.optional(),
    metrics,
    passed: z.boolean(),
    report: z.unknown().optional(),
  })
})
export const modelInput = once(() => {
  const { common, model, name } = members()
  return z.strictObject({
    ...common,
    ...model,
    version: name,
    /** Training run that made it. */
    runId: name.optional(),
    card: z.unknown().optional(),
  })
})
export const promotionInput = once(() => {
  const { common, model, name } = members()
  return z.strictObject({
    ...common,
    ...model,
    version: name,
    stage: name,
    reason: z.string().optional(),
  })
})
export const deploymentInput = once(() => {
  const { common, model, name } = members()
  return z.strictObject({
    ...common,
    ...model,
    deploymentId: name,
    environment: name.optional(),
    configuration: z.unknown().optional(),
  })
})
export const retirementInput = once(() => {
  const { common, model, name } = members()
  return z.strictObject({
    ...common,
    ...model,
    deploymentId: name.optional(),
    reason: z.string().optional(),
  })
})

export type DatasetInput = z.input<ReturnType<typeof datasetInput>>
export type DatasetAttestationInput = z.input<ReturnType<typeof datasetAttestationInput>>
export type TrainingInput = z.input<ReturnType<typeof trainingInput>>
export type EvaluationInput = z.input<ReturnType<typeof evaluationInput>>
export type ModelInput = z.input<ReturnType<typeof modelInput>>
export type PromotionInput = z.input<ReturnType<typeof promotionInput>>
export type DeploymentInput = z.input<ReturnType<typeof deploymentInput>>
export type RetirementInput = z.input<ReturnType<typeof retirementInput>>

/** @throws IndelibleError `ERR_DECISION_INVALID` naming the member, and as `Log.record`; nothing was written. So do all of these */
export async function registerDataset(log: EventSink, input: DatasetInput): Promise<Receipt> {
  const { datasetId, version, contentHash, rows, license, piiResidualRisk, ...rest } = parseInput(datasetInput(), input)
  return log.record({
    ...by(rest),
    type: 'dataset.registered',
    outcome: 'success',
    dataset: { id: datasetId, version, digest: contentHash },
    attributes: given({ rows, license, pii_residual_risk: piiResidualRisk }),
    parts: parts({ source: rest.source, datasheet_url: rest.datasheetUrl, preprocessing: rest.preprocessing }),
  })
}

/** Somebody vouches for a dataset. Throws as {@link registerDataset}. */
export async function attestDataset(log: EventSink, input: DatasetAttestationInput): Promise<Receipt> {
  const { datasetId, version, contentHash, statement, ...rest } = parseInput(datasetAttestationInput(), input)
  return log.record({
    ...by(rest),
    type: 'dataset.attested',
    outcome: 'success',
    dataset: { id: datasetId, version, ...(contentHash !== undefined && { digest: contentHash }) },
    parts: parts({ statement }),
  })
}

/** What a training run says about itself while it goes on. */
export interface TrainingRun {
  readonly runId: string
  /** @param metrics such as `{loss: 0.4, learning_rate: 1e-3}` */
  epoch(epoch: number, metrics?: Readonly<Record<string, number | string>>): Promise<Receipt>
  /** @param checkpoint where the weights are, and their digest */
  checkpoint(checkpoint: { step?: number; location?: string; digest?: string }): Promise<Receipt>
  /** @param end digest of the model that came out, and whether it is one */
  end(end?: {
    modelDigest?: string
    version?: string
    metrics?: Readonly<Record<string, number | string>>
    outcome?: 'success' | 'failure'
  }): Promise<Receipt>
}

/** Records `train.start`, one entry for each further dataset, and what the run hands in later. Throws as {@link registerDataset}. */
export async function startTraining(log: EventSink, input: TrainingInput): Promise<TrainingRun> {
  const parsed = parseInput(trainingInput(), input)
  const { runId, datasets, parameters, id, time, ...rest } = parsed
  const about = { ...by(rest), run: { id: runId } }
  const [first, ...others] = datasets
  await log.record({
    ...about,
    type: 'train.start',
    outcome: 'success',
    model: modelOf(parsed),
    dataset: datasetOf(first!),
    ...(id !== undefined && { id }),
    ...(time !== undefined && { time }),
    attributes: { datasets: datasets.length },
    parts: parts({ parameters }),
  })
  for (const dataset of others) {
    await log.record({ ...about, type: 'step.dataset_used', outcome: 'success', dataset: datasetOf(dataset) })
  }
  return {
    runId,
    epoch: (epoch, metrics = {}) =>
      log.record({ ...about, type: 'train.epoch', outcome: 'success', attributes: { epoch, ...metrics } }),
    checkpoint: ({ step, location, digest }) =>
      log.record({
        ...about,
        type: 'train.checkpoint',
        outcome: 'success',
        ...(digest !== undefined && { model: { ...modelOf(parsed), digest } }),
        attributes: given({ step }),
        parts: parts({ location }),
      }),
    end: ({ modelDigest, version, metrics = {}, outcome = 'success' } = {}) =>
      log.record({
        ...about,
        type: 'train.end',
        outcome,
        model: modelOf({ ...parsed, ...given({ version, modelDigest }) }),
        attributes: { ...metrics },
      }),
  }
}

/** Throws as {@link registerDataset}. */
export async function recordEvaluation(log: EventSink, input: EvaluationInput): Promise<Receipt> {
  const parsed = parseInput(evaluationInput(), input)
  return log.record({
    ...by(parsed),
    type: 'eval.result',
    outcome: parsed.passed ? 'success' : 'failure',
    model: modelOf(parsed),
    ...(parsed.dataset && { dataset: datasetOf(parsed.dataset) }),
    ...(parsed.runId !== undefined && { run: { id: parsed.runId } }),
    attributes: parsed.metrics,
    parts: parts({ report: parsed.report }),
  })
}

/** Throws as {@link registerDataset}. */
export async function registerModel(log: EventSink, input: ModelInput): Promise<Receipt> {
  const parsed = parseInput(modelInput(), input)
  return log.record({
    ...by(parsed),
    type: 'model.registered',
    outcome: 'success',
    model: modelOf(parsed),
    ...(parsed.runId !== undefined && { run: { id: parsed.runId } }),
    parts: parts({ card: parsed.card }),
  })
}

/** Throws as {@link registerDataset}. */
export async function promoteModel(log: EventSink, input: PromotionInput): Promise<Receipt> {
  const parsed = parseInput(promotionInput(), input)
  return log.record({
    ...by(parsed),
    type: 'model.promoted',
    outcome: 'success',
    model: modelOf(parsed),
    attributes: { stage: parsed.stage },
    parts: parts({ reason: parsed.reason }),
  })
}

/** Throws as {@link registerDataset}. */
export async function deployModel(log: EventSink, input: DeploymentInput): Promise<Receipt> {
  const parsed = parseInput(deploymentInput(), input)
  return log.record({
    ...by(parsed),
    type: 'model.deployed',
    outcome: 'success',
    model: modelOf(parsed),
    deployment: { id: parsed.deploymentId },
    attributes: given({ environment: parsed.environment }),
    parts: parts({ configuration: parsed.configuration }),
  })
}

/** Throws as {@link registerDataset}. */
export async function retireModel(log: EventSink, input: RetirementInput): Promise<Receipt> {
  const parsed = parseInput(retirementInput(), input)
  return log.record({
    ...by(parsed),
    type: 'model.retired',
    outcome: 'success',
    model: modelOf(parsed),
    ...(parsed.deploymentId !== undefined && { deployment: { id: parsed.deploymentId } }),
    parts: parts({ reason: parsed.reason }),
  })
}

interface By {
  readonly owner: string
  readonly tenant?: string | undefined
  readonly id?: string | undefined
  readonly time?: string | undefined
}

function by({ owner, tenant, id, time }: By): Pick<AgentEvent, 'actor' | 'tenant' | 'id' | 'time'> {
  return { actor: { type: 'user', id: owner }, ...given({ tenant, id, time }) }
}

interface ModelParts {
  readonly modelId: string
  readonly version?: string | undefined
  readonly modelDigest?: string | undefined
  readonly provider?: string | undefined
}

function modelOf({ modelId, version, modelDigest, provider }: ModelParts) {
  return { name: modelId, ...given({ version, digest: modelDigest, provider }) }
}

function datasetOf({ id, version, digest }: z.output<ReturnType<typeof members>['datasetRef']>) {
  return { id, ...given({ version, digest }) }
}

/** The members that have a value. */
function given<T extends Record<string, unknown>>(members: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never
}

function parts(values: Readonly<Record<string, unknown>>): Record<string, { value: unknown }> {
  return Object.fromEntries(Object.entries(given(values)).map(([part, value]) => [part, { value }]))
}
