/** A lineage as a picture: one column for each kind of thing, from the datasets to the runs. Plain SVG, no scripts, no fonts. */
import { type LineageNode, NODE_KINDS } from './graph.ts'
import type { Lineage } from './lineage.ts'

const BOX = { width: 190, height: 46, gapX: 50, gapY: 18 }
const MARGIN = 20
const HEAD = 30
/** How high an edge arches over the boxes between its ends, for each column that it passes. */
const ARCH = 16

const TITLES: Readonly<Record<(typeof NODE_KINDS)[number], string>> = {
  dataset: 'Datasets',
  training: 'Training',
  model: 'Models',
  evaluation: 'Evaluations',
  decision: 'Decisions',
  deployment: 'Deployments',
  run: 'Runs',
}

/** @returns an SVG document; things with a gap in their chain have a red border and say so on hovering */
export function drawLineage({ nodes, edges, gaps, of }: Lineage): string {
  const columns = NODE_KINDS.map((kind) => nodes.filter((node) => node.kind === kind))
  const shown = columns.map((column, i) => ({ kind: NODE_KINDS[i]!, column })).filter(({ column }) => column.length > 0)
  const places = new Map<string, { x: number; y: number }>()
  const tallest = Math.max(...shown.map(({ column }) => column.length))
  const height = MARGIN * 2 + HEAD + ARCH * NODE_KINDS.length + tallest * (BOX.height + BOX.gapY)
  const width = MARGIN * 2 + shown.length * BOX.width + (shown.length - 1) * BOX.gapX
  for (const [i, { column }] of shown.entries()) {
    const free = tallest - column.length
    for (const [j, { key }] of column.entries()) {
      const x = MARGIN + i * (BOX.width + BOX.gapX)
      places.set(key, {
        x,
        y: MARGIN + HEAD + ARCH * (NODE_KINDS.length - 2) + (j + free / 2) * (BOX.height + BOX.gapY),
      })
    }
  }
  const titles = shown.map(({ kind }, i) => {
    const x = MARGIN + i * (BOX.width + BOX.gapX)
    return `<text class="title" x="${x}" y="${MARGIN + 12}">${TITLES[kind]}</text>`
  })
  const lines = edges.map(({ from, to }) => curve(places.get(from)!, places.get(to)!))
  const boxes = nodes.map((node) => {
    const messages = gaps.filter(({ key }) => key === node.key).map(({ code, message }) => `${code}: ${message}`)
    return box(node, places.get(node.key)!, messages, of.includes(node.key))
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="lineage">
<style>
  svg { background: #fff; font: 12px system-ui, sans-serif }
  .title { font-weight: 600; fill: #57606a }
  .box { fill: #f6f8fa; stroke: #8c959f }
  .asked { fill: #ddf4ff; stroke: #0969da }
  .gap { stroke: #cf222e; stroke-width: 2 }
  .name { font-weight: 600; fill: #1f2328 }
  .fact { fill: #57606a; font-size: 11px }
  path { fill: none; stroke: #8c959f }
</style>
${[...titles, ...lines, ...boxes].join('\n')}
</svg>
`
}

function curve(from: { x: number; y: number }, to: { x: number; y: number }): string {
  const isForward = to.x > from.x
  const [x1, x2] = isForward ? [from.x + BOX.width, to.x] : [from.x, to.x + BOX.width]
  const [y1, y2] = [from.y + BOX.height / 2, to.y + BOX.height / 2]
  const middle = (x1 + x2) / 2
  const passed = Math.round(Math.abs(x2 - x1 + BOX.width) / (BOX.width + BOX.gapX)) - 1
  if (passed > 0 && Math.abs(y1 - y2) < BOX.height) {
    // Behind the boxes in between it would look as if it went through them.
    const top = Math.min(y1, y2) - BOX.height / 2 - ARCH * passed
    return `<path d="M${x1} ${y1} C${x1 + BOX.gapX} ${top} ${x2 - BOX.gapX} ${top} ${x2} ${y2}"/>`
  }
  return `<path d="M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}"/>`
}

function box(node: LineageNode, { x, y }: { x: number; y: number }, gaps: readonly string[], isAsked: boolean): string {
  const classes = `box${isAsked ? ' asked' : ''}${gaps.length > 0 ? ' gap' : ''}`
  const entries = `entr${node.entries.length === 1 ? 'y' : 'ies'} ${node.entries.slice(0, 4).join(', ')}`
  const { version, outcome, state } = node.facts
  const fact = [version, state ?? outcome, entries].filter((text) => text !== undefined).join(' · ')
  return `<g><title>${escapeXml([node.key, ...gaps].join('\n'))}</title><rect class="${classes}" x="${x}" y="${y}" width="${BOX.width}" height="${BOX.height}" rx="6"/><text class="name" x="${x + 10}" y="${y + 19}">${escapeXml(cut(node.name, 22))}</text><text class="fact" x="${x + 10}" y="${y + 36}">${escapeXml(cut(fact, 32))}</text></g>`
}

function cut(text: string, most: number): string {
  const characters = [...text]
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`
}

/** Names come from agents. What XML cannot carry at all is left out. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '')
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
