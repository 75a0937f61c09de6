/** What the log says of reading and exporting: how much of what, never what was read. */
import { auditEntry } from './batch.ts'
import type { Clock, Item } from './sequencer.ts'

/** One command, query or call: not one entry or part of many. */
export interface ReadFacts {
  /** What read: a command, or a method of the library. */
  readonly command: string
  readonly entries: number
  /** Smallest and largest index among them. */
  readonly first: number
  readonly last: number
  /** Names of the parts whose values were shown. */
  readonly parts: readonly string[]
  /** The account that read, where it is known. */
  readonly by?: string
  /** Of an export. */
  readonly format?: string
}

/** Most names that are listed. */
const MAX_NAMES = 64

/** `audit.exported` for what leaves the log as a file in a format, else `audit.read`. */
export function readItem({ parts, ...facts }: ReadFacts, clock: Clock): Item {
  const type = facts.format === undefined ? 'audit.read' : 'audit.exported'
  const names = [...new Set(parts)].sort().slice(0, MAX_NAMES)
  return { ...auditEntry(type, clock(), { ...facts, parts: names }), idGiven: false }
}
