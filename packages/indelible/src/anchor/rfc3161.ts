/**
 * A timestamp authority as an anchor (RFC 3161): it signs that a checkpoint existed at a time. It keeps nothing and compares
 * nothing: what its tokens are worth against a roll-back depends on where they are kept.
 */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fromBER, Integer, Null, OctetString, Sequence } from 'asn1js'
import { AlgorithmIdentifier, MessageImprint, TimeStampReq, TimeStampResp } from 'pkijs'
import { z } from 'zod'
import { isEqual, toBase64, utf8 } from '../bytes.ts'
import type { AnchorConfig } from '../config/anchors-section.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { quote } from '../note/text.ts'
import {
  checkTimestamp,
  parseCertificates,
  type Timestamp,
  type TimestampTrust,
  withoutLeadingZeros,
} from '../verify/timestamp-token.ts'
import { TIMESTAMP_KIND, TimestampVerifier } from '../verify/timestamp-verifier.ts'
import type { Anchor, AnchorKind, AnchorResult, AnchorTask, AnchorUse } from './anchor.ts'
import { parseOptions } from './options.ts'
import { readReceiptFile } from './receipts.ts'
import { readBytes, reasonOf } from './witness-client.ts'

const oid = z.string().regex(/^[0-2](\.(0|[1-9][0-9]*))+$/, 'expected an OID such as 1.2.3.4')

const optionsSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
  /** PEM file with the certificates that the authority's has to lead to. */
  certificates: z.string().min(1),
  /** Asked for, and then demanded. */
  policy: oid.optional(),
})

const trustSchema = z.strictObject({
  certificates: z.string().min(1),
  policy: oid.optional(),
  /** Receipts that the verifier keeps himself: a copy of the log's `anchors/<name>.jsonl`. */
  receipts: z.string().min(1).optional(),
})

export const rfc3161Kind: AnchorKind = {
  kind: TIMESTAMP_KIND,
  async open(config, use) {
    const fail = (message: string) =>
      new IndelibleError('ERR_CONFIG_INVALID', `anchor ${quote(config.name)}: ${message}`)
    const { url, certificates, policy } = parseOptions(optionsSchema, config.options, fail)
    return new Rfc3161Anchor(config, url, trustOf(certificates, policy, use.directory, fail), use)
  },
  async verifier({ name, required, max_age: maxAgeSeconds, options }, { directory, clock }) {
    const fail = (message: string) => new IndelibleError('ERR_POLICY_INVALID', `anchor ${quote(name)}: ${message}`)
    const { certificates, policy, receipts } = parseOptions(trustSchema, options, fail)
    const kept = receipts === undefined ? undefined : resolve(directory, receipts)
    if (kept !== undefined && !existsSync(kept)) throw fail(`receipts ${receipts}: there is no such file`)
    return new TimestampVerifier({
      name,
      required,
      maxAgeSeconds,
      clock,
      ...trustOf(certificates, policy, directory, fail),
      ...(kept !== undefined && { kept: async () => [...readReceiptFile(kept)] }),
    })
  },
}

function trustOf(
  path: string,
  policy: string | undefined,
  directory: string,
  fail: (message: string) => IndelibleError,
): TimestampTrust {
  try {
    const certificates = parseCertificates(readFileSync(resolve(directory, path), 'utf8'))
    return { certificates, ...(policy !== undefined && { policy }) }
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    throw fail(`certificates ${path}: ${error.message}`)
  }
}

/** Longest answer that is read, bytes. A token with its chain has some 6,000. */
const MAX_ANSWER = 2 ** 17

/** How far the authority's clock may be from ours, seconds. */
const SKEW_SECONDS = 300

/** RFC 3161 §2.4.2, PKIFailureInfo, by bit. The last three pass by themselves. */
const FAILURES: Readonly<Record<number, string>> = {
  0: 'it does not know the hash (badAlg)',
  2: 'it does not allow the request (badRequest)',
  5: 'it cannot read the request (badDataFormat)',
  15: 'it does not know the policy (unacceptedPolicy)',
  16: 'it does not know an extension (unacceptedExtension)',
  17: 'it cannot give what was asked for (addInfoNotAvailable)',
  14: 'its time source is not available (timeNotAvailable)',
  25: 'it has failed (systemFailure)',
}
const PASSING = [14, 25]

class Rfc3161Anchor implements Anchor {
  readonly kind = TIMESTAMP_KIND
  readonly name: string
  readonly #url: string
  readonly #trust: TimestampTrust
  readonly #use: AnchorUse

  constructor({ name }: AnchorConfig, url: string, trust: TimestampTrust, use: AnchorUse) {
    this.name = name
    this.#url = url
    this.#trust = trust
    this.#use = use
  }

