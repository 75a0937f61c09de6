/** Tamper-evident audit trail for AI agents and the model lifecycle. What is public, by name, and nothing else. */

export type { Trust, TrustSource } from './anchor/trust.ts'
export { currentRun, withinRun } from './capture/context.ts'
export type { RunOptions } from './capture/members.ts'
export type { ObserveOptions } from './capture/observe.ts'
export { Recorder, type RecorderOptions } from './capture/recorder.ts'
export type { Run } from './capture/run.ts'
export { closeOnSignal } from './capture/signals.ts'
export type { Ack, FailureMode, Sink } from './capture/sink.ts'
export type { EpochClock } from './chain/epoch.ts'
export { type Config, loadConfig } from './config/config.ts'
export type { ApprovalRequest, Credential, PendingApproval, Ruling } from './decision/approvals.ts'
export { type ApprovalsHookOptions, approvalsHook } from './decision/approvals-hook.ts'
export {
  type ApprovalInput,
  type AttestationInput,
  type DecisionOptions,
  recordApproval,
  recordAttestation,
  recordWaiver,
  type WaiverInput,
} from './decision/decisions.ts'
export type { Waiver } from './decision/waivers.ts'
export {
  ERROR_CODES,
  IndelibleError,
  type IndelibleErrorCode,
  isIndelibleError,
  OutcomeUnknownError,
  type SplitView,
  SplitViewError,
} from './errors.ts'
export { createIdentity, loadIdentity } from './keys/identities.ts'
export type { LogKeys, Remembered } from './keys/log-keys.ts'
export { type LogPin, Pins } from './keys/pins.ts'
export {
  createLog,
  hashDataset,
  lineageOf,
  listWaivers,
  openApprovals,
  openLog,
  openQuery,
  openTrust,
  verifyHome,
} from './late.ts'
export type { DatasetHash } from './lifecycle/dataset-hash.ts'
export {
  attestDataset,
  deployModel,
  promoteModel,
  recordEvaluation,
  registerDataset,
  registerModel,
  retireModel,
  startTraining,
  type TrainingRun,
} from './lifecycle/lifecycle.ts'
export type { Lineage } from './lifecycle/lineage.ts'
export type { EraseRequest, ErasureGuard, ErasureReceipt, ErasureTarget } from './log/erasure.ts'
export type { CreatedLog, CreateLogOptions, OpenLogOptions } from './log/home.ts'
export type { Log, LogEntry, ProvenEntry, Receipt, RecordOptions } from './log/log.ts'
export { type OpenedRecorder, openRecorder } from './log/open-recorder.ts'
export type { ReadFacts } from './log/reads.ts'
export type { VerifyHomeOptions } from './log/verify-home.ts'
export type { NoteSigner, VerifierKey } from './note/signed-note.ts'
export type { EntryFilter } from './query/filter.ts'
export type { HomeQuery, OpenQueryOptions } from './query/home-query.ts'
export type { Page, PageOptions, QueryHit, RunSummary } from './query/query.ts'
export type { AgentEvent, AuditRecord } from './record/schema.ts'
export type { LogStore, PayloadStore, Store } from './store/store.ts'
export { VERSION } from './version.ts'
