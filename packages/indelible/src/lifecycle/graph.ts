/** From lifecycle entries to a graph: what each thing is made of, and what is missing in between. */
import type { ReadRecord } from '../record/entry.ts'
import { parseTime } from '../record/time.ts'

/** In the order in which one comes of the other. */
export const NODE_KINDS = ['dataset', 'training', 'model', 'evaluation', 'decision', 'deployment', 'run'] as const
export type NodeKind = (typeof NODE_KINDS)[number]

export interface LineageNode {
  /** `dataset:ID@VERSION`, `model:NAME@VERSION`, `training:RUN`, `evaluation:INDEX`, `decision:INDEX`, `deployment:ID`, `run:ID`. */
  readonly key: string
  readonly kind: NodeKind
  readonly name: string
  /** Entries that speak of it, in the order of the log. */
  readonly entries: number[]
  /** Facts for people: outcome, digest, owner, stage. */
  readonly facts: Record<string, string>
}

export interface LineageEdge {
  readonly from: string
  readonly to: string
  readonly index: number
}

export const GAP_CODES = [
  'dataset_unregistered',
  'dataset_changed',
  'dataset_unattested',
  'model_unregistered',
  'model_changed',
  'model_untrained',
  'deployed_without_evaluation',
  'deployed_without_approval',
  'deployed_after_rejection',
  'deployed_on_expired_approval',
  'run_of_unknown_deployment',
] as const
export type GapCode = (typeof GAP_CODES)[number]

export interface LineageGap {
  readonly code: GapCode
  /** Of the node in which the chain is broken. */
  readonly key: string
  readonly index: number
  readonly message: string
}

/** Types of the entries that make a graph, without the runs of agents, which may be millions. */
export const LIFECYCLE_TYPES = [
  'dataset.registered',
  'dataset.attested',
  'train.start',
  'train.end',
  'step.dataset_used',
  'eval.result',
  'model.registered',
  'model.promoted',
  'model.deployed',
  'model.retired',
  'decision.approval',
  'decision.waiver',
  'decision.attestation',
]

interface Approval {
  readonly index: number
  readonly isApproved: boolean
  readonly untilMs: number
  readonly model: string | null
  readonly version: string | null
  readonly deployment: string | null
}

type Dataset = NonNullable<ReadRecord['dataset']>
type Model = NonNullable<ReadRecord['model']>

/** Takes entries in the order of the log. */
export class LineageGraph {
  readonly nodes = new Map<string, LineageNode>()
  readonly edges: LineageEdge[] = []
  readonly gaps: LineageGap[] = []
  readonly #registered = new Map<string, string | null>()
  readonly #attested = new Set<string>()
  readonly #evaluated = new Set<string>()
  readonly #approvals: Approval[] = []
  readonly #versions = new Map<string, string>()

  add(index: number, record: ReadRecord): void {
    const handler = HANDLERS[record.type]
    if (handler) handler.call(this, index, record)
  }

