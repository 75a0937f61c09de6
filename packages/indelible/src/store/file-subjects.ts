/** Which entries concern which person, by keyed hashes: lines that are looked through, and blanked to forget. */
import { readAt } from './file-io.ts'
import type { StoredSubject } from './store.ts'

const BLOCK = 1024 * 1024
const LINE = /^\{"index":(0|[1-9]\d{0,15}),"subject":"([\w-]*)"\}\n$/

const nameOf = (subject: Uint8Array) => Buffer.from(subject).toString('base64url')

export function formatSubjectLines(rows: readonly StoredSubject[]): Buffer {
  return Buffer.from(rows.map(({ index, subject }) => `{"index":${index},"subject":"${nameOf(subject)}"}\n`).join(''))
}

/** Lines of a person, or of everybody, in `[0, end)` of a file: the entry, and where the line stands. */
export function* subjectLines(
  fd: number,
  end: number,
  subject: Uint8Array | null,
): Generator<{ index: number; subject: string; at: number; length: number }> {
  const wanted = subject === null ? '{"index":' : `"subject":"${nameOf(subject)}"}`
  for (let at = 0; at < end; ) {
    const block = readAt(fd, at, Math.min(BLOCK, end - at))
    const cut = block.lastIndexOf(10) + 1
    if (cut === 0) return
    for (let hit = block.indexOf(wanted); hit !== -1 && hit < cut; ) {
      const start = block.lastIndexOf(10, hit) + 1
      const next = block.indexOf(10, hit) + 1
      const match = LINE.exec(block.toString('latin1', start, next))
      if (match) yield { index: Number(match[1]), subject: match[2]!, at: at + start, length: next - start }
      hit = block.indexOf(wanted, next)
    }
    at += cut
  }
}
