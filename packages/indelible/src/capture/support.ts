/** What adapters share: which versions they know, which modes they can keep. */
import { IndelibleError } from '../errors.ts'
import type { FailureMode } from './sink.ts'

/**
 * Refuses a framework of a version that the adapter was not tried with.
 * @param version as its package says; `undefined` if it does not say
 * @param lines that are known: major versions, or `0.20` where the major version says nothing yet
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED`
 */
export function checkVersion(
  framework: string,
  version: string | undefined,
  lines: readonly (number | string)[],
): void {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? []
  if (major !== undefined && (lines.includes(Number(major)) || lines.includes(`${major}.${minor}`))) return
  const found = version === undefined ? 'does not say its version' : `has version ${version.slice(0, 64)}`
  const message = `${framework} ${found}; this adapter knows ${lines.join(', ')}`
  throw new IndelibleError('ERR_CAPTURE_UNSUPPORTED', message)
}

/**
 * Refuses mode `block` where the framework has no place at which an action could be held back.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED`
 */
export function refuseBlock(adapter: string, onFailure: FailureMode, why: string): void {
  if (onFailure !== 'block') return
  throw new IndelibleError('ERR_CAPTURE_UNSUPPORTED', `${adapter} cannot keep failure mode block: ${why}`)
}