  async anchor({ checkpoint, signal }: AnchorTask): Promise<AnchorResult> {
    const data = utf8(checkpoint.note)
    const nonce = randomBytes(16)
    // A positive INTEGER, and never a shorter one.
    nonce[0] = (nonce[0]! & 0x7f) | 0x40
    const token = this.#tokenIn(await this.#post(formatRequest(data, nonce, this.#trust.policy), signal))
    let timestamp: Timestamp
    try {
      timestamp = await checkTimestamp(token, data, this.#trust)
    } catch (error) {
      if (isIndelibleError(error, 'ERR_PROOF_INVALID')) throw this.#failed(`answers wrongly: ${error.message}`, error)
      if (!isIndelibleError(error)) throw error
      throw this.#refused(error.message, error)
    }
    if (!timestamp.nonce || !isEqual(timestamp.nonce, withoutLeadingZeros(nonce))) {
      throw this.#failed('answers with a token of another request: its nonce is not ours')
    }
    const now = this.#use.clock() / 1000
    if (Math.abs(timestamp.time - now) > SKEW_SECONDS) {
      const seconds = Math.round(timestamp.time - now)
      throw this.#refused(`has a clock that is ${seconds} s off ours: one of the two is wrong`)
    }
    const warnings =
      timestamp.chainEnds - now < 30 * 86_400
        ? [`the certificates of ${quote(timestamp.authority)} end within 30 days: later tokens need new ones`]
        : []
    return { proof: { token: toBase64(token) }, warnings }
  }

  async #post(body: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<Uint8Array> {
    const headers = { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' }
    let response: Response
    let answer: Uint8Array
    try {
      response = await this.#use.fetch(this.#url, { method: 'POST', body, headers, redirect: 'error', signal })
      answer = await readBytes(response, MAX_ANSWER)
    } catch (cause) {
      if (isIndelibleError(cause)) throw this.#failed(cause.message)
      throw this.#failed(reasonOf(cause, signal), cause)
    }
    const { status } = response
    if (status === 429 || status >= 500) throw this.#failed(`answers ${status}`)
    if (status !== 200) throw this.#refused(`does not take the request (${status})`)
    const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
    if (type !== 'application/timestamp-reply') throw this.#failed('answers with what is no timestamp reply')
    return answer
  }

  /** DER of the token in a TimeStampResp, byte for byte. */
  #tokenIn(answer: Uint8Array): Uint8Array {
    let status: number
    let reason: number | undefined
    let token: Uint8Array | undefined
    try {
      const asn1 = fromBER(new Uint8Array(answer))
      if (asn1.offset !== answer.length || !(asn1.result instanceof Sequence)) throw new TypeError('not one sequence')
      const response = new TimeStampResp({ schema: asn1.result })
      status = response.status.status
      reason = firstBit(response.status.failInfo?.valueBlock.valueHexView)
      token = asn1.result.valueBlock.value[1]?.valueBeforeDecodeView
    } catch (cause) {
      throw this.#failed('answers with what is no timestamp reply', cause)
    }
    // 0 granted, 1 granted with modifications.
    if (status === 0 || status === 1) {
      if (token) return new Uint8Array(token)
      throw this.#failed('grants a timestamp and sends none')
    }
    const why = reason === undefined ? `status ${status}` : (FAILURES[reason] ?? `failure ${reason}`)
    if (reason !== undefined && PASSING.includes(reason)) throw this.#failed(`gives no timestamp: ${why}`)
    throw this.#refused(`gives no timestamp: ${why}`)
  }

  #failed(what: string, cause?: unknown): IndelibleError {
    return new IndelibleError('ERR_ANCHOR_FAILED', `timestamp authority ${what}`, { cause })
  }

  #refused(what: string, cause?: unknown): IndelibleError {
    return new IndelibleError('ERR_ANCHOR_REFUSED', `timestamp authority ${what}`, { cause })
  }
}

function formatRequest(data: Uint8Array, nonce: Uint8Array, policy: string | undefined): Uint8Array<ArrayBuffer> {
  const request = new TimeStampReq({
    version: 1,
    messageImprint: new MessageImprint({
      hashAlgorithm: new AlgorithmIdentifier({
        algorithmId: '2.16.840.1.101.3.4.2.1',
        algorithmParams: new Null(),
      }),
      hashedMessage: new OctetString({ valueHex: createHash('sha256').update(data).digest() }),
    }),
    ...(policy !== undefined && { reqPolicy: policy }),
    nonce: new Integer({ valueHex: nonce }),
    certReq: true,
  })
  return new Uint8Array(request.toSchema().toBER(false))
}

function firstBit(bits: Uint8Array | undefined): number | undefined {
  for (const [i, byte] of (bits ?? []).entries()) {
    if (byte !== 0) return 8 * i + Math.clz32(byte) - 24
  }
  return undefined
}
