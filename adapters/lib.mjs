/** What examples share: a log in a folder of its own, and the proof that it holds. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog, openLog, openQuery, Pins, verifyHome } from 'indelible'
import { Recorder } from 'indelible/capture'
import { parseMacVerificationKey } from 'indelible/verify'

/** Version of an installed package. */
export function versionOf(name) {
  const path = new URL(`node_modules/${name}/package.json`, import.meta.url)
  return JSON.parse(readFileSync(path, 'utf8')).version
}

/** Runs `work` with a fresh log and its home, then verifies that and prints what it holds. Ends the process with 1 if it does not verify. */
export async function withLog(name, work) {
  const folder = mkdtempSync(join(tmpdir(), `indelible-${name}-`))
  try {
    const home = join(folder, 'home')
    const pins = new Pins(join(folder, 'pins'))
    const { macVerificationKey } = await createLog({ home, origin: `${name}.example/log`, pins })
    const log = await openLog({ home })
    await work(log, home)
    await log.close()
    const query = await openQuery({ home })
    const { hits } = await query.page({}, { limit: 100 })
    for (const { index, record } of hits.toSorted((a, b) => a.index - b.index)) {
      if (record.type.startsWith('audit.')) continue
      console.log(
        String(index).padStart(3),
        record.type.padEnd(20),
        record.tool?.name ?? record.model?.name ?? '',
        record.outcome,
      )
    }
    await query.close()
    const report = await verifyHome({ home, pins, macKey: parseMacVerificationKey(macVerificationKey) })
    console.log(`${report.verdict}, ${report.size} entries`)
    if (report.verdict !== 'verified') process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A recorder, and the list that its events end up in, raw. For tests beside those of `describeAdapter`. */
export function memoryRecorder(options) {
  const events = []
  const draft = (event) => ({ id: event.id, bytes: 1, toEvent: () => event })
  let fails = () => false
  const append = async (drafts) => {
    if (drafts.some(({ toEvent }) => fails(toEvent()))) throw new Error('append was made to fail')
    return drafts.map(({ id, toEvent }) => ({ id, index: events.push(toEvent()) - 1 }))
  }
  /** From now on, no event is taken that `which` names. */
  const failWhen = (which) => {
    fails = which
  }
  const recordMany = (many) => append(many.map(draft))
  const record = async (event) => (await recordMany([event]))[0]
  const sink = { origin: 'adapter.example/log', draft, append, record, recordMany }
  const recorder = new Recorder({ ...sink, recordGap: async () => {}, flush: async () => {} }, options)
  const lines = async () => {
    await recorder.flush()
    return events.map(({ type, actor, outcome, tool }) =>
      [type, actor.type === 'agent' ? '' : actor.id, tool?.name, outcome].filter(Boolean).join(' '),
    )
  }
  return { recorder, events, lines, failWhen }
}
