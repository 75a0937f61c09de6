/**
 * Keys of people, on the machine of the person: one file each, readable by nobody else. The log has their public halves only.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { formatVkey, type SyncNoteSigner } from '../note/signed-note.ts'
import { makePrivateDirectory, readPrivateFile, syncDirectory } from './files.ts'
import { generateSkey, type Profile, signerFromSkey } from './signer.ts'

/** `$XDG_CONFIG_HOME/indelible/identities`, by default below `~/.config`. */
export function identityDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'indelible', 'identities')
}

/** Names of identities stand in file names, in vkeys, and as `actor.id` in entries. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$/

/** @throws IndelibleError `ERR_IDENTITY_INVALID` */
export function checkIdentityName(name: string): void {
  if (NAME.test(name)) return
  const message =
    'name of an identity: expected up to 100 letters, digits and any of . _ @ -, such as alice@example.org'
  throw new IndelibleError('ERR_IDENTITY_INVALID', message)
}

/** A fresh key for `name`, in a file that must not exist. Returns the vkey, to register with logs. */
export function createIdentity(
  name: string,
  options: { readonly directory?: string; readonly profile?: Profile } = {},
): { readonly vkey: string; readonly file: string } {
  checkIdentityName(name)
  const { directory = identityDirectory(), profile = 'default' } = options
  makePrivateDirectory(directory)
  const file = join(directory, `${name}.skey`)
  const skey = generateSkey(name, profile)
  try {
    writeFileSync(file, `${skey}\n`, { flag: 'wx', mode: 0o600, flush: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new IndelibleError('ERR_IDENTITY_INVALID', `${file} is there already: a key is never overwritten`)
  }
  syncDirectory(directory)
  return { vkey: formatVkey(signerFromSkey(skey).key), file }
}

/**
 * The signer of an identity.
 * @param which a name in the directory of identities, or the path of a key file
 * @throws IndelibleError `ERR_IDENTITY_UNKNOWN`, `ERR_KEY_PERMISSIONS`, `ERR_KEY_INVALID`
 */
export function loadIdentity(which: string, directory: string = identityDirectory()): SyncNoteSigner {
  const file = which.includes('/') ? which : join(directory, `${which}.skey`)
  if (!existsSync(file)) {
    const known = existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith('.skey')) : []
    const names = known.map((name) => name.slice(0, -'.skey'.length))
    const hint = names.length > 0 ? `here are ${names.join(', ')}` : 'make one with indelible identity new'
    throw new IndelibleError('ERR_IDENTITY_UNKNOWN', `${file} is missing: ${hint}`)
  }
  return signerFromSkey(readPrivateFile(file))
}

/** 256 random bits: what somebody shows who has no key. Its digest, which tells nothing of it, is in the log. */
export function newIdentityToken(): string {
  return `ind_${randomBytes(32).toString('base64url')}`
}

/** Reads a token from a file, so that it need not stand on a command line. */
export function readToken(file: string): string {
  return readFileSync(file, 'utf8').trim()
}
