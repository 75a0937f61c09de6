/** How a home's configuration has runs recorded. */
import { readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { RecorderOptions } from '../capture/recorder.ts'
import { Spool } from '../capture/spool.ts'
import { spoolKey } from '../capture/spool-key.ts'
import type { Config } from '../config/config.ts'
import { isIndelibleError } from '../errors.ts'
import { machineId } from '../keys/process.ts'
import type { PrivacyPolicy } from '../privacy/policy.ts'

/** Where a home keeps what could not be appended. */
export function spoolDirectory(home: string): string {
  return join(home, 'spool')
}

/** Whether there is anything in a home's spool. */
export function hasSpooled(home: string): boolean {
  try {
    return readdirSync(spoolDirectory(home)).some((name) => name.endsWith('.spool'))
  } catch {
    return false
  }
}

/**
 * @param embedded whether the host application has to switch capture on, by `capture.enabled` or
 * `INDELIBLE_CAPTURE__ENABLED=true`
 */
export function captureOptions(
  { home, keys, origin }: { readonly home: string; readonly keys: string; readonly origin: string },
  { capture, keys: { host } }: Config,
  privacy: PrivacyPolicy,
  embedded: boolean,
): RecorderOptions {
  return {
    enabled: capture.enabled ?? !embedded,
    onFailure: capture.on_failure,
    timeoutMs: capture.timeout_ms,
    maxPendingBytes: capture.max_pending_bytes,
    retryMs: capture.retry_ms,
    // A digest under the deployment's key: runs of one host are seen to be, and the host is not named.
    host: privacy.fingerprint(JSON.stringify(host ?? machineId() ?? hostname())),
    spool: () => {
      if (capture.spool_max_bytes === 0) return null
      try {
        const directory = spoolDirectory(home)
        return new Spool({ directory, key: spoolKey(keys), origin, maxBytes: capture.spool_max_bytes })
      } catch (error) {
        // Keys on a medium that takes no writes, made before there were spools: memory has to do.
        if (isIndelibleError(error, 'ERR_STORE_READONLY', 'ERR_STORE_FULL')) return null
        throw error
      }
    },
  }
}
