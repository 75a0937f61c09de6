/** Lineage of a model, a deployment or a run: everything that it comes from, and everything that comes of it. */
import { IndelibleError } from '../errors.ts'
import type { QueryEngine } from '../query/query.ts'
import { LIFECYCLE_TYPES, type LineageEdge, type LineageGap, LineageGraph, type LineageNode } from './graph.ts'

export interface Lineage {
  /** What was asked for. */
  readonly of: readonly string[]
  readonly nodes: readonly LineageNode[]
  readonly edges: readonly LineageEdge[]
  readonly gaps: readonly LineageGap[]
  /** Runs of these models and deployments that are not among the nodes: only the latest are. */
  readonly more_runs: number
}

/** Most runs of one model or deployment that become nodes. */
const MAX_RUNS = 10

/** How far back runs are looked through for those of a deployment. */
const MAX_RUNS_READ = 10_000

/**
 * @param name a model (`NAME` or `NAME@VERSION`), a deployment, a dataset or a run; or a key such as `model:NAME@VERSION`
 * @throws IndelibleError `ERR_LINEAGE_NOT_FOUND` if no entry speaks of it, or of a run only entries that do not begin it
 */
export async function lineageOf(query: QueryEngine, name: string): Promise<Lineage> {
  const graph = new LineageGraph()
  for await (const { index, record } of query.all({ type: LIFECYCLE_TYPES })) graph.add(index, record)
  const run = await query.run(name.replace(/^run:/, ''))
  if (run) {
    for await (const { index, record } of query.all({ type: 'run.start', run: run.run })) graph.add(index, record)
  }
  const of = find(graph, name)
  if (of.length === 0) {
    throw new IndelibleError(
      'ERR_LINEAGE_NOT_FOUND',
      run
        ? 'the run has no run.start entry, so nothing says which deployment, model or datasets are behind it'
        : 'no entry speaks of a model, deployment, dataset or run of that name',
    )
  }
  const before = reach(graph, of, 'to', 'from')
  const more = run ? 0 : await addRuns(query, graph, reach(graph, of, 'from', 'to'))
  const keys = new Set([...before, ...reach(graph, of, 'from', 'to')])
  // What decided on something in the chain belongs to it, though nothing comes of it.
  for (const { from, to } of graph.edges) if (keys.has(from) && /^(decision|evaluation):/.test(to)) keys.add(to)
  const nodes = [...graph.nodes.values()].filter(({ key }) => keys.has(key))
  return {
    of,
    nodes,
    edges: graph.edges.filter(({ from, to }) => keys.has(from) && keys.has(to)),
    gaps: graph.gaps.filter(({ key }) => keys.has(key)),
    more_runs: more,
  }
}

function find(graph: LineageGraph, name: string): string[] {
  if (graph.nodes.has(name)) return [name]
  return [...graph.nodes.values()]
    .filter((node) => node.kind !== 'decision' && node.kind !== 'evaluation')
    .filter((node) => node.name === name || node.key.slice(node.key.indexOf(':') + 1) === name)
    .map(({ key }) => key)
}

/** Keys that can be walked to from `start` along edges, one way. */
function reach(graph: LineageGraph, start: readonly string[], near: 'from' | 'to', far: 'from' | 'to'): Set<string> {
  const next = new Map<string, string[]>()
  for (const edge of graph.edges) {
    const known = next.get(edge[near])
    if (known) known.push(edge[far])
    else next.set(edge[near], [edge[far]])
  }
  const found = new Set(start)
  for (const key of found) for (const other of next.get(key) ?? []) found.add(other)
  return found
}

/** The latest runs of what was found. Returns how many more there are. */
async function addRuns(query: QueryEngine, graph: LineageGraph, keys: ReadonlySet<string>): Promise<number> {
  const deployments = new Set([...keys].filter((key) => key.startsWith('deployment:')).map((key) => key.slice(11)))
  const models = new Set([...keys].filter((key) => key.startsWith('model:')).map((key) => graph.nodes.get(key)!.name))
  if (deployments.size + models.size === 0) return 0
  const shown = new Map<string, number>()
  let more = 0
  let read = 0
  for (let cursor: string | null = null; ; ) {
    const page = await query.page({ type: 'run.start' }, { limit: 1000, ...(cursor !== null && { cursor }) })
    for (const { index, record } of page.hits) {
      read++
      const place = record.deployment?.id
      const belongsTo =
        place !== undefined && deployments.has(place)
          ? place
          : place === undefined && record.model && models.has(record.model.name)
            ? record.model.name
            : null
      if (belongsTo === null) continue
      const count = shown.get(belongsTo) ?? 0
      shown.set(belongsTo, count + 1)
      if (count < MAX_RUNS) graph.add(index, record)
      else more++
    }
    cursor = page.next
    if (cursor === null || page.hits.length === 0 || read >= MAX_RUNS_READ) return more
  }
}
