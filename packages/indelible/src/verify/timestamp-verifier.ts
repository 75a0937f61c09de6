/** How a verifier judges the timestamps of a log: by the authorities that he trusts, and by tokens that he may have kept. */
import { fromBase64, utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { AnchorReceipt, AnchorVerifier, Voucher } from './anchors.ts'
import type { TimestampTrust } from './timestamp-token.ts'

export const TIMESTAMP_KIND = 'rfc3161'

export interface TimestampVerifierOptions extends TimestampTrust {
  readonly name: string
  readonly required: boolean
  readonly maxAgeSeconds?: number | undefined
  /** Verifier's clock, ms since 1970: only to say that a certificate has ended since. */
  readonly clock?: () => number
  /** Receipts that the verifier keeps out of the log's reach: what is removed from the log is still there. */
  readonly kept?: () => Promise<readonly AnchorReceipt[]>
}

export class TimestampVerifier implements AnchorVerifier {
  readonly kind = TIMESTAMP_KIND
  readonly name: string
  readonly required: boolean
  readonly maxAgeSeconds?: number
  readonly ask?: (origin: string) => Promise<Voucher[]>
  readonly #options: TimestampVerifierOptions

  constructor(options: TimestampVerifierOptions) {
    this.#options = options
    this.name = options.name
    this.required = options.required
    const { maxAgeSeconds, kept } = options
    if (maxAgeSeconds !== undefined) this.maxAgeSeconds = maxAgeSeconds
    if (kept) this.ask = (origin) => this.#ask(origin, kept)
  }

  /** `null` also for a token of an authority that this verifier does not know: it may be another anchor's. */
  async check({ kind, checkpoint, proof }: AnchorReceipt): Promise<Voucher | null> {
    if (kind !== TIMESTAMP_KIND || proof.token === undefined) return null
    // Here and not above: a verifier without timestamps need not load what reads certificates.
    const { checkTimestamp } = await import('./timestamp-token.ts')
    try {
      const { time, authority, chainEnds } = await checkTimestamp(tokenOf(proof.token), utf8(checkpoint), this.#options)
      const { clock } = this.#options
      const isOver = clock !== undefined && clock() / 1000 > chainEnds
      const ended = `${authority} (its certificates have ended since: judged at the time of the token)`
      return { note: checkpoint, by: [isOver ? ended : authority], time, counts: true }
    } catch (error) {
      if (isIndelibleError(error, 'ERR_NOTE_UNVERIFIED')) return null
      throw error
    }
  }

  async #ask(origin: string, kept: () => Promise<readonly AnchorReceipt[]>): Promise<Voucher[]> {
    const vouchers: Voucher[] = []
    for (const receipt of await kept()) {
      if (receipt.origin !== origin) continue
      const voucher = await this.check(receipt)
      if (voucher) vouchers.push(voucher)
    }
    return vouchers
  }
}

function tokenOf(base64: string): Uint8Array {
  try {
    return fromBase64(base64)
  } catch (cause) {
    throw new IndelibleError('ERR_PROOF_INVALID', 'timestamp token: it is not base64', { cause })
  }
}
