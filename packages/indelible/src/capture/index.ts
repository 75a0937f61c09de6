/** What adapters and their authors use: `indelible/capture`. */
export type { LlmContext, LlmOptions } from './action-llm.ts'
export type { ToolContext, ToolOptions } from './action-tool.ts'
export { currentRun, withinRun } from './context.ts'
export type { DeliveryState } from './delivery.ts'
export type { ModelFacts, ModelInput } from './fit.ts'
export type {
  ActionRequest,
  ApprovalDecision,
  ApprovalRequest,
  ApproveHook,
  PolicyDecision,
  PolicyHook,
  Verdict,
} from './gate.ts'
export type { RunOptions } from './members.ts'
export { type ObserveOptions, observe } from './observe.ts'
export { Recorder, type RecorderOptions } from './recorder.ts'
export type { Run } from './run.ts'
export type {
  ApprovalEvent,
  CallEnd,
  CallError,
  EndOptions,
  GuardrailEvent,
  LlmStart,
  PolicyEvent,
  RunEvent,
  ToolStart,
} from './run-facts.ts'
export { type Ack, type EventDraft, FAILURE_MODES, type FailureMode, type Sink } from './sink.ts'
export { checkVersion, refuseBlock } from './support.ts'
export { parseTraceparent } from './trace-context.ts'
export { type Price, readUsage, type Usage, usageOf } from './usage.ts'
