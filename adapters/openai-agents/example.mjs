/** Two agents of the OpenAI Agents SDK: a tool, one that a person has to approve in the SDK's own way, a handoff. Offline. */
import { Agent, Runner, tool } from '@openai/agents'
import { recordedTool, recordOpenAiAgents } from 'indelible/capture/openai-agents'
import { z } from 'zod'
import { withLog } from '../lib.mjs'
import { scriptedModel } from './model.mjs'

const model = scriptedModel([
  { calls: [{ id: 'call_1', tool: 'find_seat', args: { flight: 'X1' } }] },
  { calls: [{ id: 'call_2', tool: 'book_seat', args: { seat: '12A' } }] },
  { handoff: 'writer' },
  { text: 'Seat 12A is yours.' },
])
const findSeat = recordedTool({
  name: 'find_seat',
  description: 'finds a free seat',
  parameters: z.object({ flight: z.string() }),
  execute: async () => '12A',
})
const bookSeat = recordedTool({
  name: 'book_seat',
  description: 'books a seat',
  parameters: z.object({ seat: z.string() }),
  needsApproval: true,
  execute: async ({ seat }) => `booked ${seat}`,
})
const writer = new Agent({ name: 'writer', instructions: 'Write to the customer.', model })
const tools = [tool(findSeat), tool(bookSeat)]
const seats = new Agent({ name: 'seats', instructions: 'Book seats.', model, tools, handoffs: [writer] })

await withLog('openai-agents', async ({ recorder }) => {
  const options = { recorder, run: { user: 'u-1' }, approver: () => 'alice' }
  const runner = recordOpenAiAgents(new Runner({ tracingDisabled: true }), options)
  let result = await runner.run(seats, 'book me a seat on X1')
  for (const item of result.interruptions) result.state.approve(item)
  result = await runner.run(seats, result.state)
  console.log(result.finalOutput)
})
