/** Files that the command line names. Small ones: a file that is not what it should be is refused before it is read whole. */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openTrust, parseVkeys, type Trust } from '../anchor/trust.ts'
import { fromUtf8 } from '../bytes.ts'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'
import { type KeptReceipt, parseKeptReceipts } from '../verify/receipts-check.ts'

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

/**
 * A vkey, or a file with the vkeys of one log, one a line: after a rotation an old proof needs the old key.
 * @throws IndelibleError `ERR_KEY_INVALID`
 */
export function readVkeys(vkeyOrFile: string): Trust {
  return parseVkeys(looksLikeVkey(vkeyOrFile) ? vkeyOrFile : readKeyText(vkeyOrFile), vkeyOrFile)
}

/**
 * A trust file, a witness policy, or a file of vkeys.
 *
 * @param ownOrigin of the log at hand, to choose among several that a policy names
 * @throws IndelibleError `ERR_KEY_INVALID`, `ERR_POLICY_INVALID`
 */
export async function readTrust(path: string, ownOrigin: () => string): Promise<Trust> {
  return openTrust({ path, read: readKeyText, ownOrigin })
}

const MAX_RECEIPTS_BYTES = 2 ** 26

/** Receipts that were kept: files, and all `.tlog-proof` and `.json` files of folders. Throws `ERR_PROOF_INVALID`. */
export function readKeptReceipts(paths: readonly string[]): KeptReceipt[] {
  const files = paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path).filter((name) => /\.(tlog-proof|receipt\.json|receipts\.jsonl)$/.test(name))
    return names.sort().map((name) => join(path, name))
  })
  return files.flatMap((file) => parseKeptReceipts(readSmallText(file, MAX_RECEIPTS_BYTES, 'ERR_PROOF_INVALID'), file))
}

function looksLikeVkey(text: string): boolean {
  return /^[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$/.test(text)
}
