import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Agent, Runner, tool } from '@openai/agents'
import { recordedTool, recordOpenAiAgents } from 'indelible/capture/openai-agents'
import { AGENT, describeAdapter, USER, WRITER } from 'indelible/testing'
import { z } from 'zod'
import { memoryRecorder, versionOf } from '../lib.mjs'
import { scriptedModel } from './model.mjs'

const ARGS = { lookup: 'city', weather: 'city', charge: 'amount', delete_all: 'path', send_mail: 'to', wait: 'for' }

function toolsOf(tools, more) {
  return Object.entries(tools).map(([name, run]) =>
    tool(
      recordedTool({
        name,
        description: name,
        parameters: z.object({ [ARGS[name]]: z.string() }),
        execute: (args, _context, details) => run(args, details?.signal),
        ...more,
      }),
    ),
  )
}

function play(isStream) {
  return async (scene, stage) => {
    const { recorder, onFailure, tools, policy, approve, signal } = stage
    const run = { user: USER, policy, approve }
    const model = scriptedModel(scene.turns)
    const writer = new Agent({ name: WRITER, instructions: 'write', model })
    const agent = new Agent({ name: AGENT, instructions: 'plan', model, tools: toolsOf(tools), handoffs: [writer] })
    const runner = recordOpenAiAgents(new Runner({ tracingDisabled: true }), { recorder, onFailure, run })
    if (!isStream(scene)) return runner.run(agent, scene.prompt, { signal })
    const result = await runner.run(agent, scene.prompt, { signal, stream: true })
    for await (const _event of result);
    await result.completed
  }
}

const harness = {
  name: 'openai-agents',
  framework: `@openai/agents ${versionOf('@openai/agents')}`,
  play: play(({ name }) => name === 'stream'),
  unknownVersion: ({ recorder }) => recordOpenAiAgents(new Runner(), { recorder, version: '99.0.0' }),
  bypasses: [
    'runs of another runner than the one that was given, such as that of the function `run`, and of an agent that is a tool; of the latter the call is recorded, and what it asks of models that are recorded',
    'a tool that throws, unless it is made with `recordedTool`: the SDK makes an answer to the model of it, which is what is recorded',
    'tools that the provider runs itself; shells, computers and patches are told of, but held back by nobody: mode `block` refuses them',
    'an answer to a request for approval carries no name: give `approver`; one that is given to a state which was read from text is not seen',
    'with `preApprovalInputGuardrails`, a tool has begun before the person is asked',
  ],
}

describeAdapter(harness, { describe, it })

describe('streamed runs', () => {
  describeAdapter({ ...harness, play: play(() => true) }, { describe, it })
})

describe('beside the scenes', () => {
  const send = { calls: [{ id: 'call_1', tool: 'send_mail', args: { to: 'bob' } }] }
  const sent = { text: 'It is sent.' }

  function agentOf(tools, turns = [send, sent]) {
    return new Agent({ name: 'a', instructions: 'i', model: scriptedModel(turns), tools })
  }

  for (const [how, outcome] of [
    ['approve', 'approved'],
    ['reject', 'rejected'],
  ]) {
    it(`records the SDK's own way to ask a person, and that they ${how}`, async () => {
      const { recorder, lines } = memoryRecorder()
      const approver = () => 'alice'
      const runner = recordOpenAiAgents(new Runner({ tracingDisabled: true }), { recorder, approver })
      const ran = []
      const agent = agentOf(toolsOf({ send_mail: async () => String(ran.push('send')) }, { needsApproval: true }))
      const first = await runner.run(agent, 'write to Bob')
      first.state[how](first.interruptions[0])
      const second = await runner.run(agent, first.state)
      assert.equal(second.finalOutput, 'It is sent.')
      assert.equal(ran.length, how === 'approve' ? 1 : 0)
      const tool = how === 'approve' ? ['tool.start send_mail pending', 'tool.end send_mail success'] : []
      assert.deepEqual(await lines(), [
        'run.start pending',
        'llm.request pending',
        'llm.response success',
        'approval.requested send_mail pending',
        `approval.decided alice send_mail ${outcome}`,
        ...tool,
        'llm.request pending',
        'llm.response success',
        'run.end success',
      ])
    })
  }

  it('leaves agents as they were outside of runs that are recorded', async () => {
    const { recorder, events } = memoryRecorder()
    const agent = agentOf(toolsOf({ send_mail: async () => 'sent' }), [send, sent, send, sent])
    await recordOpenAiAgents(new Runner({ tracingDisabled: true }), { recorder }).run(agent, 'write')
    await recorder.flush()
    const before = events.length
    const { finalOutput } = await new Runner({ tracingDisabled: true }).run(agent, 'write')
    await recorder.flush()
    assert.equal(finalOutput, 'It is sent.')
    assert.equal(events.length, before)
  })

  it('holds back what comes after a handoff that cannot be recorded, in mode block', async () => {
    const { recorder, failWhen } = memoryRecorder({ onFailure: 'block' })
    failWhen(({ type }) => type === 'handoff')
    const model = scriptedModel([{ handoff: 'b' }, sent])
    const to = new Agent({ name: 'b', instructions: 'i', model })
    const agent = new Agent({ name: 'a', instructions: 'i', model, handoffs: [to] })
    const runner = recordOpenAiAgents(new Runner({ tracingDisabled: true }), { recorder })
    await assert.rejects(runner.run(agent, 'write'), { code: 'ERR_CAPTURE_BLOCKED' })
    assert.equal(model.calls.length, 1)
  })

  it('is part of a run of yours, if there is one', async () => {
    const { recorder, lines } = memoryRecorder()
    const runner = recordOpenAiAgents(new Runner({ tracingDisabled: true }), { recorder })
    await recorder.run({ agent: 'mine' }, async () => {
      await runner.run(agentOf([], [sent]), 'one')
      await runner.run(agentOf([], [sent]), 'two')
    })
    const asked = ['llm.request pending', 'llm.response success']
    assert.deepEqual(await lines(), ['run.start pending', ...asked, ...asked, 'run.end success'])
  })
})
