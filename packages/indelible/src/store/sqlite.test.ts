import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { describeStore } from '../testing/store-suite.ts'
import { openSqliteStore } from './sqlite.ts'

describeStore(
  'sqlite',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'indelible-store-'))
    const path = join(folder, 'log.db')
    return {
      open: async () => openSqliteStore(path),
      elsewhere: { module: new URL('./sqlite.ts', import.meta.url), open: 'openSqliteStore', args: [path] },
      files: async () => Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name)))),
      dispose: () => rm(folder, { recursive: true }),
    }
  },
  { describe, it },
)
