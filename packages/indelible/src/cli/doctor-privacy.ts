/** Checks of what protects payloads and persons: settings that are weaker than they look, and the vault. */
import { realpathSync, statSync } from 'node:fs'
import { sep } from 'node:path'
import type { Config } from '../config/config.ts'
import { privacyWarnings } from '../config/privacy-warnings.ts'
import { openVaultOrFail, usesVault, vaultDirectory, vaultFault } from '../log/vault-home.ts'
import { type Check, failure, ok, warning } from './doctor-check.ts'
import { count, shellWord } from './output.ts'

/** @param folder where the database is; `null` if that is no folder of this machine */
export function checkPrivacy(home: string, config: Config, folder: string | null): Check[] {
  const weak = privacyWarnings(config).map(({ key, message, action }) =>
    warning('privacy', `${key}: ${message}`, action),
  )
  return [...weak, ...checkVault(home, config, folder)]
}

function checkVault(home: string, config: Config, folder: string | null): Check[] {
  if (!usesVault(home, config)) return []
  const directory = vaultDirectory(home, config)
  const fault = vaultFault(home, config)
  if (fault) {
    const action = 'restore the vault; the log verifies without it, but encrypted payloads cannot be read'
    return [failure('vault', `${fault.message} (${fault.code})`, action)]
  }
  const vault = openVaultOrFail(home, config)
  if (!vault) return [ok('vault', 'none yet: whoever records first makes it')]
  const { keys, pseudonyms } = vault.facts()
  vault.close()
  const checks = [ok('vault', `${count(keys, 'key')}, ${count(pseudonyms, 'pseudonym')}`)]
  if (process.platform !== 'win32' && (statSync(directory).mode & 0o077) !== 0) {
    checks.push(warning('vault', `others may look into ${directory}`, `chmod go= ${shellWord(directory)}`))
  }
  if (isWithin(directory, folder === null ? [home] : [home, folder])) {
    const action = 'leave it out of backups of the log and back it up on its own, or move it and set privacy.vault.dir'
    const why = 'a backup that has both can undo the forgetting of a person'
    checks.push(warning('vault', `${directory} is in the same tree as the database: ${why}`, action))
  }
  return checks
}

function isWithin(folder: string, trees: readonly string[]): boolean {
  const path = realpathSync(folder)
  return trees.some((tree) => {
    try {
      return `${path}${sep}`.startsWith(`${realpathSync(tree)}${sep}`)
    } catch {
      return false // no folder of this machine
    }
  })
}
