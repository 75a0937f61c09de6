/** An agent that asks models through `@huggingface/inference`. Offline. */
import { InferenceClient } from '@huggingface/inference'
import { recordHuggingFace } from 'indelible/capture/hugging-face'
import { withLog } from '../lib.mjs'
import { ENDPOINT, fakeFetch } from './fake.mjs'

const turns = [
  { calls: [{ id: 'call_1', tool: 'find_seat', args: { flight: 'X1' } }] },
  { text: 'Seat 12A is free.', chunks: ['Seat 12A ', 'is free.'] },
]

await withLog('hugging-face', async (log) => {
  const plain = new InferenceClient('none', { endpointUrl: ENDPOINT, fetch: fakeFetch(turns) })
  const client = recordHuggingFace(plain, { recorder: log.recorder })
  await log.run({ agent: 'seats', user: 'u-1', input: 'is a seat free?' }, async (run) => {
    const messages = [{ role: 'user', content: 'is a seat free?' }]
    const { choices } = await client.chatCompletion({ model: 'm-1', messages })
    const [call] = choices[0].message.tool_calls
    const seat = await run.tool(call.function.name, JSON.parse(call.function.arguments), () => '12A', { call: call.id })
    messages.push(choices[0].message, { role: 'tool', tool_call_id: call.id, content: seat })
    for await (const { choices: parts } of client.chatCompletionStream({ model: 'm-1', messages })) {
      process.stdout.write(parts[0]?.delta.content ?? '')
    }
    process.stdout.write('\n')
  })
})
