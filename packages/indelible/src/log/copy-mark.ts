/** What stands in the place of a checkpoint while a log is copied. It is no note: nobody can take it for a signed one. */
import { toBase64 } from '../bytes.ts'

const LABEL = 'indelible/copy@1'

/** @param size and `root` of the log that is being copied */
export function formatCopyMark(origin: string, size: number, root: Uint8Array): string {
  return `${LABEL}\n${origin}\n${size}\n${toBase64(root)}\n`
}

export function isCopyMark(checkpoint: string): boolean {
  return checkpoint.startsWith(`${LABEL}\n`)
}

/** Entries that the log has which is being copied; `null` where that cannot be read. */
export function sizeOfCopy(mark: string): number | null {
  const size = Number(mark.split('\n')[2])
  return Number.isSafeInteger(size) ? size : null
}
