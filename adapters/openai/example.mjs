/** An agent that asks a model through the `openai` package, whose tool is recorded by hand. Offline. */
import { recordOpenAi } from 'indelible/capture/openai'
import OpenAI from 'openai'
import { withLog } from '../lib.mjs'
import { fakeFetch } from './fake.mjs'

const turns = [
  { calls: [{ id: 'call_1', tool: 'find_seat', args: { flight: 'X1' } }] },
  { text: 'Seat 12A is free.', chunks: ['Seat 12A is free.'] },
]

await withLog('openai', async (log) => {
  const client = recordOpenAi(new OpenAI({ apiKey: 'none', fetch: fakeFetch(turns) }), { recorder: log.recorder })
  await log.run({ agent: 'seats', user: 'u-1', input: 'is a seat free?' }, async (run) => {
    const messages = [{ role: 'user', content: 'is a seat free?' }]
    const { choices } = await client.chat.completions.create({ model: 'm-1', messages })
    const [call] = choices[0].message.tool_calls
    const seat = await run.tool(call.function.name, JSON.parse(call.function.arguments), () => '12A', { call: call.id })
    messages.push(choices[0].message, { role: 'tool', tool_call_id: call.id, content: seat })
    await client.chat.completions.create({ model: 'm-1', messages })
  })
})
