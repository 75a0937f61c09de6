/** Keys of this machine's own, such as that of a spool: 32 bytes in the key folder, made when they are first needed. */
import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { readPrivateFile, writeFileAtomic } from '../keys/files.ts'
import { processToken } from '../keys/process.ts'

const NAME = 'spool.key'

/** The key of a home's spool. Throws as {@link localKey} */
export function spoolKey(keysDirectory: string): Uint8Array {
  return localKey(keysDirectory, NAME)
}

/**
 * Of two processes that make it at once, one does.
 * @throws IndelibleError `ERR_KEY_INVALID`, `ERR_KEY_PERMISSIONS`, `ERR_STORE_READONLY`, `ERR_STORE_FULL`
 */
export function localKey(keysDirectory: string, name: string): Uint8Array {
  const path = join(keysDirectory, name)
  if (!existsSync(path)) create(path)
  const text = readPrivateFile(path).trim()
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) {
    throw new IndelibleError('ERR_KEY_INVALID', `${path}: expected 32 bytes, base64`)
  }
  return fromBase64(text)
}

function create(path: string): void {
  const mine = `${path}.${processToken()}.${randomBytes(4).toString('hex')}`
  writeFileAtomic(mine, `${toBase64(randomBytes(32))}\n`)
  try {
    linkSync(mine, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(mine, { force: true })
  }
}
