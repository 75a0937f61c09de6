/** A log on a server: `indelible/client`. */
export type { Administering } from './administering.ts'
export { Client, type ClientOptions, openClient } from './client.ts'
export type { SaveOptions } from './download.ts'
export type { Governing } from './governing.ts'
export { type HttpOptions, ServerError } from './http.ts'
export type {
  ApiKey,
  AuditPage,
  AuditQuery,
  ClientReceipt,
  ConsistencyProof,
  EntryJson,
  ExportJob,
  ExportRequest,
  Hit,
  InclusionProof,
  KeyRequest,
  KeyRole,
  PlacedHold,
  RunFacts,
  ServedEntry,
  ServerReport,
  ServersReport,
  Tenant,
  Whoami,
} from './types.ts'
