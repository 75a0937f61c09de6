/** A key for HMAC-SHA-256, prepared once and used often. What is inside is the platform's own. */
export interface MacKey {
  readonly prepared: unknown
}
