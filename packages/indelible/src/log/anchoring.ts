/** Anchors beside a log that is open for recording. */
import { Worker } from 'node:worker_threads'
import type { AnchorNews } from '../anchor/anchor-worker.ts'
import { AnchorReceipts } from '../anchor/receipts.ts'
import { isIndelibleError } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import type { VerifierKey } from '../note/signed-note.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'
import type { Log } from './log.ts'

/** What speaks against the log itself, or needs somebody to look into it: worth an entry. */
const WORTH_AN_ENTRY = new Set(['ERR_ANCHOR_REFUSED', 'ERR_ROLLED_BACK', 'ERR_SPLIT_VIEW', 'ERR_STORE_CORRUPT'])

/**
 * Anchors on schedule in a thread of its own until the log is closed. No receipt ever waits for it. That an anchor refuses
 * becomes an entry; that one cannot be reached shows in `status` only.
 */
export function startAnchoring(home: string, log: Log): void {
  const worker = new Worker(new URL('../anchor/anchor-worker.js', import.meta.url), {
    workerData: { home },
    // Node refuses some of the main thread's, such as --input-type, for a thread that is a file.
    execArgv: [],
  })
  worker.unref()
  worker.on('message', ({ anchor, code }: AnchorNews) => {
    if (WORTH_AN_ENTRY.has(code)) log.notice('anchor_refused', { anchor, code }).catch(() => {})
  })
  // The log goes on without: the lag shows in status, and the next who opens it takes over.
  worker.on('error', (error: NodeJS.ErrnoException) => {
    process.emitWarning(`anchoring of ${log.origin} stopped: ${error.code ?? error.name}`, 'IndelibleWarning')
  })
  log.onClose(() => worker.postMessage('stop'))
}

/**
 * The newest checkpoint in `directory` that has cosignatures and covers at least `size` entries; `null` if there is none.
 * Whether they verify is for whoever reads the proof: the log takes them as its anchors gave them.
 */
export function cosignedCheckpoint(directory: string, size: number): string | null {
  const receipts = new AnchorReceipts(directory)
  const found = receipts
    .names()
    .map((name) => lastOf(receipts, name))
    .filter((receipt) => receipt !== null && receipt.kind === 'witness' && receipt.size >= size)
  return found.toSorted((a, b) => b!.size - a!.size)[0]?.checkpoint ?? null
}

/** A damaged file is for `anchor status` and `verify` to complain of: proofs can do without it. */
function lastOf(receipts: AnchorReceipts, name: string): AnchorReceipt | null {
  try {
    return receipts.last(name)
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return null
  }
}

/**
 * The checkpoint that the proof of an entry leads to: the cosigned one, if it is of this log as it is, and signed by the key
 * that whoever gets the proof is given; otherwise the head's.
 *
 * @throws IndelibleError as `openCheckpoint`, for the head's
 */
export function proofCheckpoint(
  head: string,
  cosigned: string | null,
  policy: { readonly origin: string; readonly keys: readonly VerifierKey[] },
  current: VerifierKey = policy.keys[0]!,
): { readonly note: string; readonly checkpoint: Checkpoint } {
  const latest = { note: head, checkpoint: openCheckpoint(head, policy).checkpoint }
  if (cosigned === null) return latest
  try {
    const { checkpoint } = openCheckpoint(cosigned, { ...policy, keys: [current] })
    return checkpoint.size <= latest.checkpoint.size ? { note: cosigned, checkpoint } : latest
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return latest
  }
}
