import { describe, it } from 'vitest'
import { describeStore } from '../testing/store-suite.ts'
import { MemoryStore } from './memory.ts'

const lacks = {
  reopen: 'lives in its process',
  processes: 'lives in one process',
  ahead: 'writes at once: there is nothing to wait for meanwhile',
  files: 'is in memory alone',
  closed: 'is the log and its handle in one: close has nothing to let go of',
}

describeStore(
  'memory',
  async () => {
    const store = new MemoryStore()
    return { open: async () => store, lacks }
  },
  { describe, it },
)
