import { mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { openAnchor, openAnchorVerifier } from '../src/anchor/kinds.ts'
import { describeAnchor } from '../src/testing/index.ts'
import { Cleanup, use } from './anchor-kit.ts'

describeAnchor(
  'folder',
  async ({ origin }) => {
    const cleanup = new Cleanup()
    const folder = cleanup.folder()
    const path = join(folder, 'copy')
    const home = join(folder, 'home')
    mkdirSync(path)
    const config = { name: 'f', kind: 'folder', required: true, options: { path } }
    return {
      open: () => openAnchor(config, use(home, origin)),
      verifier: () => openAnchorVerifier(config, use(home, origin)),
      cut: async () => renameSync(path, join(folder, 'elsewhere')),
      lacks: {
        time: 'a file is dated by whoever writes it',
        offline: 'the proof is the copy, not the receipt',
      },
      dispose: () => cleanup.run(),
    }
  },
  { describe, it },
)
