/**
 * The hash chain of `llm-audit-trail`, verified as its own `verify_log` does, and where that looks away, more strictly: with
 * a key every record must be keyed (a ledger must not say itself that it needs none), numbering starts at 0 and has no
 * holes, no key stands twice.
 *
 * `curr_hash` is the SHA-256, or the HMAC under a key, of `prev_hash` and the record without `curr_hash` as Python writes it. The
 * hash is tried first over the bytes that stand in the file, then over Python's spelling of their value: the first also
 * accepts honest ledgers that the package itself reports (integer keys), the second lines that were spelled anew.
 *
 * Like the original it says nothing about records cut off at the end.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { ChainFinding, ImportSource } from './importer.ts'
import { PythonNumber, type PythonValue, parsePython, stablePythonJson } from './python-json.ts'
import { Malformed } from './values.ts'

const GENESIS = 'GENESIS'
const SHA256 = 'sha256'
const HMAC = 'hmac-sha256'

/** Verifies a ledger of either generation, or of both: the second continues files of the first. */
export async function verifyLlmAuditTrail(source: ImportSource, key: string | undefined): Promise<ChainFinding> {
  const chain = new Chain(key)
  // A line that is no text at all is missing here, and breaks the link of the next.
  for await (const { line, text } of source.lines()) {
    const error = chain.add(text)
    if (error !== null) return chain.finding({ error, line })
  }
  return chain.finding({})
}

class Chain {
  readonly #key: string | undefined
  #head = GENESIS
  #seq = -1
  #records = 0
  #reformatted = 0
  readonly #algorithms = new Set<string>()
  readonly #generations = new Set<number>()

  constructor(key: string | undefined) {
    this.#key = key || undefined
  }

  finding(failure: { error?: string; line?: number }): ChainFinding {
    const generations = [...this.#generations]
    return {
      verified: failure.error === undefined,
      algorithm: [...this.#algorithms].join('+') || SHA256,
      generation: generations.reduce((sum, generation) => sum + generation, 0),
      records: this.#records,
      head: this.#records === 0 ? null : this.#head,
      reformatted: this.#reformatted,
      ...failure,
    }
  }

  /** What is wrong with the next record, in the words of `verify_log` where it has one. */
  add(text: string): string | null {
    const record = parse(text)
    if (record === undefined) return 'malformed_json'
    if (!(record instanceof Map)) return 'malformed_record'
    const claimed: unknown = record.get('curr_hash')
    if (typeof claimed !== 'string') return 'missing_curr_hash'
    const isSecond = record.has('seq') || record.has('hash_alg')
    this.#generations.add(isSecond ? 2 : 1)
    if (record.get('prev_hash') !== this.#head) return 'broken_link'
    const algorithm: unknown = record.get('hash_alg') ?? SHA256
    if (algorithm !== SHA256 && algorithm !== HMAC) return 'unknown_hash_alg'
    if (algorithm === HMAC && this.#key === undefined) return 'key_required'
    // Whoever lacks the key can write records that say that they need none.
    if (algorithm === SHA256 && (this.#key !== undefined || this.#algorithms.has(HMAC))) return 'unkeyed_record'
    this.#algorithms.add(algorithm)
    const spelling = this.#spelling(record, text, claimed)
    if (spelling === null) return 'hash_mismatch'
    if (isSecond) {
      const seq: unknown = record.get('seq')
      if (!(seq instanceof PythonNumber) || seq.literal !== String(this.#seq + 1)) return 'seq_gap'
      this.#seq++
    } else if (this.#seq >= 0) return 'seq_gap'
    this.#head = claimed
    this.#records++
    if (spelling === 'other') this.#reformatted++
    return null
  }

  #spelling(record: ReadonlyMap<string, PythonValue>, text: string, claimed: string): 'written' | 'other' | null {
    const member = `"curr_hash":${JSON.stringify(claimed)},`
    const at = text.indexOf(member)
    if (at >= 0 && this.#matches(text.slice(0, at) + text.slice(at + member.length), claimed)) return 'written'
    const body = new Map(record)
    body.delete('curr_hash')
    return this.#matches(stablePythonJson(body), claimed) ? 'other' : null
  }

  #matches(body: string, claimed: string): boolean {
    const hash = this.#key === undefined ? createHash('sha256') : createHmac('sha256', this.#key)
    const digest = hash.update(this.#head + body, 'utf8').digest()
    return /^[0-9a-f]{64}$/.test(claimed) && timingSafeEqual(digest, Buffer.from(claimed, 'hex'))
  }
}

function parse(text: string): PythonValue | undefined {
  try {
    return parsePython(text)
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}
