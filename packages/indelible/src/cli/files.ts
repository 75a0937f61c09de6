/** Files that the command line names. Small ones: a file that is not what it should be is refused before it is read whole. */
import { closeSync, openSync, readSync } from 'node:fs'
import { fromUtf8 } from '../bytes.ts'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'
import { parseWitnessPolicy } from '../note/policy.ts'
import { parseVkey, type VerifierKey } from '../note/signed-note.ts'

const MAX_KEY_BYTES = 2 ** 18

/**
 * At most `maxBytes`, also from a pipe, such as a shell's `<(…)`.
 * @throws IndelibleError `code` if there is more
 */
export function readSmallFile(path: string, maxBytes: number, code: IndelibleErrorCode): Uint8Array {
  const fd = openSync(path, 'r')
  try {
    const chunks: Uint8Array[] = []
    let length = 0
    for (;;) {
      const chunk = new Uint8Array(65_536)
      const read = readSync(fd, chunk)
      if (read === 0) return new Uint8Array(Buffer.concat(chunks))
      length += read
      if (length > maxBytes) throw new IndelibleError(code, `${path} has more than ${maxBytes} bytes`)
      chunks.push(chunk.subarray(0, read))
    }
  } finally {
    closeSync(fd)
  }
}

export function readSmallText(path: string, maxBytes: number, code: IndelibleErrorCode): string {
  const bytes = readSmallFile(path, maxBytes, code)
  try {
    return fromUtf8(bytes)
  } catch {
    throw new IndelibleError(code, `${path} is not UTF-8`)
  }
}

export function readKeyText(path: string): string {
  return readSmallText(path, MAX_KEY_BYTES, 'ERR_KEY_INVALID')
}

/** Keys that speak for one log, as the verifier got them. */
export interface Trust {
  readonly origin: string
  readonly keys: readonly VerifierKey[]
}

/**
 * A vkey, or a file with the vkeys of one log, one a line: after a rotation an old proof needs the old key.
 * @throws IndelibleError `ERR_KEY_INVALID`
 */
export function readVkeys(vkeyOrFile: string): Trust {
  return parseVkeys(looksLikeVkey(vkeyOrFile) ? vkeyOrFile : readKeyText(vkeyOrFile), vkeyOrFile)
}

/**
 * A file of vkeys, or a witness policy of which the `log` lines count.
 *
 * @param ownOrigin of the log at hand, to choose among several that a policy names
 * @throws IndelibleError `ERR_KEY_INVALID`, `ERR_POLICY_INVALID`
 */
export function readTrust(path: string, ownOrigin: () => string): Trust {
  const text = readKeyText(path)
  return /^[ \t]*(log|witness|group|quorum)[ \t]/m.test(text) ? policyTrust(text, ownOrigin) : parseVkeys(text, path)
}

function policyTrust(text: string, ownOrigin: () => string): Trust {
  const { logs, quorum } = parseWitnessPolicy(text)
  if (quorum !== 'none') {
    // Leaving it out would call verified what the policy does not.
    const message = `policy asks for the quorum ${quorum}, and this version does not check cosignatures: use quorum none`
    throw new IndelibleError('ERR_POLICY_INVALID', message)
  }
  const origins = new Set(logs.map(({ key }) => key.name))
  if (origins.size === 0) throw new IndelibleError('ERR_POLICY_INVALID', 'policy has no log line')
  const origin = origins.size === 1 ? logs[0]!.key.name : ownOrigin()
  if (!origins.has(origin)) throw new IndelibleError('ERR_POLICY_INVALID', `policy names no log ${origin}`)
  return { origin, keys: logs.map(({ key }) => key).filter(({ name }) => name === origin) }
}

function parseVkeys(text: string, where: string): Trust {
  const lines = text.split('\n').map((line) => line.trim())
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#')).map(parseVkey)
  const [first] = keys
  if (!first) throw new IndelibleError('ERR_KEY_INVALID', `${where} has no key`)
  const other = keys.find(({ name }) => name !== first.name)
  if (other) throw new IndelibleError('ERR_KEY_INVALID', `${where} has keys of two logs: ${first.name}, ${other.name}`)
  return { origin: first.name, keys }
}

function looksLikeVkey(text: string): boolean {
  return /^[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$/.test(text)
}
