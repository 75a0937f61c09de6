/** An agent of the AI SDK: a tool, one that a person has to approve, and an answer as a stream. Offline. */
import { stepCountIs, streamText, tool, wrapLanguageModel } from 'ai'
import { recordAiSdk } from 'indelible/capture/ai-sdk'
import { z } from 'zod'
import { withLog } from '../lib.mjs'
import { scriptedModel } from './model.mjs'

const model = scriptedModel([
  { calls: [{ id: 'call_1', tool: 'find_seat', args: { flight: 'X1' } }] },
  { calls: [{ id: 'call_2', tool: 'book_seat', args: { seat: '12A' } }] },
  { text: 'Seat 12A is yours.', chunks: ['Seat 12A ', 'is yours.'] },
])
const tools = {
  find_seat: tool({ inputSchema: z.object({ flight: z.string() }), execute: async () => '12A' }),
  book_seat: tool({ inputSchema: z.object({ seat: z.string() }), execute: async ({ seat }) => `booked ${seat}` }),
}

await withLog('ai-sdk', async (log) => {
  const policy = ({ tool: name }) => (name === 'book_seat' ? 'review' : 'allow')
  const approve = async () => ({ approved: true, by: 'alice' })
  const run = { agent: 'seats', user: 'u-1', policy, approve }
  const { telemetry, middleware } = recordAiSdk({ recorder: log.recorder, run })
  const { textStream } = streamText({
    model: wrapLanguageModel({ model, middleware }),
    tools,
    prompt: 'book me a seat on X1',
    stopWhen: stepCountIs(5),
    telemetry,
  })
  for await (const text of textStream) process.stdout.write(text)
  process.stdout.write('\n')
})
