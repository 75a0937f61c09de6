/** The thread that writes to a log of files, with open files of its own, while the one that started it holds the lock. */
import { workerData } from 'node:worker_threads'
import { serve } from './background-thread.ts'
import { storeFileError } from './file-io.ts'
import { FileLog } from './file-log.ts'
import type { Rotation } from './file-segments.ts'
import { FileWriter } from './file-writer.ts'
import { isSameHead } from './same-head.ts'

/** What the thread is started with. */
export interface FileThreadStart {
  /** Its real path. */
  readonly folder: string
  readonly rotation: Rotation
}

const { folder, rotation } = workerData as FileThreadStart
const log = new FileLog(folder, false)
const writer = new FileWriter(log, rotation)

serve(
  {
    async append(after, batch) {
      const view = await writer.prepare()
      if (!isSameHead(view.head, after)) return false
      await writer.append(view, batch)
      return true
    },
    close: () => log.close(),
  },
  (error) => storeFileError(error, 'append failed'),
)
