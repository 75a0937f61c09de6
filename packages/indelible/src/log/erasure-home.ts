/** What erasures reach in a home beside the log: index, spool, vault, and the journal of what is under way. */
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { isIndelibleError } from '../errors.ts'
import type { Vault } from '../keys/vault.ts'
import type { ErasureGuard, ErasureSite } from './erasure.ts'
import { FileJournal } from './erasure-journal.ts'
import { approvalsPlace, indexPlace, spoolPlace, vaultPlace } from './erasure-places.ts'
import type { Log } from './log.ts'
import { vaultDirectory } from './vault-home.ts'

export function erasureSite(
  home: string,
  config: Config,
  vault: Vault | null,
  guards: readonly ErasureGuard[],
): ErasureSite {
  const places = [
    indexPlace(join(home, 'index.db')),
    spoolPlace(join(home, 'spool')),
    approvalsPlace(join(home, 'approvals')),
  ]
  if (vault) places.push(vaultPlace(join(vaultDirectory(home, config), 'vault.db')))
  return {
    journal: new FileJournal(join(home, 'erasures')),
    places,
    approvers: config.privacy.erasure.approvers,
    guards,
    ...(vault && {
      forget: (subject: string) => void vault.forget(subject),
      isForgotten: (key: string) => vault.key(key) === 'forgotten',
    }),
  }
}

/** Goes on, in the background, with what a crash or a reader left pending. The log waits for it when it closes. */
export function resumeErasures(home: string, log: Log): void {
  try {
    if (new FileJournal(join(home, 'erasures')).list().length === 0) return
    // What cannot be done now stays pending, and says so to whoever asks for it by `erase --resume`.
    log.resumeErasures().catch(() => {})
  } catch (error) {
    // A damaged file of the journal is no reason not to record; `erase --resume` and `doctor` tell of it.
    if (!isIndelibleError(error)) throw error
  }
}
