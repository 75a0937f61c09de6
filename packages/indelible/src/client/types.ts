/** What the server answers. */
import type { AuditRecord } from '../record/schema.ts'

/** The log's promise that an entry is durable. */
export interface ClientReceipt {
  readonly origin: string
  readonly index: number
  readonly id: string
  readonly leaf: string
  readonly checkpoint: string
  readonly duplicate?: true
  readonly uncompared?: true
}

/** What a key is. */
export interface Whoami {
  readonly id: string
  readonly role: string
  readonly tenant: string
  readonly origin: string
}

/** An entry as JSON has it. Readers keep members that they do not know. */
export type EntryJson = AuditRecord & Readonly<Record<string, unknown>>

export interface Hit {
  readonly index: number
  readonly entry: EntryJson
  /** tlog-proof, where it was asked for. */
  readonly proof?: string
}

export interface AuditPage {
  readonly hits: readonly Hit[]
  readonly next: string | null
  readonly previous: string | null
  readonly size: number
}

type OneOrMore = string | readonly string[]

/** Filters of the query model, and paging. */
export interface AuditQuery {
  readonly type?: OneOrMore
  readonly actor?: OneOrMore
  readonly on_behalf_of?: OneOrMore
  readonly session?: OneOrMore
  readonly run?: OneOrMore
  readonly tool?: OneOrMore
  readonly model?: OneOrMore
  readonly outcome?: OneOrMore
  readonly decision?: OneOrMore
  readonly assurance?: OneOrMore
  /** Event time, inclusive; RFC 3339 or a date. */
  readonly since?: string
  /** Exclusive. */
  readonly until?: string
  readonly text?: string
  readonly limit?: number
  readonly cursor?: string
  readonly order?: 'ascending' | 'descending'
  readonly proofs?: boolean
}

export interface ServedEntry extends Hit {
  /** Disclosures by part, as far as the key may see them. */
  readonly disclosures: Readonly<Record<string, string | null>>
  readonly proof: string
}

export interface RunFacts {
  readonly run: string
  readonly parent: string | null
  readonly agent: string | null
  readonly model: string | null
  readonly start: string
  readonly end: string
  readonly first: number
  readonly last: number
  readonly entries: number
  readonly tools: number
  readonly errors: number
  readonly denied: number
  readonly outcome: string | null
}

/** Hashes are base64. */
export interface InclusionProof {
  readonly index: number
  readonly size: number
  readonly proof: readonly string[]
  /** Of the latest tree, if no size was asked for. */
  readonly checkpoint?: string
}

export interface ConsistencyProof {
  readonly from: number
  readonly to: number
  readonly proof: readonly string[]
  readonly checkpoint?: string
}

/** What the server says of its own log. An auditor verifies with `indelible/verify`. */
export interface ServerReport {
  readonly verdict: 'verified' | 'failed' | 'incomplete'
  readonly size: number
  readonly findings: readonly { readonly code: string; readonly message: string; readonly index?: number }[]
  readonly not_checked: readonly string[]
}

export interface ExportRequest {
  readonly format: 'jsonl' | 'csv' | 'evidence' | 'trace'
  readonly filter?: Omit<AuditQuery, 'limit' | 'cursor' | 'order' | 'proofs' | 'run'>
  readonly run?: string
  /** Names of parts whose values go along. */
  readonly disclose?: readonly string[]
}

export interface ExportJob {
  readonly id: string
  readonly format: ExportRequest['format']
  readonly state: 'queued' | 'running' | 'done' | 'failed'
  /** Written so far. */
  readonly entries: number
  /** Entries of the log when it began. */
  readonly size: number | null
  readonly created: string
  readonly finished: string | null
  readonly expires: string | null
  readonly bytes: number | null
  /** Of the content, hex. */
  readonly sha256: string | null
  /** Parts asked for that are gone. */
  readonly gone: number
  /** Code of what went wrong. */
  readonly error: string | null
}
