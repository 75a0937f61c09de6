/**
 * The promises of `anchor/anchor.ts` as tests. A kind of anchor is done when they pass unchanged; what it cannot promise its
 * harness declares, with the reason. They need no test runner of their own: `describe` and `it` are handed in.
 */
import assert from 'node:assert/strict'
import type { Anchor, AnchoredCheckpoint } from '../anchor/anchor.ts'
import { isIndelibleError } from '../errors.ts'
import { generateSkey } from '../keys/signer.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import type { AnchorReceipt, AnchorVerifier, Voucher } from '../verify/anchors.ts'
import { type AnchorSubject, AnchorTestLog, receiptOf } from './anchor-kit.ts'
import type { TestApi } from './store-kit.ts'

/** What an anchor may be unable to promise. */
export interface AnchorLacks {
  /** It remembers what it vouched for, and refuses a smaller checkpoint or one of another tree. */
  readonly memory?: string
  /** It states when it vouched, by a clock that is not the log's. */
  readonly time?: string
  /** A verifier can ask it, without any receipt. */
  readonly ask?: string
  /** It can be made unreachable. */
  readonly cut?: string
  /** A receipt proves by itself that the anchor vouched: whoever alters it is caught offline. */
  readonly offline?: string
}

/** One anchor that has seen nothing yet. */
export interface AnchorHarness {
  /** Opens the same anchor each time, as the log would. */
  open(): Promise<Anchor>
  /** As a verifier would who has a trust policy of his own. */
  verifier(): Promise<AnchorVerifier>
  /** From now on it cannot be reached. */
  cut?(): Promise<void>
  readonly lacks?: AnchorLacks
  dispose?(): Promise<void>
}

const ORIGIN = 'anchored.example/log'

/**
 * Declares the tests of a kind of anchor.
 *
 * @param setup called for each test, with the log that will be anchored
 */
export function describeAnchor(
  name: string,
  setup: (log: AnchorSubject) => Promise<AnchorHarness>,
  { describe, it }: TestApi,
): void {
  const define = (title: string, body: (bench: Bench) => Promise<void>, ...needs: (keyof AnchorLacks)[]) => {
    it(title, async (context) => {
      const skey = generateSkey(ORIGIN, 'default')
      const log = await AnchorTestLog.make(ORIGIN, skey)
      const harness = await setup(log)
      const bench = new Bench(harness, log, () => AnchorTestLog.make(ORIGIN, skey))
      try {
        const reason = needs.map((need) => harness.lacks?.[need]).find((why) => why !== undefined)
        if (reason !== undefined) context.skip(reason)
        else await body(bench)
      } finally {
        await bench.close()
        await harness.dispose?.()
      }
    })
  }
  describe(`${name} anchor`, () => {
    define('vouches for a checkpoint so that a verifier finds it in the receipt', async (bench) => {
      const { receipt, checkpoint } = await bench.anchor(await bench.log.grow(4))
      const voucher = await bench.check(receipt)
      assert.ok(voucher?.counts)
      assert.ok(voucher.by.length > 0)
      assertIs(voucher, checkpoint)
    })

    define('vouches for a log as it grows, over the edges of tiles too', async (bench) => {
      let previous: AnchorReceipt | null = null
      for (const more of [1, 3, 252, 1, 300]) {
        const { receipt, checkpoint } = await bench.anchor(await bench.log.grow(more), previous)
        assertIs(await bench.check(receipt), checkpoint)
        previous = receipt
      }
    })

    define('goes on when its own receipts are lost, and after a restart', async (bench) => {
      await bench.anchor(await bench.log.grow(5))
      await bench.reopen()
      const { receipt, checkpoint } = await bench.anchor(await bench.log.grow(5), null)
      assertIs(await bench.check(receipt), checkpoint)
    })

    define('vouches for the same checkpoint again', async (bench) => {
      const first = await bench.anchor(await bench.log.grow(3))
      const second = await bench.anchor(first.checkpoint, first.receipt)
      assertIs(await bench.check(second.receipt), first.checkpoint)
    })

    define(
      'states a time by a clock of its own',
      async (bench) => {
        const { receipt } = await bench.anchor(await bench.log.grow(1))
        const { time } = (await bench.check(receipt))!
        assert.ok(time !== null && Math.abs(time - Date.now() / 1000) < 600, `time ${time}`)
      },
      'time',
    )

    define(
      'never lends a receipt to another checkpoint',
      async (bench) => {
        const small = await bench.anchor(await bench.log.grow(2))
        const { note, size } = await bench.log.grow(2)
        await bench.refutes({ ...small.receipt, checkpoint: note, size })
      },
      'offline',
    )

    define(
      'vouches for nothing else by a receipt with any of its bytes changed',
      async (bench) => {
        const { receipt } = await bench.anchor(await bench.log.grow(2))
        const before = await bench.check(receipt)
        let refuted = 0
        let tried = 0
        for (const altered of alterations(receipt)) {
          tried++
          // A proof may have bytes that nobody signs, such as certificates that are not needed. They must change nothing.
          if (await bench.isRefuted(altered)) refuted++
          else assert.deepEqual(await bench.check(altered), before)
        }
        assert.ok(refuted > tried / 2, `${refuted} of ${tried} refuted`)
      },
      'offline',
    )

    define(
      'is not taken for vouching by a receipt without proof',
      async (bench) => {
        const { receipt, checkpoint } = await bench.anchor(await bench.log.grow(2))
        await bench.refutes({ ...receipt, checkpoint: checkpoint.note, proof: {} })
      },
      'offline',
    )

    define(
      'refuses a log whose end is gone',
      async (bench) => {
        const older = await bench.log.grow(2)
        await bench.anchor(await bench.log.grow(3))
        await bench.reopen()
        await assert.rejects(bench.anchor(older), { code: 'ERR_ROLLED_BACK' })
      },
      'memory',
    )

    define(
      'refuses another history of the log, of the same size and larger',
      async (bench) => {
        await bench.anchor(await bench.log.grow(3))
        await bench.reopen()
        const other = await bench.another()
        await assert.rejects(bench.anchorOf(other, await other.grow(3)), { code: 'ERR_SPLIT_VIEW' })
        await assert.rejects(bench.anchorOf(other, await other.grow(3)), { code: 'ERR_SPLIT_VIEW' })
        const { receipt, checkpoint } = await bench.anchor(await bench.log.grow(1))
        assertIs(await bench.check(receipt), checkpoint)
      },
      'memory',
    )

    define(
      'says when it is asked what it vouched for last',
      async (bench) => {
        await bench.anchor(await bench.log.grow(2))
        const { checkpoint } = await bench.anchor(await bench.log.grow(2))
        const vouchers = await bench.ask()
        assert.ok(vouchers.some((voucher) => isOf(voucher, checkpoint)))
      },
      'ask',
    )

    define(
      'says nothing of a log that it never saw',
      async (bench) => {
        assert.deepEqual(await bench.ask(), [])
      },
      'ask',
    )

    define(
      'fails for now when it cannot be reached',
      async (bench) => {
        const checkpoint = await bench.log.grow(1)
        await bench.harness.cut!()
        await assert.rejects(bench.anchor(checkpoint), { code: 'ERR_ANCHOR_FAILED' })
      },
      'cut',
    )

    define('gives up when there is no more time', async (bench) => {
      const checkpoint = await bench.log.grow(1)
      const task = bench.log.task(checkpoint, null, { signal: AbortSignal.abort() })
      await assert.rejects((await bench.open()).anchor(task), { code: 'ERR_ANCHOR_FAILED' })
    })
  })
}

