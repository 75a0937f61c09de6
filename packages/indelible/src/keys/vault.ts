/**
 * The vault: keys that payloads are encrypted under, and who is behind a pseudonym. Losing it loses what it protects, and
 * that is what it is for: forgetting a person here makes unreadable what backups and replicas of the database still hold.
 *
 * A folder of its own, `vault.db` beside `vault.key`, both for their owner only. It belongs into no copy of the log and no
 * backup of its database. Without `vault.key` the file says nothing: keys and identifiers in it are encrypted, and are
 * found by a keyed hash.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64, toBase64, toBase64Url } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { checkPrivate, makePrivateDirectory, readPrivateFile, writeFileAtomic } from './files.ts'
import { createVaultFile, VaultFile } from './vault-file.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** `p_` and 128 random bits. */
const PSEUDONYM = /^p_[A-Za-z0-9_-]{22}$/

export type PseudonymKind = 'person' | 'session'

export interface SubjectKey {
  readonly id: string
  readonly key: Uint8Array
}

export interface VaultFacts {
  readonly id: string
  readonly keys: number
  readonly pseudonyms: number
  /** Keys that were destroyed. */
  readonly forgotten: number
}

/** Whether there is a vault in `directory`, or a part of one. */
export function hasVault(directory: string): boolean {
  return existsSync(join(directory, 'vault.db')) || existsSync(join(directory, 'vault.key'))
}

/**
 * Makes a vault in `directory`. One whose making was interrupted is finished.
 * @throws IndelibleError `ERR_VAULT_MISSING` if there is a file without its key, `ERR_STORE_…`
 */
