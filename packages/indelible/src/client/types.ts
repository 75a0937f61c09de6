/** What the server answers. */
import type { Receipt } from '../log/log.ts'
import type { RunSummary } from '../query/query.ts'
import type { AuditRecord } from '../record/schema.ts'
import type { Report } from '../verify/report.ts'

/** The log's promise that an entry is durable. */
export type ClientReceipt = Receipt

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
  /** Disclosures by part, as far as the key may see them, and as they were not erased. */
  readonly disclosures: Readonly<Record<string, string>>
  readonly proof: string
}

export type RunFacts = RunSummary

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
export type ServerReport = Report

/** What it says of its directory log, and of each log against what the directory committed to. */
export interface ServersReport {
  readonly verdict: Report['verdict']
  readonly directory: Report
  /** How many logs the directory knows. */
  readonly logs: number
  readonly findings: readonly {
    readonly code: 'log_missing' | 'log_rolled_back' | 'log_forked' | 'log_unreadable'
    readonly origin: string
    /** Entries that it had. */
    readonly expected: number
    readonly found: number | null
  }[]
}

export type KeyRole = 'writer' | 'reader' | 'auditor' | 'administrator' | 'operator'

export interface KeyRequest {
  readonly role: KeyRole
  /** What it is for, for people. */
  readonly label: string
  /** Whether it may see disclosed parts. */
  readonly disclose?: boolean
  /** `actor.id` of the runs that a reader may see. */
  readonly actor?: string
  /** RFC 3339, UTC. */
  readonly expires?: string
}

/** A key without its text. */
export interface ApiKey {
  /** Visible part: names the key, proves nothing. */
  readonly prefix: string
  readonly role: KeyRole
  /** `null`: an operator's. */
  readonly tenant: string | null
  readonly disclose: boolean
  readonly actor: string | null
  readonly label: string
  readonly created: string
  readonly expires: string | null
  readonly revoked: string | null
  /** To the minute. */
  readonly last_used: string | null
}

/** A hold was placed: the receipt of the entry that says so, and the hold's id. */
export type PlacedHold = ClientReceipt & { readonly hold: string }

export interface Tenant {
  readonly tenant: string
  readonly origin: string
  readonly created: string
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
