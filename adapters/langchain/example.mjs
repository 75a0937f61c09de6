/** Two agents of LangChain in one log: one asks a person before it writes, by an interrupt; one is recorded by a middleware. Offline. */
import { HumanMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { Command, MemorySaver } from '@langchain/langgraph'
import { langChainMiddleware, recordLangChain } from 'indelible/capture/langchain'
import { createAgent, humanInTheLoopMiddleware } from 'langchain'
import { z } from 'zod'
import { withLog } from '../lib.mjs'
import { ScriptedModel } from './fake.mjs'

const book = tool(({ seat }) => `booked ${seat}`, {
  name: 'book_seat',
  description: 'books a seat',
  schema: z.object({ seat: z.string() }),
})
const turns = [
  { calls: [{ id: 'call_1', tool: 'book_seat', args: { seat: '12A' } }] },
  { text: 'Booked.', chunks: ['Booked.'] },
]

await withLog('langchain', async (log) => {
  const handler = recordLangChain({
    recorder: log.recorder,
    run: { agent: 'seats', user: 'u-1' },
    approver: ({ approver }) => approver,
  })
  const agent = createAgent({
    model: new ScriptedModel(turns),
    tools: [book],
    middleware: [humanInTheLoopMiddleware({ interruptOn: { book_seat: true } })],
    checkpointer: new MemorySaver(),
  })
  const config = { configurable: { thread_id: 'thread-1' }, callbacks: [handler] }
  await agent.invoke({ messages: [new HumanMessage('book me a seat')] }, config)
  const yes = new Command({ resume: { decisions: [{ type: 'approve' }] } })
  await agent.invoke(yes, { ...config, metadata: { approver: 'alice' } })

  const policy = ({ tool }) =>
    tool === 'book_seat' ? { decision: 'deny', id: 'budget', reason: 'none left' } : 'allow'
  const guarded = createAgent({
    model: new ScriptedModel(turns),
    tools: [book],
    middleware: [langChainMiddleware({ recorder: log.recorder })],
  })
  await log
    .run({ agent: 'guarded-seats', user: 'u-1', policy }, () =>
      guarded.invoke({ messages: [new HumanMessage('book')] }),
    )
    .catch((error) => console.log('refused:', error.cause?.code ?? error.code))
})
