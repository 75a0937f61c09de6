/** The privacy policy of a home, from its configuration. */
import type { Config } from '../config/config.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { type PartRedactor, PrivacyPolicy, type PrivacyRules } from '../privacy/policy.ts'
import type { Mode } from '../record/event.ts'
import { withDeadline } from './redactor-deadline.ts'

export interface PolicyOptions {
  /** Mode of every part, whatever the rules say. */
  readonly capture?: Mode | undefined
  readonly redactor?: PartRedactor | undefined
}

/** What the configuration says of modes. */
export function privacyRules({ privacy }: Config, capture?: Mode): PrivacyRules {
  const { mode, parts, rules, lengths, fingerprint, preview_chars: previewChars } = privacy
  const modes = capture === undefined ? { mode, parts, rules } : { mode: capture }
  return { ...modes, lengths, fingerprint, previewChars }
}

/** The policy that a log of this configuration records under. */
export function privacyPolicy(
  config: Config,
  keys: Pick<LogKeys, 'origin' | 'fingerprint'>,
  { capture, redactor }: PolicyOptions = {},
): PrivacyPolicy {
  const guarded = redactor ? withDeadline(redactor, config.privacy.redactor_timeout_ms) : null
  return new PrivacyPolicy(privacyRules(config, capture), keys.origin, keys.fingerprint, guarded)
}
