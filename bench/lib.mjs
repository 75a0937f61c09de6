/** What the benchmarks share: events of one shape, children whose memory is measured, a table. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** About 500 bytes as an entry, one part: what an agent's tool call looks like. */
export function sampleEvent(i) {
  return {
    type: 'tool.end',
    actor: {
      type: 'agent',
      id: `agent-${Math.floor(i / 4) % 20}`,
      version: '1.4.2',
      on_behalf_of: `customer-${i % 1000}`,
    },
    outcome: i % 51 === 0 ? 'failure' : 'success',
    session: `session-${i % 2000}`,
    run: { id: `run-${Math.floor(i / 60)}` },
    call: `call-${i}`,
    tool: { name: ['get_user_details', 'search_flights', 'book_seat', 'send_refund'][i % 4] },
    duration_ms: 12.5,
    attributes: { message_count: i % 17 },
    parts: { output: { value: { text: `result ${i}`, items: [1, 2, 3], note: 'x'.repeat(100) } } },
  }
}

/** Runs `bench/<script>` as a process of its own; resolves with the JSON of its last line, and its peak memory in MB. */
export function child(script, ...args) {
  const path = fileURLToPath(new URL(script, import.meta.url))
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [path, ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let out = ''
    process_.stdout.on('data', (data) => {
      out += data
    })
    process_.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(out.trim().split('\n').at(-1)))
      else reject(new Error(`${script} ${args.join(' ')} ended with ${code}`))
    })
  })
}

/** Peak memory of this process, MB. */
export const peakMb = () => Math.round(process.resourceUsage().maxRSS / 1024)

export async function withFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-bench-'))
  process.env.XDG_CONFIG_HOME = join(folder, 'config')
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function seconds(work) {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

/** Events per second of processes that recorded at the same time. */
export function rateOf(ran) {
  return ran.reduce((sum, { measured }) => sum + measured, 0) / Math.max(...ran.map(({ elapsed }) => elapsed))
}

/** The value below which `share` of `values` lie. */
export function percentile(values, share) {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]
}

const format = (value) => (typeof value === 'number' ? value.toLocaleString('en', { maximumFractionDigits: 2 }) : value)

/** Rows of `{what, found, unit, limit?, ratio?, target?}`. */
export function table(rows) {
  const cells = [['what', 'found', 'limit of this run', 'ratio', 'target']]
  for (const { what, found, unit, limit, ratio, target } of rows) {
    cells.push([
      what,
      `${format(found)} ${unit}`,
      limit === undefined ? '' : `${format(limit)} ${unit}`,
      ratio === undefined ? '' : format(ratio),
      target ?? '',
    ])
  }
  const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => row[i].length)))
  for (const row of cells)
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    )
}