  static readonly handlers: Readonly<Record<string, (this: LineageGraph, index: number, record: ReadRecord) => void>> =
    {
      'dataset.registered'(index, record) {
        const { dataset } = record
        if (!dataset) return
        const key = keyOfDataset(dataset)
        this.#node('dataset', key, dataset.id, index, {
          owner: record.actor.id,
          ...facts({ digest: dataset.digest, version: dataset.version }),
        })
        this.#registered.set(key, dataset.digest ?? null)
      },
      'dataset.attested'(index, record) {
        const { dataset } = record
        if (!dataset) return
        const key = keyOfDataset(dataset)
        this.#node('dataset', key, dataset.id, index, { attested_by: record.actor.id })
        this.#attested.add(key)
      },
      'train.start'(index, record) {
        this.#training(index, record)
        if (record.dataset) this.#trainedOn(index, record, record.dataset)
      },
      'step.dataset_used'(index, record) {
        if (record.dataset) this.#trainedOn(index, record, record.dataset)
      },
      'train.end'(index, record) {
        const training = this.#training(index, record)
        if (!training || !record.model || record.outcome !== 'success') return
        training.facts.outcome = record.outcome
        this.#edge(training.key, this.#model(index, record.model).key, index)
      },
      'model.registered'(index, record) {
        const { model, run } = record
        if (!model) return
        const node = this.#model(index, model, { owner: record.actor.id })
        this.#registered.set(node.key, model.digest ?? null)
        if (run) {
          const training = this.#node('training', `training:${run.id}`, run.id, index)
          this.#edge(training.key, node.key, index)
        }
        const isMade = this.edges.some(({ from, to }) => to === node.key && from.startsWith('training:'))
        if (!isMade) this.#gap('model_untrained', node.key, index, 'no training run is known to have made it')
      },
      'eval.result'(index, record) {
        if (!record.model) return
        const model = this.#model(index, record.model)
        const node = this.#node('evaluation', `evaluation:${index}`, `entry ${index}`, index, {
          outcome: record.outcome,
        })
        this.#edge(model.key, node.key, index)
        if (record.dataset) this.#edge(this.#dataset(index, record.dataset).key, node.key, index)
        if (record.outcome === 'success') this.#evaluated.add(model.key)
      },
      'model.promoted'(index, record) {
        if (record.model) this.#model(index, record.model, facts({ stage: record.attributes?.stage }))
      },
      'model.retired'(index, record) {
        if (record.deployment)
          this.#node('deployment', `deployment:${record.deployment.id}`, record.deployment.id, index, {
            state: 'retired',
          })
        else if (record.model) this.#model(index, record.model, { state: 'retired' })
      },
      'model.deployed'(index, record) {
        const { model, deployment } = record
        if (!model || !deployment) return
        const node = this.#model(index, model)
        const place = this.#node('deployment', `deployment:${deployment.id}`, deployment.id, index, {
          by: record.actor.id,
        })
        this.#edge(node.key, place.key, index)
        this.#judgeDeployment(index, record, model, node.key, place.key)
      },
      'decision.approval': decision,
      'decision.waiver': decision,
      'decision.attestation': decision,
      'run.start'(index, record) {
        const { run, deployment, model } = record
        if (!run) return
        const node = this.#node('run', `run:${run.id}`, run.id, index, { agent: record.actor.id })
        if (deployment) {
          const place = this.#node('deployment', `deployment:${deployment.id}`, deployment.id, index)
          this.#edge(place.key, node.key, index)
          const isKnown = this.edges.some(({ to }) => to === place.key)
          if (!isKnown)
            this.#gap('run_of_unknown_deployment', node.key, index, `no model was deployed as ${deployment.id} before`)
        } else if (model) {
          this.#edge(this.#model(index, model).key, node.key, index)
        }
      },
    }

  decide(index: number, record: ReadRecord): void {
    const { model, dataset, deployment, decision } = record
    const kind = record.type.slice('decision.'.length)
    const node = this.#node('decision', `decision:${index}`, `${kind} by ${record.actor.id}`, index, {
      kind,
      outcome: record.outcome,
      ...facts({ until: decision?.until }),
    })
    if (model) this.#edge(this.#model(index, model).key, node.key, index)
    if (dataset) this.#edge(this.#dataset(index, dataset).key, node.key, index)
    // What approves a deployment comes before it.
    if (deployment)
      this.#edge(node.key, this.#node('deployment', `deployment:${deployment.id}`, deployment.id, index).key, index)
    if (kind !== 'approval') return
    this.#approvals.push({
      index,
      isApproved: record.outcome === 'approved',
      untilMs: decision?.until === undefined ? Number.POSITIVE_INFINITY : parseTime(decision.until),
      model: model?.name ?? null,
      version: model?.version ?? null,
      deployment: deployment?.id ?? null,
    })
  }

  #training(index: number, record: ReadRecord): LineageNode | null {
    return record.run ? this.#node('training', `training:${record.run.id}`, record.run.id, index) : null
  }

  #trainedOn(index: number, record: ReadRecord, dataset: Dataset): void {
    const training = this.#training(index, record)
    if (!training) return
    const { key } = this.#dataset(index, dataset)
    this.#edge(key, training.key, index)
    const registered = this.#registered.get(key)
    const of = `of training ${training.name}`
    if (registered === undefined) this.#gap('dataset_unregistered', key, index, `used ${of}, and not registered before`)
    else if (dataset.digest !== undefined && registered !== null && dataset.digest !== registered) {
      this.#gap('dataset_changed', key, index, `used ${of} with other contents than were registered`)
    }
    if (registered !== undefined && !this.#attested.has(key)) {
      this.#gap('dataset_unattested', key, index, `used ${of}, and nobody had attested it`)
    }
  }

  #judgeDeployment(index: number, record: ReadRecord, model: Model, modelKey: string, deploymentKey: string): void {
    const registered = this.#registered.get(modelKey)
    if (registered === undefined)
      this.#gap('model_unregistered', modelKey, index, 'deployed, and not registered before')
    else if (model.digest !== undefined && registered !== null && model.digest !== registered) {
      this.#gap('model_changed', modelKey, index, 'deployed with other contents than were registered')
    }
    if (!this.#evaluated.has(modelKey)) {
      this.#gap('deployed_without_evaluation', deploymentKey, index, 'no evaluation of this model had passed')
    }
    const last = this.#approvals.findLast((approval) => speaksOf(approval, model, record.deployment!.id))
    if (!last) this.#gap('deployed_without_approval', deploymentKey, index, 'nobody had approved it')
    else if (!last.isApproved) {
      this.#gap('deployed_after_rejection', deploymentKey, index, `entry ${last.index} had rejected it`)
    } else if (parseTime(record.time) > last.untilMs) {
      this.#gap('deployed_on_expired_approval', deploymentKey, index, `the approval of entry ${last.index} had ended`)
    }
    if (last) this.#edge(`decision:${last.index}`, deploymentKey, index)
  }

  #dataset(index: number, dataset: Dataset): LineageNode {
    const version = dataset.version ?? this.#versions.get(`dataset:${dataset.id}`)
    return this.#node(
      'dataset',
      keyOfDataset({ ...dataset, ...(version !== undefined && { version }) }),
      dataset.id,
      index,
    )
  }

  /** One that does not say its version is the last that did. */
  #model(index: number, model: Model, more: Record<string, string> = {}): LineageNode {
    const version = model.version ?? this.#versions.get(`model:${model.name}`)
    if (model.version !== undefined) this.#versions.set(`model:${model.name}`, model.version)
    const key = version === undefined ? `model:${model.name}` : `model:${model.name}@${version}`
    return this.#node('model', key, model.name, index, { ...facts({ version, digest: model.digest }), ...more })
  }

  #node(kind: NodeKind, key: string, name: string, index: number, more: Record<string, string> = {}): LineageNode {
    let node = this.nodes.get(key)
    if (!node) {
      node = { key, kind, name, entries: [], facts: {} }
      this.nodes.set(key, node)
    }
    if (kind === 'dataset' && more.version !== undefined) this.#versions.set(`dataset:${name}`, more.version)
    if (node.entries.at(-1) !== index) node.entries.push(index)
    Object.assign(node.facts, more)
    return node
  }

  #edge(from: string, to: string, index: number): void {
    if (from !== to && !this.edges.some((edge) => edge.from === from && edge.to === to))
      this.edges.push({ from, to, index })
  }

  #gap(code: GapCode, key: string, index: number, message: string): void {
    this.gaps.push({ code, key, index, message })
  }
}

const HANDLERS = LineageGraph.handlers

function decision(this: LineageGraph, index: number, record: ReadRecord): void {
  this.decide(index, record)
}

function keyOfDataset({ id, version }: Pick<Dataset, 'id' | 'version'>): string {
  return version === undefined ? `dataset:${id}` : `dataset:${id}@${version}`
}

function speaksOf(approval: Approval, model: Model, deployment: string): boolean {
  if (approval.deployment !== null && approval.deployment !== deployment) return false
  if (approval.model === null) return approval.deployment !== null
  if (approval.model !== model.name) return false
  return approval.version === null || model.version === undefined || approval.version === model.version
}

function facts(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, String(value)]),
  )
}
