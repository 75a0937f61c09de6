/** The kit itself: an adapter that does not keep its promises must not pass. */
import { describe, expect, it } from 'vitest'
import { refuseBlock } from '../src/capture/support.ts'
import type { Scene } from '../src/testing/adapter-script.ts'
import type { Stage } from '../src/testing/adapter-stage.ts'
import { type AdapterHarness, type AdapterLacks, describeAdapter } from '../src/testing/adapter-suite.ts'

type Play = AdapterHarness['play']

/** Titles of the cases that fail for a harness, and of those that are skipped. */
async function outcomeOf(play: Play, lacks?: AdapterLacks): Promise<{ failed: string[]; skipped: string[] }> {
  const cases: { name: string; body: (context: { skip(reason: string): void }) => Promise<void> }[] = []
  describeAdapter(
    { name: 'broken', framework: 'none 0', play, ...(lacks && { lacks }) },
    { describe: (_, body) => body(), it: (name, body) => cases.push({ name, body }), results: undefined as never },
  )
  const [failed, skipped]: [string[], string[]] = [[], []]
  for (const { name, body } of cases) {
    await body({ skip: () => skipped.push(name) }).catch(() => failed.push(name))
  }
  return { failed, skipped }
}

/** A good adapter, but for what `change` makes of the stage. */
const playWith =
  (change: (stage: Stage) => Partial<Stage>): Play =>
  (scene, given) =>
    play(scene, { ...given, ...change(given) })

async function play(scene: Scene, stage: Stage): Promise<void> {
  const { recorder, onFailure, policy, approve, signal, tools } = stage
  const options = { agent: 'planner', user: 'u-17', model: 'scripted-1', onFailure, policy, approve, signal }
  await recorder.run(options, async (run) => {
    for (const turn of scene.turns) {
      signal.throwIfAborted()
      const usage = { input_tokens: 10, output_tokens: 5 }
      await run.llm({}, () => ({ usage, text: 'text' in turn ? turn.text : '' }))
      if ('handoff' in turn) await run.handoff(turn.handoff)
      if (!('calls' in turn)) continue
      const calls = turn.calls.map(({ id, tool, args }) =>
        run.tool(tool, args, (given, { signal }) => tools[tool](given, signal), { call: id }),
      )
      for (const result of await Promise.allSettled(calls)) {
        if (result.status === 'rejected' && result.reason?.code === 'ERR_CAPTURE_BLOCKED') throw result.reason
      }
    }
  })
}

const ROW = 'gives its row of the documentation'
const BLOCK = 'runs no tool whose beginning cannot be recorded, in mode block'

describe('describeAdapter', () => {
  it('passes an adapter that keeps its promises', async () => {
    expect((await outcomeOf(play)).failed).toEqual([])
  })

  it('finds one that runs tools that could not be recorded', async () => {
    const continues = playWith(() => ({ onFailure: 'continue' }))
    expect((await outcomeOf(continues)).failed).toEqual([BLOCK, ROW])
  })

  it('finds one that does not ask the policy, or the person', async () => {
    const open = playWith(() => ({ policy: () => 'allow' as const }))
    expect((await outcomeOf(open)).failed).toEqual(['records the scene denied', 'records the scene approval', ROW])
  })

  it('finds one that says nothing of models', async () => {
    const silent: Play = (scene, stage) =>
      play({ ...scene, turns: scene.turns.filter((turn) => 'calls' in turn) }, stage)
    expect((await outcomeOf(silent)).failed).toContain('records the scene parallel')
  })

  it('takes what an adapter declares, and holds it to refusing a mode that it cannot keep', async () => {
    const lacks = {
      scenes: { handoff: 'it knows one agent' },
      events: { llm: 'no hook' },
      block: 'hooks are swallowed',
    }
    const loud: Play = (scene, stage) => {
      refuseBlock('broken', stage.onFailure, 'hooks are swallowed')
      return play(scene, stage)
    }
    const { failed, skipped } = await outcomeOf(loud, lacks)
    expect(failed).toEqual([])
    expect(skipped).toContain('records the scene handoff')
    expect((await outcomeOf(play, lacks)).failed).toEqual(['refuses mode block, which it cannot keep', ROW])
  })
})
