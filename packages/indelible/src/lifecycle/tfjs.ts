/**
 * Adapter for TensorFlow.js (4): a training run from `train.start` over its epochs and checkpoints to the digest of the weights
 * that came out: `indelible/capture/tfjs`. Nothing is imported from the package. It stands here, not with the adapters for
 * agents, because it records what is above the log.
 */
import { createHash } from 'node:crypto'
import { installedVersion } from '../capture/installed.ts'
import type { Recorder } from '../capture/recorder.ts'
import type { FailureMode } from '../capture/sink.ts'
import { checkVersion } from '../capture/support.ts'
import { type EventSink, startTraining, type TrainingInput, type TrainingRun } from './lifecycle.ts'

/** What `model.save` hands to a handler, as far as we look at it. */
export interface ModelArtifacts {
  readonly modelTopology?: unknown
  readonly weightSpecs?: unknown
  readonly weightData?: ArrayBuffer | readonly ArrayBuffer[]
}

interface SaveHandler {
  save(artifacts: ModelArtifacts): Promise<{ modelArtifactsInfo: { dateSaved: Date; modelTopologyType: 'JSON' } }>
}

/** A `LayersModel` or `Sequential`. */
export interface TrainableModel {
  fit(x: never, y: never, args?: never): Promise<unknown>
  fitDataset(dataset: never, args: never): Promise<unknown>
  save(handler: never): Promise<unknown>
  readonly optimizer?: unknown
  readonly loss?: unknown
}

export interface TrainingOptions extends TrainingInput {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** In mode `block`, training stops where it cannot be recorded. Default: the recorder's. */
  readonly onFailure?: FailureMode
  /** A checkpoint after every so many epochs. Default: none. */
  readonly checkpointEvery?: number
  /** Keeps the model at a checkpoint; returns where. Default: it is not kept, only its digest is. */
  readonly keep?: (artifacts: ModelArtifacts, epoch: number) => Promise<string> | string
  /** Of `@tensorflow/tfjs`. Default: as installed. */
  readonly frameworkVersion?: string
}

const PACKAGES = ['@tensorflow/tfjs', '@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-layers']
const MAJORS = [4]

/**
 * The training of one model. Use its `fit` in place of the model's; or hand {@link RecordedTraining.callback} to the model's
 * own, and tell `failed` what that throws.
 *
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function recordTraining<Model extends TrainableModel>(
  model: Model,
  options: TrainingOptions,
): RecordedTraining<Model> {
  const version = options.frameworkVersion ?? PACKAGES.map(installedVersion).find((found) => found !== undefined)
  checkVersion('@tensorflow/tfjs', version, MAJORS)
  return new RecordedTraining(model, options, version!)
}

/** Callbacks as `fit` takes them. */
export interface TrainingCallback {
  onTrainBegin(): Promise<void>
  onEpochEnd(epoch: number, logs?: Readonly<Record<string, unknown>>): Promise<void>
  onTrainEnd(): Promise<void>
}

export class RecordedTraining<Model extends TrainableModel> {
  readonly callback: TrainingCallback
  readonly #model: Model
  readonly #options: TrainingOptions
  readonly #framework: string
  #fitArgs: Readonly<Record<string, unknown>> = {}
  #run: TrainingRun | null = null
  #metrics: Readonly<Record<string, number | string>> = {}
  #digest: string | null = null
  #hasEnded = false

  /** Use {@link recordTraining}. */
  constructor(model: Model, options: TrainingOptions, version: string) {
    this.#model = model
    this.#options = options
    this.#framework = `@tensorflow/tfjs ${version}`
    this.callback = {
      onTrainBegin: () => this.#begin(),
      onEpochEnd: (epoch, logs) => this.#epoch(epoch, logs ?? {}),
      onTrainEnd: () => this.#end(),
    }
  }

  /** Digest of the weights that came out, as {@link digestWeights}; `null` while it is not over. */
  get digest(): string | null {
    return this.#digest
  }

  /**
   * The model's `fit`, recorded. Rejects with what that throws.
   * @throws IndelibleError `ERR_DECISION_INVALID` if the options name no owner, model, run or dataset; in mode `block`
   * `ERR_CAPTURE_BLOCKED`
   */
  fit(...[x, y, args]: Parameters<Model['fit']>): ReturnType<Model['fit']> {
    const work = (given: never) => this.#model.fit(x, y, given)
    return this.#fitting(args, work) as ReturnType<Model['fit']>
  }

  /** The model's `fitDataset`, recorded. As {@link fit}. */
  fitDataset(...[dataset, args]: Parameters<Model['fitDataset']>): ReturnType<Model['fitDataset']> {
    const work = (given: never) => this.#model.fitDataset(dataset, given)
    return this.#fitting(args, work) as ReturnType<Model['fitDataset']>
  }

