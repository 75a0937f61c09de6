/**
 * Sealed payloads: what a store keeps instead of a disclosure where payloads are encrypted,
 *
 *     indelible/sealed@1 VAULT KEY[,KEY…] BASE64URL(nonce ‖ ciphertext ‖ tag)
 *
 * A reader who has not got the keys sees this text. It is no disclosure, and not the sign of an alteration either.
 */
const TAG = 'indelible/sealed@1'
const FORM = /^indelible\/sealed@1 ([A-Za-z0-9_-]{11}) ([A-Za-z0-9_-]{16}(?:,[A-Za-z0-9_-]{16})*) ([A-Za-z0-9_-]{38,})$/

export interface SealedText {
  /** Names the vault that has the keys. */
  readonly vault: string
  /** Names of the keys; all of them are needed. */
  readonly keys: readonly string[]
  /** Base64url: nonce of 12 bytes, ciphertext, tag of 16 bytes. */
  readonly box: string
}

/** Whether a stored text is a sealed payload rather than a disclosure. */
export function isSealed(text: string): boolean {
  return text.startsWith(`${TAG} `)
}

export function formatSealed({ vault, keys, box }: SealedText): string {
  return `${TAG} ${vault} ${keys.join(',')} ${box}`
}

/** @returns `null` for what has another form */
export function parseSealed(text: string): SealedText | null {
  const match = FORM.exec(text)
  return match && { vault: match[1]!, keys: match[2]!.split(','), box: match[3]! }
}

/** What the encryption binds a payload to: its log, its place, its keys. Moved elsewhere it opens no more. */
export function sealedContext(at: {
  readonly origin: string
  readonly index: number
  readonly name: string
  readonly vault: string
  readonly keys: readonly string[]
}): string {
  return `${TAG}\n${at.origin}\n${at.index}\n${at.name}\n${at.vault} ${at.keys.join(',')}`
}
