/** What in a configuration is allowed, and weaker than its reader may think. */
import type { Config } from './config.ts'

export interface PrivacyWarning {
  readonly key: string
  readonly message: string
  /** What to do about it. */
  readonly action: string
}

export function privacyWarnings({ privacy, log, keys }: Config): PrivacyWarning[] {
  const warnings: PrivacyWarning[] = []
  if (privacy.fingerprint === 'sha256') {
    warnings.push({
      key: 'privacy.fingerprint',
      message:
        'fingerprints are plain SHA-256: anybody who has one can try out values, and few values are possible for most',
      action: 'indelible config unset privacy.fingerprint',
    })
  }
  if (/^postgres(ql)?:/.test(log.store) && privacy.encrypt === false) {
    warnings.push({
      key: 'privacy.encrypt',
      message: 'payloads are not encrypted: the log, replicas and backups of the database keep what is erased here',
      action: 'indelible config unset privacy.encrypt',
    })
  }
  if (privacy.vault.dir === keys.dir) {
    warnings.push({
      key: 'privacy.vault.dir',
      message:
        'the vault is in the folder of the signing keys, which is kept out of all backups: the vault needs one of its own',
      action: 'with nothing writing the log, move vault.db and vault.key elsewhere, then set privacy.vault.dir',
    })
  }
  return warnings
}
