import { describe, it } from 'vitest'
import { openAnchor, openAnchorVerifier } from '../src/anchor/kinds.ts'
import { describeAnchor } from '../src/testing/index.ts'
import { Cleanup, startWitness, use } from './anchor-kit.ts'

describeAnchor(
  'witness',
  async ({ origin, vkey: log }) => {
    const cleanup = new Cleanup()
    const witness = await startWitness(cleanup, [log])
    const { vkey, url } = witness
    const config = { name: 'w', kind: 'witness', required: true, options: { vkey, url } }
    return {
      open: () => openAnchor(config, use('.', origin)),
      verifier: () => openAnchorVerifier({ ...config, options: { vkey, url, ask: true } }, use('.', origin)),
      cut: () => witness.stop(),
      dispose: () => cleanup.run(),
    }
  },
  { describe, it },
)
