/** A witness's folder: its key, which never leaves it, and what it has cosigned. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { checkPrivate, readPrivateFile, writeFileAtomic } from '../keys/files.ts'
import { generateCosignerSkey, signerFromSkey } from '../keys/signer.ts'
import { formatVkey } from '../note/signed-note.ts'
import { WitnessState } from './witness-state.ts'

/**
 * Makes the folder with a fresh key.
 *
 * @param name of the key: a URL without its scheme, by custom
 * @returns the vkey, for the policies of those who trust this witness
 * @throws IndelibleError `ERR_HOME_EXISTS` if it has a key already, `ERR_KEY_INVALID` for a bad name
 */
export function createWitness(folder: string, name: string): string {
  const path = join(folder, 'witness.skey')
  if (existsSync(path))
    throw new IndelibleError('ERR_HOME_EXISTS', `${path} is there already: keys are never overwritten`)
  const skey = generateCosignerSkey(name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileAtomic(path, `${skey}\n`)
  WitnessState.open(join(folder, 'witness.db'), signerFromSkey(skey))[Symbol.dispose]()
  return formatVkey(signerFromSkey(skey).key)
}

/**
 * @throws IndelibleError `ERR_HOME_NOT_FOUND` if there is no witness, or its memory is gone: one that forgot would cosign a
 * second history. `ERR_KEY_PERMISSIONS`, `ERR_KEY_INVALID`, `ERR_STORE_…`
 */
export function openWitness(folder: string, clock: () => number = Date.now): WitnessState {
  const path = join(folder, 'witness.skey')
  if (!existsSync(path)) {
    throw new IndelibleError('ERR_HOME_NOT_FOUND', `no witness at ${folder}: run indelible witness init`)
  }
  const database = join(folder, 'witness.db')
  checkPrivate(database)
  return WitnessState.open(database, signerFromSkey(readPrivateFile(path)), clock)
}
