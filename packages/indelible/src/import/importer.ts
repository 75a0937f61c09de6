/** What every import format has in common: where lines come from, what comes out of them, and what is wrong with them. */
import type { AgentEvent } from '../record/schema.ts'
import { parseForeign } from './json.ts'
import { isMembers, Malformed, type Members } from './values.ts'

/** Where in its file something stands: the line, counted from 1, a JSON pointer (RFC 6901), or a pointer within a line. */
export interface SourcePlace {
  readonly line?: number
  readonly pointer?: string
}

/**
 * An event as the format's mapping has it. Id, `source`, assurance and what says where it comes from are added by
 * `importFile`; an event without `time` gets that of the file.
 */
export interface ImportedEvent extends SourcePlace {
  readonly event: AgentEvent
  /**
   * Names the events that stand at no place, such as `end`, for their ids. Events of one place (or one `at`) come one after
   * the other, and no two stretches of a file have the same.
   */
  readonly at?: string
}

export interface SourceLine {
  readonly line: number
  readonly text: string
}

/** A file as an importer reads it: the same bytes however often. */
export interface ImportSource {
  /** Of the file's bytes as they are, packed or not, in hex. */
  readonly sha256: string
  /** What came out of verifying the file's own chain. `null` for formats that have none. */
  readonly chain: ChainFinding | null
  /** Lines that are not blank, without their ends. Those that are too long or not UTF-8 are reported, and left out. */
  lines(): AsyncIterable<SourceLine>
  /** The first of them, and nothing reported; `null` if it is too long or not UTF-8, or if there is none. */
  firstLine(): Promise<string | null>
  /** All of it, for formats that are one JSON document; `null` if it is longer than a document may be, or not UTF-8. */
  text(): Promise<string | null>
  /**
   * Reports what cannot be imported; the caller goes on without it.
   * @param reason says what was expected, and quotes nothing
   * @throws IndelibleError `ERR_IMPORT_INVALID` unless bad lines are to be skipped
   */
  bad(place: SourcePlace, reason: string): void
}

export interface Importer {
  readonly name: string
  /** For the command's help. */
  readonly describe: string
  /** The file's events in order, read as a stream. */
  events(source: ImportSource): AsyncIterable<ImportedEvent>
  /** Verifies the file's own chain, from its first line to its last. Reports what it finds, and never throws for it. */
  verifyChain?(source: ImportSource, key: string | undefined): Promise<ChainFinding>
}

/** Whether a file's own hash chain holds, and where it first does not. */
export interface ChainFinding {
  readonly verified: boolean
  readonly algorithm: string
  /** 1, 2, or 3 for a file begun by the first generation of its software and continued by the second. */
  readonly generation: number
  /** Records that were verified before the first that was not. */
  readonly records: number
  /** Hash of the last of them. */
  readonly head: string | null
  /** Of these, records whose bytes somebody else wrote: same value, other spelling. */
  readonly reformatted: number
  /** What is wrong, in the words of the format's own verifier where it has one. */
  readonly error?: string
  readonly line?: number
}

/** What `work` returns; or reports why it could not, and returns `null`. */
export function attempt<T>(source: ImportSource, place: SourcePlace, work: () => T): T | null {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    source.bad(place, error.reason)
    return null
  }
}

/** The lines of a file, each the JSON text of an object; others are reported. */
export async function* readRecords(
  source: ImportSource,
  parse: (text: string) => unknown = parseForeign,
): AsyncGenerator<{ readonly line: number; readonly value: Members }, void> {
  for await (const { line, text } of source.lines()) {
    const value = attempt(source, { line }, () => {
      const parsed = parse(text)
      if (!isMembers(parsed)) throw new Malformed('expected a JSON object')
      return parsed
    })
    if (value !== null) yield { line, value }
  }
}
