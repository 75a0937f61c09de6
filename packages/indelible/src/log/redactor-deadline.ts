/** A recognizer that never answers must not keep an event waiting for ever. */
import type { PartRedactor, RedactedValue } from '../privacy/policy.ts'

/**
 * Gives a redactor that answers later at most `timeoutMs`; after that it counts as failed. One that never gives the thread
 * back cannot be helped from here.
 */
export function withDeadline(redactor: PartRedactor, timeoutMs: number): PartRedactor {
  return {
    get version() {
      return redactor.version
    },
    redact(value) {
      const left = redactor.redact(value)
      if (!('then' in left)) return left
      return new Promise<RedactedValue>((resolve, reject) => {
        const timer = setTimeout(() => resolve({ value: null, counts: {}, failed: 'timeout' }), timeoutMs)
        left.then(resolve, reject).finally(() => clearTimeout(timer))
      })
    },
  }
}
