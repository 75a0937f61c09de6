/** Asks one witness to cosign a checkpoint (C2SP tlog-witness v1.0.0). Believes nothing that it answers. */
import { concat } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { formatAddCheckpoint } from '../note/add-checkpoint.ts'
import { parseCosignature } from '../note/cosignature.ts'
import { openNote, parseNote, type VerifierKey } from '../note/signed-note.ts'
import { parseDecimal, quote } from '../note/text.ts'
import { proveConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { AnchoredCheckpoint, AnchorTree } from './anchor.ts'

export interface WitnessClientOptions {
  readonly name: string
  readonly key: VerifierKey
  /** Submission prefix. */
  readonly url: string
  readonly fetch: typeof fetch
}

/** Longest answer that is read, bytes. A cosignature line has some 200. */
const MAX_ANSWER = 65_536

/** A witness that others feed too may move on between two requests; more often than this it plays with us. */
const MAX_ATTEMPTS = 4

export class WitnessClient {
  readonly name: string
  readonly key: VerifierKey
  readonly #url: string
  readonly #fetch: typeof fetch
  /** Size that this witness is known to have cosigned last. */
  #old: number | null = null

  constructor({ name, key, url, fetch }: WitnessClientOptions) {
    this.name = name
    this.key = key
    this.#url = `${url.replace(/\/+$/, '')}/add-checkpoint`
    this.#fetch = fetch
  }

  /**
   * @param guess size that the witness may have cosigned last; a wrong guess costs one more request
   * @returns its signature line, verified, with the final LF
   * @throws IndelibleError `ERR_ANCHOR_FAILED` if it cannot be reached, takes too long or answers with garbage;
   * `ERR_ANCHOR_REFUSED` if it does not know the log or its key, or signs with another key than the policy has;
   * `ERR_ROLLED_BACK` if it has cosigned a larger checkpoint; `ERR_SPLIT_VIEW` if it has cosigned another tree
   */
  async cosign(checkpoint: AnchoredCheckpoint, tree: AnchorTree, guess: number, signal: AbortSignal): Promise<string> {
    const { size } = checkpoint
    let old = Math.min(this.#old ?? guess, size)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const { status, body } = await this.#post(checkpoint, tree, old, signal)
      if (status !== 409) {
        if (status !== 200) throw this.#refusal(status, old, size)
        const line = this.#cosignature(checkpoint, body)
        this.#old = size
        return line
      }
      const seen = body.endsWith('\n') ? parseDecimal(body.slice(0, -1)) : undefined
      if (seen === undefined || seen === old) throw this.#failed('answers 409 without the size that it has seen')
      if (seen > size) {
        const message = `${this.#who} has cosigned ${seen} entries of this log, which has ${size}: its end is gone`
        throw new IndelibleError('ERR_ROLLED_BACK', message)
      }
      this.#old = old = seen
    }
    throw this.#failed(`says another size each of ${MAX_ATTEMPTS} times`)
  }

  async #post(
    { note, size }: AnchoredCheckpoint,
    tree: AnchorTree,
    old: number,
    signal: AbortSignal,
  ): Promise<{ status: number; body: string }> {
    const proof = old === 0 || old === size ? [] : await proveConsistency(old, size, sourceNodeReader(tree, size))
    const body = formatAddCheckpoint({ old, proof, checkpoint: note })
    try {
      const headers = { 'content-type': 'text/plain; charset=utf-8' }
      const response = await this.#fetch(this.#url, { method: 'POST', body, headers, redirect: 'error', signal })
      return { status: response.status, body: await readBody(response, MAX_ANSWER) }
    } catch (cause) {
      if (isIndelibleError(cause)) throw this.#failed(cause.message)
      throw this.#failed(reasonOf(cause, signal), { cause })
    }
  }

  #cosignature({ note }: AnchoredCheckpoint, body: string): string {
    const text = note.slice(0, note.lastIndexOf('\n\n') + 1)
    let lines: string[]
    try {
      parseNote(`${text}\n${body}`)
      lines = body.slice(0, -1).split('\n')
    } catch (cause) {
      throw this.#failed('answers 200 with what are no signature lines', { cause })
    }
    for (const line of lines) {
      try {
        const { verified } = openNote(`${text}\n${line}\n`, [this.key])
        // C2SP tlog-cosignature: the time of a checkpoint's cosignature is not zero.
        if (parseCosignature(verified[0]!.signature).timestamp > 0) return `${line}\n`
      } catch (error) {
        if (isIndelibleError(error, 'ERR_NOTE_UNVERIFIED')) continue
        throw this.#failed('answers with a cosignature that does not verify', { cause: error })
      }
    }
    throw new IndelibleError('ERR_ANCHOR_REFUSED', `${this.#who} does not sign with the key that the policy has of it`)
  }

  #refusal(status: number, old: number, size: number): IndelibleError {
    const refused = (why: string) => new IndelibleError('ERR_ANCHOR_REFUSED', `${this.#who} ${why} (${status})`)
    if (status === 404) return refused('does not know this log: have it added there')
    if (status === 403) return refused('trusts none of the keys that signed this checkpoint')
    if (status === 422) {
      const message = `${this.#who} has cosigned another tree: its ${old} entries are not the first of these ${size} (422)`
      return new IndelibleError('ERR_SPLIT_VIEW', message)
    }
    if (status === 429 || status >= 500) return this.#failed(`answers ${status}`)
    return refused('does not take the request')
  }

  #failed(what: string, options?: ErrorOptions): IndelibleError {
    return new IndelibleError('ERR_ANCHOR_FAILED', `${this.#who} ${what}`, options)
  }

  get #who(): string {
    return `witness ${quote(this.name)}`
  }
}

/**
 * The bytes of an answer.
 * @throws IndelibleError `ERR_ANCHOR_FAILED` if there are more than `most`
 */
export async function readBytes(response: Response, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > most) throw new IndelibleError('ERR_ANCHOR_FAILED', `answers with more than ${most} bytes`)
    chunks.push(chunk)
  }
  return concat(...chunks)
}

/**
 * The text of an answer.
 * @throws IndelibleError `ERR_ANCHOR_FAILED` if it is longer than `most` bytes or not UTF-8
 */
export async function readBody(response: Response, most: number): Promise<string> {
  const bytes = await readBytes(response, most)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new IndelibleError('ERR_ANCHOR_FAILED', 'answers with what is not UTF-8')
  }
}

/** Why a request came to nothing, in a few words: the message of an error of fetch says only that it failed. */
export function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'did not answer in time'
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const { code } = cause as NodeJS.ErrnoException
  return `cannot be reached${typeof code === 'string' ? ` (${code})` : ''}`
}
