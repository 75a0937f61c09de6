/** The anchors of the table, each with what a verifier of his own keeps of it. */
import { join } from 'node:path'
import { AnchorRunner } from '../src/anchor/runner.ts'
import { quorumVerifier } from '../src/anchor/witness.ts'
import { openLog, Pins, verifyHome } from '../src/index.ts'
import { parseWitnessPolicy } from '../src/note/policy.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import type { AnchorVerifier } from '../src/verify/anchors.ts'
import type { KeptReceipt } from '../src/verify/receipts-check.ts'
import { parseKeptReceipts } from '../src/verify/receipts-check.ts'
import { setConfig, startWitness, use } from './anchor-kit.ts'
import type { Defence, Held, Scene } from './anchor-table.ts'

const rolledBack = { finding: 'rolled_back' } as const
const missing = { finding: 'log_missing' } as const
const splitView = { finding: 'split_view' } as const

/** Verifies with the vkey, and with what `anchors` judge. */
const verifyWith = (scene: Scene, anchors: readonly AnchorVerifier[]) => (home: string) =>
  verifyHome({ home, pins: null, trust: { origin: scene.origin, keys: [parseVkey(scene.vkey)], anchors } })

/** Has the anchors of the home vouch, as cron would. */
export async function anchorNow(home: string): Promise<void> {
  await using runner = await AnchorRunner.open(home)
  const outcomes = await runner.run({ force: true })
  const failed = outcomes?.find(({ result }) => result !== 'anchored')
  if (!outcomes || failed) throw new Error(`not anchored: ${failed?.error?.message}`)
}

async function witnessed(
  scene: Scene,
  { ask, maxAgeSeconds }: { ask: boolean; maxAgeSeconds?: number },
): Promise<Held> {
  // A clock that the test moves: between the two times that the log is anchored, two hours pass.
  let nowMs = Date.now() - 2 * 3_600_000
  const witness = await startWitness(scene.cleanup, [scene.vkey], { clock: () => nowMs })
  const policy = `witness w1 ${witness.vkey} ${witness.url}\nquorum w1\n`
  setConfig(scene.home, { list: [{ name: 'w1', kind: 'witness', options: { url: witness.url, vkey: witness.vkey } }] })
  const options = { name: 'quorum', required: true, maxAgeSeconds }
  const verifier = quorumVerifier(parseWitnessPolicy(policy), options, ask ? use('.', scene.origin) : null)
  return {
    async keep() {
      await anchorNow(scene.home)
      nowMs = Date.now()
    },
    verify: verifyWith(scene, [verifier]),
  }
}

export const DEFENCES: readonly Defence[] = [
  {
    title: 'a pin, on another machine',
    column: null,
    cells: { truncate: rolledBack, rollBack: rolledBack, delete: missing, rewrite: splitView },
    async begin({ cleanup, home, origin, vkey }) {
      const pins = new Pins(join(cleanup.folder(), 'pins'))
      const verify = (at: string) => verifyHome({ home: at, pins, trust: { origin, keys: [parseVkey(vkey)] } })
      return {
        async keep() {
          if ((await verify(home)).verdict !== 'verified') throw new Error('not verified')
        },
        verify,
      }
    },
  },
  {
    title: 'the word of a witness, asked when verifying',
    column: '+ witness quorum',
    cells: { truncate: rolledBack, rollBack: rolledBack, delete: missing, rewrite: splitView },
    begin: (scene) => witnessed(scene, { ask: true }),
  },
  {
    title: 'a policy that demands a cosignature of the last hour, and asks nobody',
    column: '+ witness quorum',
    cells: {
      truncate: { finding: 'anchor_stale' },
      rollBack: { finding: 'anchor_stale' },
      delete: missing,
      // The attacker leaves the older receipt, or none: what he has rewritten no witness has cosigned.
      rewrite: splitView,
    },
    begin: (scene) => witnessed(scene, { ask: false, maxAgeSeconds: 3600 }),
  },
  {
    title: 'a policy that demands a cosignature of any age, and asks nobody',
    column: null,
    cells: {
      truncate: { not: 'the older cosignature is as good as the newer one, which the attacker removed' },
      rollBack: { not: 'the older cosignature is as good as the newer one, which is gone with the rest' },
      delete: missing,
      rewrite: splitView,
    },
    begin: (scene) => witnessed(scene, { ask: false }),
  },
  {
    title: 'receipts that callers kept',
    column: '+ caller receipts',
    cells: { truncate: rolledBack, rollBack: rolledBack, delete: missing, rewrite: splitView },
    async begin({ home, origin, vkey }) {
      const receipts: KeptReceipt[] = []
      return {
        async keep() {
          const log = await openLog({ home })
          const size = Number((await log.checkpoint())!.split('\n')[1])
          receipts.push(...parseKeptReceipts((await log.prove(size - 1)).proof, 'receipt'))
          await log.close()
        },
        verify: (at) => verifyHome({ home: at, pins: null, receipts, trust: { origin, keys: [parseVkey(vkey)] } }),
      }
    },
  },
]
