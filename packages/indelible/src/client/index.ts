/** A log on a server: `indelible/client`. */
export { Client, type ClientOptions, openClient } from './client.ts'
export { type HttpOptions, ServerError } from './http.ts'
export type {
  AuditPage,
  AuditQuery,
  ClientReceipt,
  ConsistencyProof,
  EntryJson,
  ExportJob,
  ExportRequest,
  Hit,
  InclusionProof,
  RunFacts,
  ServedEntry,
  ServerReport,
  Whoami,
} from './types.ts'
