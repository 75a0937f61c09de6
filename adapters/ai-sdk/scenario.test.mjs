import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { generateText, stepCountIs, streamText, tool, wrapLanguageModel } from 'ai'
import { recordAiSdk } from 'indelible/capture/ai-sdk'
import { AGENT, describeAdapter, USER } from 'indelible/testing'
import { z } from 'zod'
import { memoryRecorder, versionOf } from '../lib.mjs'
import { scriptedModel } from './model.mjs'

function toolsOf(tools) {
  const inputSchema = z.record(z.string(), z.string())
  const entries = Object.entries(tools).map(([name, run]) => [
    name,
    tool({ inputSchema, execute: (args, { abortSignal }) => run(args, abortSignal) }),
  ])
  return Object.fromEntries(entries)
}

function play(generate) {
  return async (scene, stage) => {
    const { recorder, onFailure, tools, policy, approve, signal } = stage
    const run = { agent: AGENT, user: USER, policy, approve }
    const { telemetry, middleware } = recordAiSdk({ recorder, onFailure, run })
    await generate(scene, {
      // What telemetry sees, the middleware does not record again.
      model: wrapLanguageModel({ model: scriptedModel(scene.turns), middleware }),
      tools: toolsOf(tools),
      prompt: scene.prompt,
      stopWhen: stepCountIs(scene.turns.length),
      maxRetries: 0,
      abortSignal: signal,
      telemetry,
    })
  }
}

async function stream(options) {
  const failures = []
  const { fullStream } = streamText({ ...options, onError: ({ error }) => failures.push(error) })
  for await (const _part of fullStream);
  assert.ok(failures.length <= 1)
}

const framework = `ai ${versionOf('ai')}`
const lacks = { scenes: { handoff: 'the SDK has none; an agent that is called as a tool is a run of its own' } }

const harness = {
  name: 'ai-sdk',
  framework,
  play: play((scene, options) => (scene.name === 'stream' ? stream(options) : generateText(options))),
  lacks,
  unknownVersion: ({ recorder }) =>
    recordAiSdk({ recorder }).integration.executeTool({
      callId: 'c',
      toolCallId: 't',
      aiVersion: '99.0.0',
      execute: async () => assert.fail('the tool has run'),
    }),
  bypasses: [
    '`telemetry: { isEnabled: false }`, or `telemetry.integrations` of a call without this one: then only the middleware sees the model, and nothing sees tools',
    '`generateObject`, `streamObject`, embeddings, reranking, speech, transcription and images: of these, the middleware sees the language models',
    'tools that a provider runs itself are told of afterwards; tools without `execute` run elsewhere',
    'a stream that nobody reads to its end: its run stays open, and is shown as incomplete',
    '`recordInputs: false` hides arguments: where there is a policy, it then refuses all tools',
    "an answer to the SDK's own request for approval carries no name (give `approver`) and, without `experimental_toolApprovalSecret`, can be made up by whoever writes the messages",
  ],
}

describeAdapter(harness, { describe, it })

describe('tools that are called while the answer still streams', () => {
  describeAdapter({ ...harness, play: play((_, options) => stream(options)) }, { describe, it })
})

describe('beside the scenes', () => {
  const send = { calls: [{ id: 'call_1', tool: 'send_mail', args: { to: 'bob' } }] }
  const sent = { text: 'It is sent.', chunks: ['It is ', 'sent.'] }

  it("records the SDK's own way to ask a person: one generation asks, the next has the answer", async () => {
    const { recorder, lines, events } = memoryRecorder()
    const policy = () => 'review'
    const approver = () => 'alice'
    const { telemetry, toolApproval } = recordAiSdk({ recorder, run: { agent: 'a', policy }, approver })
    const ran = []
    const tools = toolsOf({ send_mail: async () => ran.push('send_mail') })
    const options = { model: scriptedModel([send, sent]), tools, telemetry, toolApproval }
    const first = await generateText({ ...options, prompt: 'write to Bob' })
    assert.deepEqual(ran, [])
    const { approvalId } = first.content.find(({ type }) => type === 'tool-approval-request')
    const answer = { type: 'tool-approval-response', approvalId, approved: true, reason: 'fine' }
    const messages = [{ role: 'user', content: 'write to Bob' }, ...first.responseMessages]
    messages.push({ role: 'tool', content: [answer] })
    await generateText({ ...options, messages })
    assert.deepEqual(ran, ['send_mail'])
    const of = (await lines()).filter((line) => !/^(llm|step)/.test(line))
    assert.deepEqual(of, [
      'run.start pending',
      'approval.requested send_mail pending',
      'run.end success',
      'run.start pending',
      'approval.decided alice send_mail approved',
      'policy.evaluated send_mail approved',
      'tool.start send_mail pending',
      'tool.end send_mail success',
      'run.end success',
    ])
    assert.equal(events.find(({ type }) => type === 'approval.decided').call, 'call_1')
  })

  it('sees by its middleware what telemetry does not', async () => {
    const { recorder, events, lines } = memoryRecorder()
    const { middleware, telemetry } = recordAiSdk({ recorder, run: { agent: 'a' } })
    const options = () => ({
      model: wrapLanguageModel({ model: scriptedModel([sent]), middleware }),
      prompt: 'hi',
      telemetry: { ...telemetry, isEnabled: false },
    })
    await generateText(options())
    for await (const _ of streamText(options()).textStream);
    const call = ['run.start pending', 'llm.request pending', 'llm.response success', 'run.end success']
    assert.deepEqual(await lines(), [...call, ...call])
    for (const { usage, parts } of events.filter(({ type }) => type === 'llm.response')) {
      assert.equal(usage.input_tokens, 10)
      assert.equal(parts.output.value.content[0].text, 'It is sent.')
    }
  })

  it('holds the model back in its middleware too', async () => {
    const { recorder } = memoryRecorder({ onFailure: 'block' })
    await recorder.close()
    const { middleware } = recordAiSdk({ recorder })
    const plain = scriptedModel([sent])
    const model = wrapLanguageModel({ model: plain, middleware })
    await assert.rejects(generateText({ model, prompt: 'hi', maxRetries: 0 }), { code: 'ERR_CAPTURE_BLOCKED' })
    assert.equal(plain.doGenerateCalls.length, 0)
  })

  it('has an agent that is called as a tool be a run of its own', async () => {
    const { recorder, events } = memoryRecorder()
    const { telemetry } = recordAiSdk({ recorder })
    const inner = () => generateText({ model: scriptedModel([sent]), prompt: 'inner', telemetry })
    const tools = toolsOf({ send_mail: async () => (await inner()).text })
    await generateText({ model: scriptedModel([send]), tools, prompt: 'outer', telemetry })
    await recorder.flush()
    const [outer, nested] = events.filter(({ type }) => type === 'run.start')
    assert.equal(nested.run.parent, outer.run.id)
  })

  it('does not let a policy judge arguments that are hidden from it', async () => {
    const { recorder, lines } = memoryRecorder()
    const { telemetry } = recordAiSdk({ recorder, run: { agent: 'a', policy: () => 'allow' } })
    const tools = toolsOf({ send_mail: async () => assert.fail('the tool has run') })
    const hidden = { ...telemetry, recordInputs: false }
    const { content } = await generateText({ model: scriptedModel([send]), tools, prompt: 'go', telemetry: hidden })
    assert.equal(content.find(({ type }) => type === 'tool-error').error.code, 'ERR_CAPTURE_UNSUPPORTED')
    assert.ok(!(await lines()).some((line) => line.startsWith('tool.')))
  })
})
