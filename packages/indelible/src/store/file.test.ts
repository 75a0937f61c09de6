import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { describeStore } from '../testing/store-suite.ts'
import { openFileStore } from './file.ts'

describeStore(
  'file',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'indelible-store-'))
    const path = join(folder, 'log')
    return {
      open: () => openFileStore(path),
      elsewhere: { module: new URL('./file.ts', import.meta.url), open: 'openFileStore', args: [path] },
      dispose: () => rm(folder, { recursive: true }),
    }
  },
  { describe, it },
)
