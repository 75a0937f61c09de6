/** K_0 as text: what the holder keeps off the host to check the chain of one deployment's log. */
import { fromBase64, fromHex, isEqual, toBase64, toHex } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { formatTime, parseTime } from '../record/time.ts'
import { MAC_BYTES, macKeyId } from './chain.ts'
import type { EpochClock } from './epoch.ts'

export interface MacVerificationKey {
  readonly origin: string
  readonly clock: EpochClock
  /** K_0, 32 bytes, secret. */
  readonly key: Uint8Array
}

const PREFIX = 'INDELIBLE+MAC'

/**
 * `INDELIBLE+MAC+<origin>+<start of epoch 0>+<seconds per epoch>+<key id, 8 hex digits>+<base64 K_0>`.
 * The clock is part of the key because a verifier must not take it from the log that it checks.
 */
export function formatMacVerificationKey({ origin, clock, key }: MacVerificationKey): string {
  const id = toHex(macKeyId(key, origin).subarray(0, 4))
  return [PREFIX, origin, formatTime(clock.startMs), clock.seconds, id, toBase64(key)].join('+')
}

/** @throws IndelibleError `ERR_KEY_INVALID`; the message never carries the key */
export function parseMacVerificationKey(text: string): MacVerificationKey {
  const match =
    /^INDELIBLE\+MAC\+([^\s+]{1,255})\+([^+]{20,30})\+([1-9][0-9]{0,14})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{43}=)$/.exec(
      text.trim(),
    )
  if (!match) throw invalid(`expected ${PREFIX}+origin+start+seconds+id+key`)
  const [, origin, start, seconds, id, encoded] = match as unknown as [string, string, string, string, string, string]
  let key: Uint8Array
  let startMs: number
  try {
    key = fromBase64(encoded)
    startMs = parseTime(start)
  } catch {
    throw invalid('its start or key cannot be read')
  }
  if (key.length !== MAC_BYTES || !isEqual(macKeyId(key, origin).subarray(0, 4), fromHex(id))) {
    throw invalid('its id does not fit its key: a character was lost or changed')
  }
  const parsed = { origin, clock: { startMs, seconds: Number(seconds) }, key }
  if (formatMacVerificationKey(parsed) !== text.trim()) throw invalid('its start is written in another form')
  return parsed
}

function invalid(why: string): IndelibleError {
  return new IndelibleError('ERR_KEY_INVALID', `not a mac verification key: ${why}`)
}
