/** An agent that asks a model through `@anthropic-ai/sdk`, first whole and then as a stream. Offline. */
import Anthropic from '@anthropic-ai/sdk'
import { recordAnthropic } from 'indelible/capture/anthropic'
import { withLog } from '../lib.mjs'
import { fakeFetch } from './fake.mjs'

const turns = [
  { calls: [{ id: 'toolu_1', tool: 'find_seat', args: { flight: 'X1' } }] },
  { text: 'Seat 12A is free.', chunks: ['Seat 12A ', 'is free.'] },
]

await withLog('anthropic', async (log) => {
  const plain = new Anthropic({ apiKey: 'none', fetch: fakeFetch(turns) })
  const client = recordAnthropic(plain, { recorder: log.recorder })
  await log.run({ agent: 'seats', user: 'u-1', input: 'is a seat free?' }, async (run) => {
    const messages = [{ role: 'user', content: 'is a seat free?' }]
    const { content } = await client.messages.create({ model: 'm-1', max_tokens: 100, messages })
    const [{ id, name, input }] = content
    const seat = await run.tool(name, input, () => '12A', { call: id })
    messages.push({ role: 'assistant', content })
    messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: seat }] })
    const stream = client.messages.stream({ model: 'm-1', max_tokens: 100, messages })
    stream.on('text', (text) => process.stdout.write(text))
    await stream.finalMessage()
    process.stdout.write('\n')
  })
})
