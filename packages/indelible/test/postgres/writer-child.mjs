/** Records into the log of a home until it is killed, and prints the id of each entry that it was told is durable. */
import { openLog } from '../../dist/index.js'

const [, , home] = process.argv

for (;;) {
  try {
    const log = await openLog({ home })
    for (;;) {
      const events = Array.from({ length: 10 }, (_, i) => ({
        type: 'tool.end',
        actor: { type: 'agent', id: `agent-${process.pid}` },
        outcome: 'success',
        parts: { output: { value: `result ${i}` } },
      }))
      const receipts = await log.recordMany(events)
      for (const { id } of receipts) console.log(id)
    }
  } catch (error) {
    console.error(error.code)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
