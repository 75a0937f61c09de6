/** Holds the published checkpoints against the entries: each is signed, and is of the tree that the entries make at its size. */
import { sha256 } from '#crypto'
import { concat, isEqual, utf8 } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import { type Checkpoint, parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import type { LogEvidence } from './evidence.ts'
import { isUnverified, type KeyHistory } from './key-history.ts'
import type { FindingList } from './report.ts'
import type { TreeCheck } from './tree-check.ts'

interface Published {
  readonly size: number
  readonly note: string
}

export class PublishedCheck {
  readonly #evidence: LogEvidence
  readonly #keys: KeyHistory
  readonly #findings: FindingList
  readonly #from: number
  readonly #checkpoints: AsyncGenerator<Published, void>
  #next: IteratorResult<Published, void> | null = null
  /** Of all up to the last one that waits, so that a second look is at the same ones. */
  #digest: Uint8Array = new Uint8Array(32)
  /** Signed by a key that a rotation further on may vouch for: looked at again when all rotations are known. */
  #waiting: { readonly upTo: number; readonly digest: Uint8Array } | null = null
  /** Published checkpoints agreed with the entries up to this size. */
  vouched = 0

  constructor(evidence: LogEvidence, keys: KeyHistory, findings: FindingList, from: number, to: number) {
    this.#evidence = evidence
    this.#keys = keys
    this.#findings = findings
    this.#from = from
    this.#checkpoints = readPublished(evidence, from, to)
  }

  /** Whether there are signatures that no key known so far made. */
  get isWaiting(): boolean {
    return this.#waiting !== null
  }

  /** Whether {@link upTo} has anything to do: asked for every entry, and seldom so. */
  isDue(size: number): boolean {
    return this.#next === null || (!this.#next.done && !(this.#next.value.size > size))
  }

  /** Compares the checkpoints of sizes up to `size`. */
  async upTo(size: number, tree: TreeCheck): Promise<void> {
    this.#next ??= await this.#checkpoints.next()
    while (!this.#next.done && !(this.#next.value.size > size)) {
      this.#compare(this.#next.value, tree)
      this.#next = await this.#checkpoints.next()
    }
  }

  #compare({ size, note }: Published, tree: TreeCheck): void {
    this.#digest = chain(this.#digest, note)
    const stated = statedIn(note)
    const roots = tree.roots()
    const differs = () => {
      const message = `published checkpoint of size ${size} is not of these entries`
      this.#findings.add('published_checkpoint_altered', message)
    }
    const fits = stated?.size === size && (roots === null || tree.isRoot(stated.root, roots, differs))
    if (stated && !fits) differs()
    try {
      this.#keys.open(note)
      if (fits && roots && roots.stored === null) this.vouched = Math.max(this.vouched, size)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      if (isUnverified(error)) this.#waiting = { upTo: size, digest: this.#digest }
      else this.#unverified(size)
    }
  }

  /** @param keys with all rotations of the log */
  async finish(keys: KeyHistory): Promise<void> {
    if (!this.#waiting) return
    const { upTo, digest } = this.#waiting
    let seen: Uint8Array = new Uint8Array(32)
    for await (const { size, note } of readPublished(this.#evidence, this.#from, upTo)) {
      seen = chain(seen, note)
      try {
        keys.open(note)
      } catch (error) {
        if (!isIndelibleError(error)) throw error
        if (isUnverified(error)) this.#unverified(size)
      }
    }
    if (!isEqual(seen, digest)) {
      this.#findings.add('published_checkpoint_altered', 'published checkpoints changed while they were looked at')
    }
  }

  #unverified(size: number): void {
    const message = `published checkpoint of size ${size} is not signed by a key that counts at that size`
    this.#findings.add('checkpoint_unverified', message)
  }
}

/** Published checkpoints of a size in `(above, upTo]`. */
export async function* readPublished(
  evidence: LogEvidence,
  above: number,
  upTo: number,
): AsyncGenerator<Published, void> {
  for await (const chunk of evidence.checkpoints(above, upTo)) yield* chunk
}

function statedIn(note: string): Checkpoint | null {
  try {
    return parseCheckpoint(parseNote(note).text)
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return null
  }
}

function chain(digest: Uint8Array, note: string): Uint8Array {
  return sha256(concat(digest, utf8(note)))
}
