/** Agents of two frameworks ask the people of their log; a person answers from another process, with her own key. Offline. */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { HumanMessage } from '@langchain/core/messages'
import { tool as langChainTool } from '@langchain/core/tools'
import { Agent, Runner, tool } from '@openai/agents'
import { approvalsHook, openApprovals } from 'indelible'
import { langChainMiddleware } from 'indelible/capture/langchain'
import { recordedTool, recordOpenAiAgents } from 'indelible/capture/openai-agents'
import { createAgent } from 'langchain'
import { z } from 'zod'
import { ScriptedModel } from '../langchain/fake.mjs'
import { withLog } from '../lib.mjs'
import { scriptedModel } from '../openai-agents/model.mjs'

const BIN = fileURLToPath(new URL('../../packages/indelible/bin/indelible.js', import.meta.url))
const policy = ({ tool }) => (tool === 'refund' ? { decision: 'review', id: 'refunds', reason: 'over 100' } : 'allow')

await withLog('approvals', async (log, home) => {
  const cli = (...args) => indelible(home, args)
  const { file, vkey } = JSON.parse(
    await cli('identity', 'new', 'alice@example.org', '--dir', `${home}-people`, '--json'),
  )
  await cli('identity', 'add', vkey)
  const approve = approvalsHook(await openApprovals(log, { home }), {
    approvers: ['alice@example.org'],
    expiresMs: 60_000,
  })
  const paid = []
  const answers = answerAll(cli, file, ['--approve', '--reject'])

  const refund = recordedTool({
    name: 'refund',
    description: 'pays back',
    parameters: z.object({ order: z.number() }),
    execute: async ({ order }) => void paid.push(order) ?? 'paid',
  })
  const model = scriptedModel([{ calls: [{ id: 'call_1', tool: 'refund', args: { order: 1042 } }] }, { text: 'Done.' }])
  const runner = recordOpenAiAgents(new Runner({ tracingDisabled: true }), {
    recorder: log.recorder,
    run: { user: 'customer-7', policy, approve },
  })
  await runner.run(new Agent({ name: 'refunds', instructions: '', model, tools: [tool(refund)] }), 'refund 1042')

  const second = createAgent({
    model: new ScriptedModel([
      { calls: [{ id: 'call_2', tool: 'refund', args: { order: 2000 } }] },
      { text: 'Sorry.' },
    ]),
    tools: [
      langChainTool(({ order }) => void paid.push(order) ?? 'paid', {
        name: 'refund',
        description: 'pays back',
        schema: z.object({ order: z.number() }),
      }),
    ],
    middleware: [langChainMiddleware({ recorder: log.recorder })],
  })
  await log
    .run({ agent: 'more-refunds', user: 'customer-8', policy, approve }, () =>
      second.invoke({ messages: [new HumanMessage('refund 2000')] }),
    )
    .catch((error) => console.log('refused:', error.cause?.code ?? error.code))
  await answers
  console.log('paid:', paid.join(', '))
  if (paid.join() !== '1042') throw new Error(`expected order 1042 alone to be paid, found ${paid.join()}`)
})

/** Waits for each request in turn, looks at it and answers it, as a person at another terminal would. */
async function answerAll(cli, key, replies) {
  for (const reply of replies) {
    let pending = ''
    while (pending === '') {
      await sleep(100)
      pending = (await cli('approvals', 'list', '--json')).trim()
    }
    const { id } = JSON.parse(pending.split('\n')[0])
    await cli('approvals', 'show', id, '--identity', key)
    process.stdout.write(await cli('approvals', 'decide', id, reply, '--identity', key))
    // Until the agent has taken note of it.
    while ((await cli('approvals', 'list', '--json')).includes(id)) await sleep(100)
  }
}

function indelible(home, args) {
  const child = spawn(process.execPath, [BIN, '--home', home, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (text) => {
    out += text
  })
  return new Promise((done, fail) => {
    child.on('close', (code) => (code === 0 ? done(out) : fail(new Error(`indelible ${args[0]} ended with ${code}`))))
  })
}
