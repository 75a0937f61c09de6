/** For those who write a store or an adapter, or test what is built on one. */
export {
  AGENT,
  APPROVER,
  type EventKind,
  MODEL,
  SCENES,
  type Scene,
  type SceneName,
  type ScriptedCall,
  type ToolName,
  TURN_USAGE,
  type Turn,
  USER,
  WRITER,
} from './adapter-script.ts'
export { type Stage, TestStage } from './adapter-stage.ts'
export {
  type AdapterHarness,
  type AdapterLacks,
  type AdapterRow,
  describeAdapter,
} from './adapter-suite.ts'

export { type AnchorSubject, AnchorTestLog, receiptOf } from './anchor-kit.ts'
export { type AnchorHarness, type AnchorLacks, describeAnchor } from './anchor-suite.ts'
export {
  type BatchOptions,
  BatchWriter,
  buildBatch,
  type EntrySpec,
  numbered,
  type Position,
  positionAt,
} from './batches.ts'
export { type Fault, type FaultKind, type FaultyStore, faultyStore, type StoreMethod } from './faulty-store.ts'
export type { StoreHarness, StoreLacks, StoreModule, TestApi } from './store-kit.ts'
export { describeStore } from './store-suite.ts'
