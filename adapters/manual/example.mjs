/** An agent that is recorded by hand: a policy, a person who is asked, tools at once, a stream. Offline. */
import { setTimeout as sleep } from 'node:timers/promises'
import { withLog } from '../lib.mjs'

async function* answer() {
  for (const word of ['Booked ', 'seat ', '12A.']) yield word
}

await withLog('manual', async (log) => {
  const policy = ({ tool }) =>
    tool === 'book_seat' ? { decision: 'review', id: 'bookings', reason: 'costs money' } : 'allow'
  const approve = async () => sleep(5, { approved: true, by: 'alice', reason: 'she asked for it' })
  const options = { agent: { id: 'seats', version: '1.2' }, user: 'u-1', model: 'm-1', policy, approve }
  await log.run(options, async (run) => {
    const [seat] = await Promise.all([
      run.tool('find_seat', { flight: 'X1' }, () => '12A'),
      run.tool('get_price', { flight: 'X1' }, () => sleep(3, 39)),
    ])
    await run.tool('book_seat', { seat }, () => 'done')
    await run.tool('pay', { amount: 39 }, () => Promise.reject(new RangeError('declined'))).catch(() => {})
    for await (const word of await run.llm({ input: 'tell the customer' }, answer)) process.stdout.write(word)
    process.stdout.write('\n')
  })
})
