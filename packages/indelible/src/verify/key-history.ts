/**
 * Which key speaks for the log at which size. A rotation is a statement that the old and the new key both signed: from the
 * entry that holds it, the new key speaks, and the old one, which may be stolen one day, no more. Hence the checkpoint that
 * first covers a rotation carries both signatures.
 */
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, openNote, parseVkey, SIGNATURE_COSIGNATURE, type VerifierKey } from '../note/signed-note.ts'

/** First line of a rotation statement: a signed note of this line, the origin, the old vkey and the new one. */
export const ROTATION = 'indelible/key-rotation@1'

/** The text that both keys sign. */
export function formatRotation(origin: string, old: VerifierKey, next: VerifierKey): string {
  return `${ROTATION}\n${origin}\n${formatVkey(old)}\n${formatVkey(next)}\n`
}

/** A key, and the sizes in `(after, upTo]` at which it speaks. */
interface Reign {
  readonly key: VerifierKey
  after: number
  upTo: number
}

interface Rotation {
  readonly index: number
  readonly old: VerifierKey
  readonly next: VerifierKey
}

export class KeyHistory {
  readonly #origin: string
  readonly #reigns: Reign[] = []
  /** Rotations between two keys of which none is known yet: a later one may lead from the second to a known key. */
  readonly #unresolved: Rotation[] = []

  /** @param keys those that the verifier trusts at any size, unless a rotation ends their time */
  constructor(origin: string, keys: readonly VerifierKey[]) {
    this.#origin = origin
    for (const key of keys) if (!this.#knows(key)) this.#reigns.push({ key, after: 0, upTo: Number.MAX_SAFE_INTEGER })
  }

  /**
   * The checkpoint in `note`, and the newest key of those that signed it and count at its size; `others` is how many signatures
   * are by keys that are not known.
   *
   * @throws IndelibleError as `openCheckpoint`; {@link SupersededKeyError} if only keys signed that do not count at its size
   */
  open(note: string): { checkpoint: Checkpoint; key: VerifierKey; others: number } {
    const keys = this.#reigns.map(({ key }) => key)
    const { checkpoint, opened } = openCheckpoint(note, {
      origin: this.#origin,
      keys: keys.filter((key, i) => keys.findIndex((other) => isSameKey(other, key)) === i),
    })
    // A witness vouches for consistency: its cosignature must not stand in for a key of the log that counts no more.
    const signed = opened.verified.filter(({ key }) => key.type !== SIGNATURE_COSIGNATURE)
    const counting = this.#reigns.findLast(
      (reign) => isWithin(reign, checkpoint.size) && signed.some(({ key }) => isSameKey(key, reign.key)),
    )
    if (!counting) throw new SupersededKeyError(checkpoint.size)
    return { checkpoint, key: counting.key, others: opened.unverified.length }
  }

  /**
   * Takes note of a rotation entry, in the order of the log. A statement between two unknown keys is kept until a later one
   * tells, see {@link unresolved}.
   *
   * If the policy has the new key but not the old one, the old one counts before the rotation: whoever vouches for the new
   * key vouches for the statement that it signed.
   *
   * @param statement the signed note in the entry
   * @throws IndelibleError if it is not signed by both keys, or by an old one that counted no more
   */
  rotate(index: number, statement: string): void {
    const rotation = this.#parse(index, statement)
    const { old, next } = rotation
    if (this.#knows(old)) {
      const reign = this.#reigns.findLast((reign) => isSameKey(reign.key, old) && isWithin(reign, index + 1))
      if (!reign) throw unverified('rotation statement is by a key that counted no more')
      reign.upTo = index
      if (!this.#counts(next, index + 1)) this.#reigns.push({ key: next, after: index, upTo: Number.MAX_SAFE_INTEGER })
    } else {
      this.#unresolved.push(rotation)
      this.#resolve()
    }
  }

  /** All that speak at some size. */
  get keys(): VerifierKey[] {
    return this.#reigns.map(({ key }) => key)
  }

  /** Indexes of the rotations that no key of the policy leads to. */
  get unresolved(): number[] {
    return this.#unresolved.map(({ index }) => index)
  }

  /** From a known key back to its predecessors. Never forward: that a predecessor named others says nothing now. */
  #resolve(): void {
    for (let i = this.#unresolved.length - 1; i >= 0; i--) {
      const { index, old, next } = this.#unresolved[i]!
      const known = this.#reigns.find((reign) => isSameKey(reign.key, next) && isWithin(reign, index + 1))
      if (!known || this.#knows(old)) continue
      if (known.upTo !== Number.MAX_SAFE_INTEGER) known.after = index
      // First, because `open` prefers the last.
      this.#reigns.unshift({ key: old, after: 0, upTo: index })
      this.#unresolved.splice(i, 1)
    }
  }

  #parse(index: number, statement: string): Rotation {
    const [first, origin, oldVkey, nextVkey] = statement.split('\n', 4)
    if (first !== ROTATION || origin !== this.#origin || oldVkey === undefined || nextVkey === undefined) {
      throw new IndelibleError('ERR_NOTE_INVALID', 'rotation statement is of another form or log')
    }
    const [old, next] = [parseVkey(oldVkey), parseVkey(nextVkey)]
    const { text, verified } = openNote(statement, [old, next])
    if (verified.length !== 2 || text !== formatRotation(this.#origin, old, next)) {
      throw unverified('rotation statement is not signed by both keys')
    }
    if (old.type === SIGNATURE_COSIGNATURE || next.type === SIGNATURE_COSIGNATURE) {
      throw unverified('rotation statement names the key of a witness')
    }
    return { index, old, next }
  }

  #knows(key: VerifierKey): boolean {
    return this.#reigns.some((reign) => isSameKey(reign.key, key))
  }

  #counts(key: VerifierKey, size: number): boolean {
    return this.#reigns.some((reign) => isSameKey(reign.key, key) && isWithin(reign, size))
  }
}

/** A checkpoint signed by a key that had a successor by then. */
export class SupersededKeyError extends IndelibleError {
  override readonly name = 'SupersededKeyError'
  constructor(size: number) {
    super('ERR_NOTE_UNVERIFIED', `checkpoint of size ${size} is signed only by a key that does not count at that size`)
  }
}

export function isUnverified(error: unknown): error is IndelibleError {
  return isIndelibleError(error, 'ERR_NOTE_UNVERIFIED')
}

function unverified(message: string): IndelibleError {
  return new IndelibleError('ERR_NOTE_UNVERIFIED', message)
}

function isWithin({ after, upTo }: Reign, size: number): boolean {
  return size > after && size <= upTo
}

function isSameKey(a: VerifierKey, b: VerifierKey): boolean {
  return a.name === b.name && a.type === b.type && isEqual(a.publicKey, b.publicKey)
}
