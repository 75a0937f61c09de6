/** The privacy policy of a home, from its configuration. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Config } from '../config/config.ts'
import { IndelibleError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { PrivacyPolicy, type PrivacyRules } from '../privacy/policy.ts'
import type { Recognizer, Redactor } from '../privacy/redactor.ts'
import type { Mode } from '../record/event.ts'

export interface PolicyOptions {
  /** Mode of every part, whatever the rules say. */
  readonly capture?: Mode | undefined
  /** Instead of the one that the configuration names. */
  readonly recognizer?: Recognizer | undefined
}

/** What the configuration says of modes. */
export function privacyRules({ privacy }: Config, capture?: Mode): PrivacyRules {
  const { mode, parts, rules, lengths, fingerprint, preview_chars: previewChars } = privacy
  const modes = capture === undefined ? { mode, parts, rules } : { mode: capture }
  return { ...modes, lengths, fingerprint, previewChars }
}

/**
 * The redactor of a configuration.
 * @throws IndelibleError `ERR_CONFIG_INVALID` for a pattern that the linear-time engine does not take, rules for fields that
 * contradict each other, a recognizer that cannot be loaded
 */
export async function configuredRedactor(home: string, config: Config, recognizer?: Recognizer): Promise<Redactor> {
  // Patterns take a while to load, and most commands record nothing.
  const { createRedactor } = await import('../privacy/redactor.ts')
  const { packs, patterns, fields, recognizer_timeout_ms: recognizerTimeoutMs } = config.privacy
  const own = recognizer ?? (await configuredRecognizer(home, config))
  return createRedactor({ packs, patterns, fields, ...(own && { recognizer: own }), recognizerTimeoutMs })
}

/** The policy that a log of this configuration records under, and what of it the configuration's text does not show. */
export async function privacyPolicy(
  home: string,
  config: Config,
  keys: Pick<LogKeys, 'origin' | 'fingerprint'>,
  { capture, recognizer }: PolicyOptions = {},
): Promise<{
  readonly privacy: PrivacyPolicy
  readonly redactor: Redactor
  readonly facts: ReadonlyMap<string, unknown>
}> {
  const redactor = await configuredRedactor(home, config, recognizer)
  const privacy = new PrivacyPolicy(privacyRules(config, capture), keys.origin, keys.fingerprint, redactor)
  return { privacy, redactor, facts: redactionFacts(home, config, redactor) }
}

/** Packs in force, with versions and hashes, by flat key: they change with the program, not only with the configuration. */
export function redactionFacts(home: string, { privacy }: Config, { packs }: Redactor): Map<string, unknown> {
  const facts = new Map<string, unknown>()
  for (const { pack, version, sha256 } of packs)
    facts.set(`privacy.packs_in_force.${pack}`, `${version} sha256:${sha256}`)
  if (privacy.recognizer !== undefined) {
    const digest = createHash('sha256')
      .update(readFileSync(recognizerPath(home, privacy.recognizer)))
      .digest('hex')
    facts.set('privacy.recognizer_in_force', `sha256:${digest}`)
  }
  return facts
}

async function configuredRecognizer(home: string, { privacy }: Config): Promise<Recognizer | undefined> {
  if (privacy.recognizer === undefined) return undefined
  const path = recognizerPath(home, privacy.recognizer)
  let recognize: unknown
  try {
    const loaded = (await import(pathToFileURL(path).href)) as { readonly recognize?: unknown }
    recognize = loaded.recognize
  } catch (cause) {
    throw new IndelibleError('ERR_CONFIG_INVALID', `privacy.recognizer: ${path} cannot be loaded`, { cause })
  }
  if (typeof recognize !== 'function') {
    throw new IndelibleError('ERR_CONFIG_INVALID', `privacy.recognizer: ${path} exports no function recognize`)
  }
  return recognize as Recognizer
}

function recognizerPath(home: string, path: string): string {
  return isAbsolute(path) ? path : join(home, path)
}
