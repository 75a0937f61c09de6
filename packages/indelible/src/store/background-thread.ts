/** The thread's end of `background.ts`: takes batches, one after the other, and answers each. */
import { parentPort } from 'node:worker_threads'
import { isIndelibleError } from '../errors.ts'
import type { BackgroundAnswer } from './background.ts'
import { type PackedBatch, unpackBatch } from './packed-batch.ts'
import type { Batch, Head } from './store.ts'

/** What the thread does with its handle of the store. */
export interface ThreadWriter {
  /** As `Store.appendAfter`. An `ERR_STORE_CONFLICT` says that nothing was written. */
  append(after: Head, batch: Batch): Promise<boolean>
  close(): void
}

/** Serves until it is told to end. `coded` gives an error of the system its code. */
export function serve(writer: ThreadWriter, coded: (error: unknown) => unknown): void {
  const port = parentPort!
  port.on('message', async (packed: PackedBatch | null) => {
    if (packed === null) {
      writer.close()
      port.close()
    } else {
      port.postMessage(await answerTo(packed))
    }
  })

  async function answerTo(packed: PackedBatch): Promise<BackgroundAnswer> {
    try {
      return { written: await writer.append(packed.after, unpackBatch(packed)) }
    } catch (error) {
      if (isIndelibleError(error, 'ERR_STORE_CONFLICT')) return { written: false }
      const known = coded(error)
      const code = isIndelibleError(known) ? known.code : 'ERR_STORE_FAILED'
      return { error: { code, message: (known as Error).message } }
    }
  }
}