export function createVault(directory: string): void {
  makePrivateDirectory(directory)
  // https://bford.info/cachedir/: what tar, borg and restic look for to leave a folder out.
  writeFileSync(join(directory, 'CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55\n', { mode: 0o600 })
  writeFileSync(join(directory, '.nobackup'), '', { mode: 0o600 })
  const keyPath = join(directory, 'vault.key')
  const filePath = join(directory, 'vault.db')
  if (!existsSync(keyPath)) {
    if (existsSync(filePath))
      throw new IndelibleError('ERR_VAULT_MISSING', `${keyPath} is missing, and its vault is there`)
    writeFileAtomic(keyPath, `${toBase64(randomBytes(KEY_BYTES))}\n`)
  }
  const { check } = readKeys(directory)
  createVaultFile(filePath, { id: toBase64Url(randomBytes(8)), check })
}

export class Vault {
  readonly id: string
  readonly #file: VaultFile
  readonly #wrapping: KeyObject
  readonly #lookup: KeyObject
  /** Valid until another process has changed the file: a key that it has destroyed must not be used any more. */
  readonly #keys = new Map<string, Uint8Array>()
  readonly #subjects = new Map<string, SubjectKey>()
  readonly #tokens = new Map<string, string>()

  /**
   * @throws IndelibleError `ERR_VAULT_MISSING`, `ERR_KEY_PERMISSIONS`, `ERR_KEY_INVALID`, `ERR_KEY_MISMATCH` if the key
   * is another vault's, `ERR_STORE_…`
   */
  constructor(directory: string, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    for (const name of ['vault.db', 'vault.key']) {
      const path = join(directory, name)
      if (!existsSync(path)) throw new IndelibleError('ERR_VAULT_MISSING', `${path} is missing: restore the vault`)
      checkPrivate(path)
    }
    const { wrapping, lookup, check } = readKeys(directory)
    this.#wrapping = wrapping
    this.#lookup = lookup
    this.#file = new VaultFile(join(directory, 'vault.db'), readOnly)
    const stated = this.#file.meta()
    if (!timingSafeEqual(stated.check, check)) {
      this.#file.close()
      throw new IndelibleError('ERR_KEY_MISMATCH', `${directory}: vault.key is not the key of vault.db`)
    }
    this.id = stated.id
  }

  /** The keys of `subjects`, in the order of their ids; of `day` if there are none. Made where missing, in one write. */
  keysFor(entries: readonly { readonly subjects: readonly string[]; readonly day: string }[]): SubjectKey[][] {
    this.#refresh()
    const names = entries.map(({ subjects, day }) =>
      subjects.length > 0 ? [...new Set(subjects)].map((subject) => `subject\n${subject}`) : [`day\n${day}`],
    )
    const missing = new Set<string>()
    for (const own of names) for (const name of own) if (!this.#subjects.has(name)) missing.add(name)
    if (missing.size > 0) this.#load([...missing])
    return names.map((own) =>
      own.map((name) => this.#subjects.get(name)!).sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)),
    )
  }

  #load(names: readonly string[]): void {
    const lookups = names.map((name) => ({ name, lookup: this.#hash(name) }))
    const found = lookups.map(({ lookup }) => this.#file.keyOf(lookup))
    const absent = lookups.filter((_, i) => !found[i])
    if (absent.length > 0) {
      const made = absent.map(({ lookup }) => {
        const id = toBase64Url(randomBytes(12))
        return { id, lookup, wrapped: this.#wrap(randomBytes(KEY_BYTES), `key\n${id}`) }
      })
      // Another process may have been faster: its key counts, and is read back.
      this.#file.addKeys(made)
    }
    for (const [i, { name, lookup }] of lookups.entries()) {
      const row = found[i] ?? this.#file.keyOf(lookup)
      // Forgotten in this very moment: whoever comes after that is somebody new.
      if (!row) {
        this.#load([name])
        continue
      }
      const key = this.#unwrap(row.wrapped, `key\n${row.id}`)
      this.#subjects.set(name, { id: row.id, key })
      this.#keys.set(row.id, key)
    }
  }

  /** `forgotten` once its person was; `null` for a key that this vault never had. */
  key(id: string): Uint8Array | 'forgotten' | null {
    this.#refresh()
    const cached = this.#keys.get(id)
    if (cached) return cached
    const wrapped = this.#file.key(id)
    if (wrapped === null) return this.#file.isForgotten(id) ? 'forgotten' : null
    const key = this.#unwrap(wrapped, `key\n${id}`)
    this.#keys.set(id, key)
    return key
  }

  /** The token that stands for an identifier, made if there is none yet. One per person, however often they come. */
  pseudonym(kind: PseudonymKind, id: string): string {
    this.#refresh()
    const name = `${kind}\n${id}`
    const known = this.#tokens.get(name) ?? this.token(kind, id)
    if (known !== null) return known
    const made = `p_${toBase64Url(randomBytes(16))}`
    const identity = this.#wrap(Buffer.from(name), `token\n${made}`)
    const token = this.#file.addToken({ token: made, lookup: this.#hash(name), identity })
    this.#tokens.set(name, token)
    return token
  }

  /** The token of an identifier, if it has one. */
  token(kind: PseudonymKind, id: string): string | null {
    this.#refresh()
    const name = `${kind}\n${id}`
    const token = this.#file.tokenOf(this.#hash(name))
    if (token !== null) this.#tokens.set(name, token)
    return token
  }

  /** Whether `text` is a token of this vault. */
  isPseudonym(text: string): boolean {
    return PSEUDONYM.test(text) && this.#file.identity(text) !== null
  }

  /** Who is behind a token; `null` if nobody is, or nobody any more. */
  resolve(token: string): { readonly kind: PseudonymKind; readonly id: string } | null {
    const identity = PSEUDONYM.test(token) ? this.#file.identity(token) : null
    if (identity === null) return null
    const name = Buffer.from(this.#unwrap(identity, `token\n${token}`)).toString('utf8')
    const end = name.indexOf('\n')
    return { kind: name.slice(0, end) as PseudonymKind, id: name.slice(end + 1) }
  }

  /**
   * Destroys the key of a person, and what links their pseudonyms to them. Durable when it returns; nothing undoes it.
   * @returns how many keys and pseudonyms there were
   */
  forget(subject: string): { readonly keys: number; readonly pseudonyms: number } {
    const keys = this.#file.forgetKey(this.#hash(`subject\n${subject}`))
    const pseudonyms =
      this.#file.forgetToken(this.#hash(`person\n${subject}`)) +
      this.#file.forgetToken(this.#hash(`session\n${subject}`))
    this.#clear()
    return { keys, pseudonyms }
  }

  /** Removes what links one token to anybody. Returns whether there was such a link. */
  unlink(token: string): boolean {
    const removed = this.#file.removeToken(token) > 0
    this.#clear()
    return removed
  }

  facts(): VaultFacts {
    return { id: this.id, ...this.#file.counts() }
  }

  close(): void {
    this.#clear()
    this.#file.close()
  }

  #refresh(): void {
    if (this.#file.hasChanged()) this.#clear()
  }

  #clear(): void {
    // Bytes that stayed in memory would outlive the forgetting.
    for (const key of this.#keys.values()) key.fill(0)
    this.#keys.clear()
    this.#subjects.clear()
    this.#tokens.clear()
  }

  #hash(name: string): Uint8Array {
    return createHmac('sha256', this.#lookup).update(name).digest()
  }

  #wrap(plain: Uint8Array, context: string): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#wrapping, nonce).setAAD(Buffer.from(context))
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  }

  #unwrap(wrapped: Uint8Array, context: string): Uint8Array {
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#wrapping, wrapped.subarray(0, NONCE_BYTES))
      decipher.setAAD(Buffer.from(context)).setAuthTag(wrapped.subarray(wrapped.length - TAG_BYTES))
      const plain = decipher.update(wrapped.subarray(NONCE_BYTES, wrapped.length - TAG_BYTES))
      return new Uint8Array(Buffer.concat([plain, decipher.final()]))
    } catch {
      // No cause: nothing of a key belongs into an error.
      throw new IndelibleError('ERR_KEY_INVALID', 'vault: a row was altered, or moved from another vault')
    }
  }
}

/** As objects of OpenSSL: each use of plain bytes would make one, at ten times the cost of the encryption. */
function readKeys(directory: string): { wrapping: KeyObject; lookup: KeyObject; check: Uint8Array } {
  const path = join(directory, 'vault.key')
  const text = readPrivateFile(path).trim()
  let master: Uint8Array
  try {
    master = fromBase64(text)
    if (master.length !== KEY_BYTES) throw new RangeError('a key of another length')
  } catch {
    throw new IndelibleError('ERR_KEY_INVALID', `${path} is damaged`)
  }
  const derive = (label: string) => Buffer.from(hkdfSync('sha256', master, '', `indelible/vault@1 ${label}`, KEY_BYTES))
  return {
    wrapping: createSecretKey(derive('wrap')),
    lookup: createSecretKey(derive('lookup')),
    check: new Uint8Array(derive('check')),
  }
}
