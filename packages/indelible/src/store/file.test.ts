import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
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
      files: async () => {
        const names = await readdir(path, { recursive: true, withFileTypes: true })
        return Promise.all(
          names.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name))),
        )
      },
      dispose: () => rm(folder, { recursive: true }),
    }
  },
  { describe, it },
)
