/**
 * Which key speaks for the log at which size. A successor counts only once a rotation signed by both keys lies under a
 * checkpoint that the old key signed; from there on the old key, which may be stolen one day, counts no more.
 */
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, openNote, parseVkey, type VerifierKey } from '../note/signed-note.ts'

/** First line of a rotation statement: a signed note of this line, the origin, the old vkey and the new one. */
export const ROTATION = 'indelible/key-rotation@1'

/** The text that both keys sign. */
export function formatRotation(origin: string, old: VerifierKey, next: VerifierKey): string {
  return `${ROTATION}\n${origin}\n${formatVkey(old)}\n${formatVkey(next)}\n`
}

interface TrustedKey {
  readonly key: VerifierKey
  /** Sizes in `(after, upTo]` that the key may sign. */
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
  readonly #keys: TrustedKey[]
  readonly #pending: Rotation[] = []

  constructor(origin: string, keys: readonly VerifierKey[]) {
    this.#origin = origin
    this.#keys = keys.map((key) => ({ key, after: 0, upTo: Number.MAX_SAFE_INTEGER }))
  }

  /**
   * The checkpoint in `note`, if a key signed it that counts at its size.
   *
   * @throws IndelibleError as `openCheckpoint`, and `ERR_NOTE_UNVERIFIED` with a message of its own for a superseded key
   */
  open(note: string): Checkpoint {
    const { checkpoint, opened } = openCheckpoint(note, {
      origin: this.#origin,
      keys: this.#keys.map(({ key }) => key),
    })
    const { size } = checkpoint
    const counting = opened.verified.filter(({ key }) => {
      const trusted = this.#keys.find((candidate) => isSameKey(candidate.key, key))
      return trusted !== undefined && size > trusted.after && size <= trusted.upTo
    })
    if (counting.length === 0) {
      throw new SupersededKeyError(size)
    }
    for (const rotation of this.#pending.splice(0)) {
      const accepted = rotation.index < size && counting.some(({ key }) => isSameKey(key, rotation.old))
      if (!accepted) {
        this.#pending.push(rotation)
        continue
      }
      const old = this.#keys.find(({ key }) => isSameKey(key, rotation.old))
      if (old) old.upTo = Math.min(old.upTo, size)
      if (!this.#keys.some(({ key }) => isSameKey(key, rotation.next))) {
        this.#keys.push({ key: rotation.next, after: rotation.index, upTo: Number.MAX_SAFE_INTEGER })
      }
    }
    return checkpoint
  }

  /**
   * Takes note of a rotation entry.
   *
   * If the policy has the new key but not the old one, the old one counts for sizes up to the rotation: whoever vouches for
   * the new key vouches for the statement that it signed.
   *
   * @param statement the signed note in the entry
   * @throws IndelibleError if it is not signed by both keys, or names no key that counts
   */
  rotate(index: number, statement: string): void {
    const [first, origin, old, next] = statement.split('\n', 4)
    if (first !== ROTATION || origin !== this.#origin || old === undefined || next === undefined) {
      throw new IndelibleError('ERR_NOTE_INVALID', 'rotation statement is of another form or log')
    }
    const keys = [parseVkey(old), parseVkey(next)] as const
    const { text, verified } = openNote(statement, keys)
    if (verified.length !== 2 || text !== formatRotation(this.#origin, ...keys)) {
      throw new IndelibleError('ERR_NOTE_UNVERIFIED', 'rotation statement is not signed by both keys')
    }
    const [oldKey, nextKey] = keys
    const knowsOld = this.#keys.some(({ key }) => isSameKey(key, oldKey))
    const knowsNext = this.#keys.some(({ key }) => isSameKey(key, nextKey))
    if (!knowsOld && !knowsNext) {
      throw new IndelibleError(
        'ERR_NOTE_UNVERIFIED',
        'rotation statement is between keys that the policy does not trust',
      )
    }
    if (!knowsOld) this.#keys.push({ key: oldKey, after: 0, upTo: index + 1 })
    else this.#pending.push({ index, old: oldKey, next: nextKey })
  }

  /** The key that counts at `size`, the newest first. */
  current(size: number): VerifierKey | undefined {
    return this.#keys.findLast(({ after, upTo }) => size > after && size <= upTo)?.key
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

function isSameKey(a: VerifierKey, b: VerifierKey): boolean {
  return a.name === b.name && a.type === b.type && isEqual(a.publicKey, b.publicKey)
}
