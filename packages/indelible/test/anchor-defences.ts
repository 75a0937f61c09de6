/** The anchors of the table, each with what a verifier of his own keeps of it. */
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openAnchorVerifier } from '../src/anchor/kinds.ts'
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
import { FakeS3 } from './s3-fake.ts'
import { TestAuthority } from './tsa-kit.ts'

const rolledBack = { finding: 'rolled_back' } as const
const missing = { finding: 'log_missing' } as const
const splitView = { finding: 'split_view' } as const

/** Verifies with the vkey, and with what `anchors` judge. */
const verifyWith = (scene: Scene, anchors: readonly AnchorVerifier[]) => (home: string) =>
  verifyHome({ home, pins: null, trust: { origin: scene.origin, keys: [parseVkey(scene.vkey)], anchors } })

/** Has the anchors of the home vouch, as cron would. */
export async function anchorNow(home: string, env: NodeJS.ProcessEnv = {}): Promise<void> {
  await using runner = await AnchorRunner.open(home, { env })
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

let authority: TestAuthority | undefined

/** @param isKept whether the verifier takes the tokens away each time */
async function stamped({ cleanup, home, origin, vkey }: Scene, isKept: boolean): Promise<Held> {
  authority ??= new TestAuthority(cleanup)
  const { root } = authority
  const url = await authority.serve(cleanup)
  setConfig(home, { list: [{ name: 't', kind: 'rfc3161', options: { url, certificates: root } }] })
  const kept = join(cleanup.folder(), 't.jsonl')
  const options = { certificates: root, ...(isKept && { receipts: kept }) }
  const trust = { name: 't', kind: 'rfc3161', required: true, max_age: 3600, options }
  return {
    async keep() {
      await anchorNow(home)
      cpSync(join(home, 'anchors/t.jsonl'), kept)
    },
    async verify(at) {
      const anchors = [await openAnchorVerifier(trust, use('.', origin))]
      return verifyHome({ home: at, pins: null, trust: { origin, keys: [parseVkey(vkey)], anchors } })
    },
    async attack(at) {
      // Whoever has the home can have what is left of it stamped anew.
      rmSync(join(at, 'anchors'), { recursive: true })
      await anchorNow(at)
    },
  }
}

interface CopyScene {
  readonly kind: string
  readonly options: Record<string, unknown>
  /** What the credentials of the log allow: to its thief too. */
  attack(): Promise<void>
}

function copied(
  { home, origin, vkey }: Scene,
  { kind, options, attack }: CopyScene,
  env: NodeJS.ProcessEnv = {},
): Held {
  setConfig(home, { list: [{ name: 'c', kind, options }] })
  const { lock: _, retain: __, ...place } = options
  const trust = { name: 'c', kind, required: true, options: place }
  return {
    keep: () => anchorNow(home, env),
    async verify(at) {
      const anchors = [await openAnchorVerifier(trust, use('.', origin, { env }))]
      return verifyHome({ home: at, pins: null, trust: { origin, keys: [parseVkey(vkey)], anchors } })
    },
    attack,
  }
}

const nothing = async () => {}

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
  {
    title: 'timestamps whose tokens only the log has, not older than an hour',
    column: null,
    cells: {
      truncate: { not: 'what is left can be stamped anew, and the authority remembers nothing' },
      rollBack: { not: 'the same' },
      delete: missing,
      rewrite: { not: 'the same: only who holds an older token can tell' },
    },
    begin: (scene) => stamped(scene, false),
  },
  {
    title: 'timestamps, and copies of their tokens',
    column: '+ RFC 3161',
    cells: { truncate: rolledBack, rollBack: rolledBack, delete: missing, rewrite: splitView },
    begin: (scene) => stamped(scene, true),
  },
  {
    title: 'a copy in a folder that the attacker cannot change',
    column: '+ WORM checkpoints',
    cells: { truncate: rolledBack, rollBack: rolledBack, delete: missing, rewrite: splitView },
    begin: async (scene) =>
      copied(scene, { kind: 'folder', options: { path: scene.cleanup.folder() }, attack: nothing }),
  },
  {
    title: 'a copy in a folder that the attacker can change',
    column: null,
    cells: {
      truncate: { not: 'the newer checkpoint is removed from the copy, too' },
      rollBack: { not: 'the same' },
      delete: missing,
      rewrite: { not: 'all is removed from the copy, and copied there anew' },
    },
    async begin(scene) {
      const path = scene.cleanup.folder()
      const attack = async () => {
        for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true })
        rmSync(join(scene.home, 'anchors'), { recursive: true })
        await anchorNow(scene.home)
      }
      return copied(scene, { kind: 'folder', options: { path }, attack })
    },
  },
  {
    title: 'a copy in S3 under Object Lock, whose credentials the attacker has',
    column: '+ WORM checkpoints',
    cells: { truncate: rolledBack, rollBack: rolledBack, delete: missing, rewrite: splitView },
    async begin(scene) {
      const fake = await FakeS3.start(scene.cleanup, { versioned: true })
      const attack = async () => {
        for (const [key, versions] of [...fake.objects]) {
          for (const { id } of versions) {
            const answer = await fetch(`${fake.url}/bucket/${key}?versionId=${id}`, { method: 'DELETE' })
            if (answer.status !== 403) throw new Error(`deleted ${key}`)
          }
          await fetch(`${fake.url}/bucket/${key}`, { method: 'DELETE' })
        }
      }
      const options = { ...fake.options, lock: 'compliance', retain: '1d' }
      return copied(scene, { kind: 's3', options, attack }, fake.env)
    },
  },
]
