/**
 * The vault of a home. `vault.json` in the home says which one it has had since its first use: where that is missing, a new
 * one must not take its place unnoticed, and payloads are unreadable rather than lost.
 */
import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../config/config.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { withFileLock, writeFileAtomic } from '../keys/files.ts'
import { createVault, hasVault, Vault } from '../keys/vault.ts'
import { sealPayloads } from '../store/sealed-payloads.ts'
import type { LogStore } from '../store/store.ts'

const markSchema = z.object({ id: z.string() })

export function vaultDirectory(home: string, { privacy }: Config): string {
  return isAbsolute(privacy.vault.dir) ? privacy.vault.dir : join(home, privacy.vault.dir)
}

/** Whether new payloads are encrypted. `auto` does so where the back-end's own backups and replicas keep what was deleted. */
export function isEncrypting({ privacy, log }: Config): boolean {
  return privacy.encrypt === 'auto' ? /^postgres(ql)?:/.test(log.store) : privacy.encrypt
}

/** Whether this home has, or is to have, a vault. */
export function usesVault(home: string, config: Config): boolean {
  return isEncrypting(config) || config.privacy.pseudonyms.length > 0 || readMark(home) !== null
}

/**
 * The vault for writing, made at its first use; `null` where none is needed.
 * @throws IndelibleError `ERR_VAULT_MISSING` if this home had one that is not there, `ERR_KEY_MISMATCH` if another is in its
 * place, and as {@link Vault}
 */
export async function openVault(home: string, config: Config): Promise<Vault | null> {
  if (!usesVault(home, config)) return null
  const directory = vaultDirectory(home, config)
  if (readMark(home) === null) {
    await withFileLock(`${markPath(home)}.lock`, () => {
      if (readMark(home) !== null) return
      createVault(directory)
      const made = new Vault(directory)
      try {
        writeFileAtomic(markPath(home), `${JSON.stringify({ id: made.id })}\n`)
      } finally {
        made.close()
      }
    })
  }
  return openMarked(home, directory, false)
}

/** The vault for reading; `null` where there is none, or none that can be used: then payloads stay unreadable. */
export function openVaultToRead(home: string, config: Config): Vault | null {
  try {
    return readMark(home) === null ? null : openMarked(home, vaultDirectory(home, config), true)
  } catch (error) {
    if (isIndelibleError(error)) return null
    throw error
  }
}

/**
 * The vault, to read; `null` if this home never had one.
 * @throws IndelibleError as {@link openVault}
 */
export function openVaultOrFail(home: string, config: Config): Vault | null {
  return readMark(home) === null ? null : openMarked(home, vaultDirectory(home, config), true)
}

/** Why the vault of this home cannot be used; `null` if it can, or if there is none. */
export function vaultFault(home: string, config: Config): IndelibleError | null {
  try {
    if (readMark(home) !== null) openMarked(home, vaultDirectory(home, config), true).close()
    return null
  } catch (error) {
    if (isIndelibleError(error)) return error
    throw error
  }
}

/** A store whose payloads go through the vault; it closes the vault with itself. */
export function protectPayloads(store: LogStore, vault: Vault | null, config: Config): LogStore {
  if (!vault) return store
  const sealed = sealPayloads(store, vault, { origin: config.log.origin, seal: isEncrypting(config) })
  return new Proxy(sealed, {
    get: (target, name) =>
      name === 'close' ? () => target.close().finally(() => vault.close()) : Reflect.get(target, name),
  })
}

function openMarked(home: string, directory: string, readOnly: boolean): Vault {
  if (!hasVault(directory)) {
    const message = `${directory}: the vault of this log is missing. Restore it: what it protects cannot be read without`
    throw new IndelibleError('ERR_VAULT_MISSING', message)
  }
  const vault = new Vault(directory, { readOnly })
  const expected = readMark(home)
  if (expected !== null && vault.id !== expected) {
    vault.close()
    throw new IndelibleError('ERR_KEY_MISMATCH', `${directory} is vault ${vault.id}, this log has ${expected}`)
  }
  return vault
}

function readMark(home: string): string | null {
  const path = markPath(home)
  if (!existsSync(path)) return null
  try {
    return markSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).id
  } catch {
    throw new IndelibleError('ERR_CONFIG_INVALID', `${path} is damaged: it names the vault of this log`)
  }
}

function markPath(home: string): string {
  return join(home, 'vault.json')
}
