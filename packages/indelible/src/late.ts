/**
 * Public functions that need much code, which is loaded when one is first called: an application that imports us and records
 * little, or nothing, does not pay for reading and verifying. Each returns a promise anyway, and waits for something before it
 * touches a log.
 */
import type * as trust from './anchor/trust.ts'
import type * as homeApprovals from './decision/home-approvals.ts'
import type * as waivers from './decision/waivers.ts'
import type * as datasets from './lifecycle/dataset-hash.ts'
import type * as lineage from './lifecycle/lineage.ts'
import type * as home from './log/home.ts'
import type * as verification from './log/verify-home.ts'
import type * as homeQuery from './query/home-query.ts'

/** Makes a home: see {@link home.createLog}. */
export const createLog: typeof home.createLog = async (options) => (await import('./log/home.ts')).createLog(options)

/** Opens the log of a home for recording: see {@link home.openLog}. */
export const openLog: typeof home.openLog = async (options) => (await import('./log/home.ts')).openLog(options)

/** Verifies the log of a home: see {@link verification.verifyHome}. */
export const verifyHome: typeof verification.verifyHome = async (options) =>
  (await import('./log/verify-home.ts')).verifyHome(options)

/** Opens queries on the log of a home: see {@link homeQuery.openQuery}. */
export const openQuery: typeof homeQuery.openQuery = async (options) =>
  (await import('./query/home-query.ts')).openQuery(options)

/** Opens the file that says whom a verifier trusts: see {@link trust.openTrust}. */
export const openTrust: typeof trust.openTrust = async (source) => (await import('./anchor/trust.ts')).openTrust(source)

/** Opens the approvals of the log of a home: see {@link homeApprovals.openApprovals}. */
export const openApprovals: typeof homeApprovals.openApprovals = async (log, options) =>
  (await import('./decision/home-approvals.ts')).openApprovals(log, options)

/** Every waiver of a log: see {@link waivers.listWaivers}. */
export const listWaivers: typeof waivers.listWaivers = async (query, options) =>
  (await import('./decision/waivers.ts')).listWaivers(query, options)

/** The lineage of a dataset, model or deployment: see {@link lineage.lineageOf}. */
export const lineageOf: typeof lineage.lineageOf = async (query, name) =>
  (await import('./lifecycle/lineage.ts')).lineageOf(query, name)

/** The digest of a dataset's files: see {@link datasets.hashDataset}. */
export const hashDataset: typeof datasets.hashDataset = async (path, options) =>
  (await import('./lifecycle/dataset-hash.ts')).hashDataset(path, options)