  /** The training ended with an error: `train.end` with outcome `failure`. */
  async failed(error: unknown): Promise<void> {
    if (!this.#run || this.#hasEnded) return
    this.#hasEnded = true
    // Which error it was says what became of it; its text could tell what is in the data.
    const reason = error instanceof Error ? error.name : typeof error
    await this.#run.end({ outcome: 'failure', metrics: { ...this.#metrics, error: reason } })
  }

  async #fitting(args: unknown, work: (args: never) => Promise<unknown>): Promise<unknown> {
    const { callbacks, ...rest } = (args ?? {}) as Readonly<Record<string, unknown>>
    this.#fitArgs = rest
    const others = callbacks === undefined ? [] : Array.isArray(callbacks) ? callbacks : [callbacks]
    try {
      return await work({ ...rest, callbacks: [...others, this.callback] } as never)
    } catch (error) {
      await this.failed(error)
      throw error
    }
  }

  async #begin(): Promise<void> {
    if (this.#run) throw new TypeError('this training has begun before: record another for another run')
    const { recorder, onFailure, checkpointEvery, keep, frameworkVersion, parameters, ...input } = this.#options
    const sink = sinkOf(recorder, onFailure ?? recorder.onFailure)
    this.#run = await startTraining(sink, { ...input, parameters: this.#parameters(parameters) })
  }

  async #epoch(epoch: number, logs: Readonly<Record<string, unknown>>): Promise<void> {
    const run = this.#started()
    this.#metrics = metricsOf(logs)
    await run.epoch(epoch, this.#metrics)
    const { checkpointEvery, keep } = this.#options
    if (checkpointEvery === undefined || (epoch + 1) % checkpointEvery !== 0) return
    const artifacts = await artifactsOf(this.#model)
    const location = await keep?.(artifacts, epoch)
    const digest = digestWeights(artifacts)
    await run.checkpoint({ step: epoch, digest, ...(location !== undefined && { location }) })
  }

  async #end(): Promise<void> {
    const run = this.#started()
    if (this.#hasEnded) return
    const digest = digestWeights(await artifactsOf(this.#model))
    this.#hasEnded = true
    this.#digest = digest
    await run.end({ modelDigest: digest, metrics: this.#metrics })
  }

  #started(): TrainingRun {
    if (!this.#run) throw new TypeError('onTrainBegin has not been called')
    return this.#run
  }

  /** What the caller says, and what the model and the call of `fit` say of themselves. */
  #parameters(given: unknown): Readonly<Record<string, unknown>> {
    const { optimizer, loss } = this.#model
    const fit = Object.entries(this.#fitArgs).filter(([, value]) => isPlain(value))
    return {
      framework: this.#framework,
      ...(fit.length > 0 && { fit: Object.fromEntries(fit) }),
      ...optimizerOf(optimizer),
      ...(isPlain(loss) && { loss }),
      ...(given !== undefined && { given }),
    }
  }
}

/**
 * SHA-256 of the weights: of the bytes of `weights.bin`, as TensorFlow.js saves them. The same weights have the same digest
 * wherever they are.
 */
export function digestWeights({ weightData }: ModelArtifacts): string {
  const hash = createHash('sha256')
  const buffers = weightData === undefined ? [] : weightData instanceof ArrayBuffer ? [weightData] : weightData
  for (const buffer of buffers) hash.update(new Uint8Array(buffer))
  return `sha256:${hash.digest('base64url')}`
}

/** What the model would save now. */
async function artifactsOf(model: TrainableModel): Promise<ModelArtifacts> {
  let artifacts: ModelArtifacts | undefined
  const handler: SaveHandler = {
    async save(given) {
      artifacts = given
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } }
    },
  }
  await model.save(handler as never)
  if (!artifacts) throw new TypeError('the model saved nothing: expected a LayersModel')
  return artifacts
}

/** In mode `continue` nobody waits for the log, which gets the entries in their order, if need be later. */
function sinkOf(recorder: Recorder, onFailure: FailureMode): EventSink {
  return {
    record: async (event) => {
      const ack = recorder.record(event, { onFailure })
      // What came of an entry is not asked for in this module, which has no use for receipts.
      return (onFailure === 'block' ? await ack : { state: 'queued' }) as never
    },
  }
}

/** Names that attributes can have, numbers that JSON can have: a loss of NaN is worth knowing. */
function metricsOf(logs: Readonly<Record<string, unknown>>): Record<string, number | string> {
  const metrics: Record<string, number | string> = {}
  for (const [name, value] of Object.entries(logs).slice(0, MAX_METRICS)) {
    if (typeof value !== 'number') continue
    const key = name.replace(/[^A-Za-z0-9_.-]/g, '_').replace(/^[^A-Za-z_]/, '_')
    metrics[key.slice(0, 64)] = Number.isFinite(value) ? value : String(value)
  }
  return metrics
}

const MAX_METRICS = 24

function optimizerOf(optimizer: unknown): Readonly<Record<string, unknown>> {
  const { getClassName, getConfig } = (optimizer ?? {}) as { getClassName?: unknown; getConfig?: unknown }
  if (typeof getClassName !== 'function' || typeof getConfig !== 'function') return {}
  return { optimizer: { name: getClassName.call(optimizer), ...(getConfig.call(optimizer) as object) } }
}

/** Tensors and functions are no parameters that could be read. */
function isPlain(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value) || (Array.isArray(value) && value.every(isPlain))
}