class Bench {
  readonly harness: AnchorHarness
  readonly log: AnchorTestLog
  /** Another history under the same keys. */
  readonly another: () => Promise<AnchorTestLog>
  #anchor: Anchor | null = null

  constructor(harness: AnchorHarness, log: AnchorTestLog, another: () => Promise<AnchorTestLog>) {
    this.harness = harness
    this.log = log
    this.another = another
  }

  async open(): Promise<Anchor> {
    this.#anchor ??= await this.harness.open()
    return this.#anchor
  }

  async reopen(): Promise<void> {
    await this.close()
  }

  async close(): Promise<void> {
    await this.#anchor?.close?.()
    this.#anchor = null
  }

  anchor(checkpoint: AnchoredCheckpoint, previous: AnchorReceipt | null = null) {
    return this.anchorOf(this.log, checkpoint, previous)
  }

  async anchorOf(log: AnchorTestLog, checkpoint: AnchoredCheckpoint, previous: AnchorReceipt | null = null) {
    const anchor = await this.open()
    const result = await anchor.anchor(log.task(checkpoint, previous))
    return { checkpoint, receipt: receiptOf(anchor, checkpoint, result) }
  }

  /** In a process of its own, as it were: nothing is left of the anchor but the receipt's JSON. */
  async check(receipt: AnchorReceipt): Promise<Voucher | null> {
    const read = JSON.parse(JSON.stringify(receipt)) as AnchorReceipt
    return (await this.harness.verifier()).check(read, [this.log.key])
  }

  async ask(): Promise<readonly Voucher[]> {
    return (await this.harness.verifier()).ask!(ORIGIN)
  }

  /** Fails if the receipt is taken for one. */
  async refutes(receipt: AnchorReceipt): Promise<void> {
    assert.ok(await this.isRefuted(receipt), 'counts although it was altered')
  }

  async isRefuted(receipt: AnchorReceipt): Promise<boolean> {
    try {
      const voucher = await this.check(receipt)
      return voucher === null || !voucher.counts
    } catch (error) {
      assert.ok(isIndelibleError(error), String(error))
      return true
    }
  }
}

/** Variants of a receipt whose proof, or whose checkpoint's text, was changed somewhere. */
function* alterations(receipt: AnchorReceipt): Generator<AnchorReceipt> {
  const end = receipt.checkpoint.lastIndexOf('\n\n')
  const [origin, size, root] = receipt.checkpoint.slice(0, end).split('\n') as [string, string, string]
  const rest = receipt.checkpoint.slice(end)
  yield { ...receipt, checkpoint: `${origin}\n${Number(size) + 1}\n${root}\n${rest.slice(1)}` }
  yield { ...receipt, checkpoint: `${origin}\n${size}\n${flip(root, 3)}\n${rest.slice(1)}` }
  for (const [name, value] of Object.entries(receipt.proof)) {
    const step = Math.max(1, Math.floor(value.length / 40))
    for (let at = 0; at < value.length; at += step) {
      yield { ...receipt, proof: { ...receipt.proof, [name]: flip(value, at) } }
    }
  }
}

/** Another character at `at`; of base64 another one of base64. */
function flip(text: string, at: number): string {
  const other = text[at] === 'A' ? 'B' : 'A'
  return text.slice(0, at) + other + text.slice(at + 1)
}

function isOf({ note }: Voucher, { origin, size, root }: AnchoredCheckpoint): boolean {
  const stated = parseCheckpoint(parseNote(note).text)
  return stated.origin === origin && stated.size === size && Buffer.compare(stated.root, root) === 0
}

function assertIs(voucher: Voucher | null, checkpoint: AnchoredCheckpoint): void {
  assert.ok(voucher !== null && isOf(voucher, checkpoint), 'vouches for another checkpoint')
}
