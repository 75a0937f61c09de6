/** An agent of Mastra that asks a person before it pays, and may not delete. Offline. */
import { setTimeout as sleep } from 'node:timers/promises'
import { recordMastra } from 'indelible/capture/mastra'
import { withLog } from '../lib.mjs'
import { agentWith, scriptedModel, tool } from './agent.mjs'

const turns = [
  {
    calls: [
      { id: 'call_1', tool: 'pay', args: { amount: '12' } },
      { id: 'call_2', tool: 'delete_invoice', args: { number: '7' } },
    ],
  },
  { chunks: ['It is paid, ', 'and still there.'] },
]
const tools = { pay: tool('pay', async () => 'paid'), delete_invoice: tool('delete_invoice', async () => 'gone') }

await withLog('mastra', async (log) => {
  const policy = ({ tool: name }) =>
    name === 'pay' ? 'review' : { decision: 'deny', id: 'archive', reason: 'we keep them' }
  const approve = async () => sleep(5, { approved: true, by: 'alice' })
  const audit = recordMastra({ recorder: log.recorder, onFailure: 'block', run: { user: 'u-1', policy, approve } })
  const agent = agentWith(audit, { name: 'clerk', model: scriptedModel(turns), tools })
  const { textStream } = await agent.stream('pay invoice 7 and delete it')
  for await (const text of textStream) process.stdout.write(text)
  process.stdout.write('\n')
})
