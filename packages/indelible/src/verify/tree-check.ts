/**
 * Recomputes the tree from the entries as they are shown, compares every stored hash on the way, and tells where the first
 * difference is.
 */
import { isEqual, toBase64 } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import { Frontier, frontierNodes } from '../tree/frontier.ts'
import { HASH_BYTES, type Hash, leafHash } from '../tree/hash.ts'
import type { NodeId } from '../tree/node.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { TILE_WIDTH, tileRoot } from '../tree/tile.ts'
import type { EvidenceEntry, EvidenceHead, LogEvidence } from './evidence.ts'
import type { FindingList } from './report.ts'

/** Entries that contradict a stored hash are remembered up to this number, until it is known which of the two is true. */
const MAX_DOUBTFUL = 200

/** The tree at one size, twice: as the entries make it, and as the stored leaf hashes do, where those differ. */
export interface Roots {
  readonly entries: Hash
  readonly stored: Hash | null
}

export class TreeCheck {
  readonly #evidence: LogEvidence
  readonly #findings: FindingList
  readonly #size: number
  #frontier: Frontier
  /** The tree that the stored leaf hashes make, once they differ from those of the entries. */
  #stored: Frontier | null = null
  readonly #doubtful: {
    readonly index: number
    readonly leaf: Hash
    readonly stored: Hash
    readonly isTile: boolean
  }[] = []
  #doubts = 0
  readonly #otherwise: (() => void)[] = []
  /** `false` once an entry is missing whose leaf hash nothing else holds. */
  #computable = true
  /** By level: the roots of the tiles below, as they come by. */
  readonly #levels: Hash[][] = []
  /** Full level-0 tiles of the entries that come next; `null` for one that is missing. */
  readonly #tiles = new Map<number, Uint8Array | null>()

  private constructor(evidence: LogEvidence, size: number, frontier: Frontier, findings: FindingList) {
    this.#evidence = evidence
    this.#size = size
    this.#frontier = frontier
    this.#findings = findings
  }

  /** Starts at `start`, taking the hashes before it from the tiles: if they are wrong, the root will be. */
  static async at(start: number, size: number, evidence: LogEvidence, findings: FindingList): Promise<TreeCheck> {
    const hashes = await readNodes(evidence, size, frontierNodes(start))
    const check = new TreeCheck(evidence, size, hashes ? new Frontier(start, hashes) : Frontier.empty(), findings)
    if (!hashes) {
      check.#computable = false
      findings.add('tile_missing', `tree hashes of the entries before ${start} are missing or malformed`)
    }
    return check
  }

  /** Roots of the tree so far, or `null` where they cannot be told. */
  roots(): Roots | null {
    return this.#computable ? { entries: this.#frontier.root(), stored: this.#stored?.root() ?? null } : null
  }

  /**
   * Whether `root` is that of a tree so far. An entry that was altered must not make everything look altered that was
   * signed over it: where `root` is that of the stored leaf hashes only, `otherwise` is called in the end, unless it
   * turns out that those are what the log signed.
   */
  isRoot(root: Hash, { entries, stored }: Roots, otherwise: () => void): boolean {
    if (isEqual(root, entries)) return true
    if (stored === null || !isEqual(root, stored)) return false
    this.#otherwise.push(otherwise)
    return true
  }

  /** The tree so far, to go on with elsewhere; `null` where it cannot be told. */
  frontier(): Frontier | null {
    return this.#computable ? this.#frontier.clone() : null
  }

  /** Gives up: so much is missing that the rest is not looked at. There is a finding. */
  abandon(): void {
    this.#computable = false
  }

  /** Takes the entry at `index`, or `null` if it is missing. Returns its leaf hash, as recomputed if there is an entry. */
  entry(index: number, row: EvidenceEntry | null): Hash | null {
    const inTile = this.#leafInTile(index)
    if (row === null) {
      this.#findings.add('entry_missing', `entry ${index} is missing`, { index })
      this.#append(inTile, inTile)
      return inTile
    }
    const leaf = leafHash(row.entry)
    const isAsStored = isEqual(leaf, row.leaf)
    if (inTile === null) {
      if (!isAsStored) this.#doubt(index, leaf, row.leaf, false)
    } else if (isEqual(leaf, inTile)) {
      if (!isAsStored) this.#leafAltered(index)
    } else if (isAsStored) {
      this.#doubt(index, leaf, inTile, true)
    } else {
      this.#entryAltered(index, leaf, inTile)
    }
    this.#append(leaf, inTile ?? row.leaf)
    return leaf
  }

  /** Takes an entry whose leaf hash, as recomputed, is the one stored with it. */
  settled(index: number, leaf: Hash): void {
    const inTile = this.#leafInTile(index)
    const isInTile = inTile === null || isEqual(leaf, inTile)
    if (!isInTile) this.#doubt(index, leaf, inTile, true)
    this.#append(leaf, isInTile ? leaf : inTile)
  }

  /** A purged entry: its leaf hash stands in the tiles. */
  purged(index: number): Hash | null {
    const leaf = this.#leafInTile(index)
    if (!leaf) this.#findings.add('tile_missing', `leaf hash of purged entry ${index} is missing`, { index })
    this.#append(leaf, leaf)
    return leaf
  }

  #append(leaf: Hash | null, stored: Hash | null): void {
    if (leaf?.length !== HASH_BYTES) this.#computable = false
    if (!this.#computable) return
    const other = stored?.length === HASH_BYTES ? stored : leaf!
    if (leaf !== other && !isEqual(leaf!, other)) this.#stored ??= this.#frontier.clone()
    this.#stored?.append(other)
    this.#frontier.append(leaf!)
  }

  /** Reads the tiles of the entries `[start, end)`, which come next. */
  async prepare(start: number, end: number): Promise<void> {
    const first = Math.floor(start / TILE_WIDTH)
    for (const index of this.#tiles.keys()) if (index < first) this.#tiles.delete(index)
    for (let index = first; index * TILE_WIDTH < end; index++) {
      const isFull = (index + 1) * TILE_WIDTH <= this.#size
      if (isFull && !this.#tiles.has(index)) this.#tiles.set(index, await this.#fullTile(0, index))
    }
  }

  #leafInTile(index: number): Hash | null {
    const hashes = this.#tiles.get(Math.floor(index / TILE_WIDTH))
    return hashes ? hashAt(hashes, index % TILE_WIDTH) : null
  }

  /** A full tile, checked against its own root; that in turn against the level above as it comes by. */
  async #fullTile(level: number, index: number): Promise<Uint8Array | null> {
    const hashes = await this.#evidence.tile(level, index)
    const first = index * TILE_WIDTH ** (level + 1)
    if (hashes?.length !== TILE_WIDTH * HASH_BYTES) {
      this.#findings.add('tile_missing', `tile ${index} at level ${level} is missing or malformed`, { index: first })
      return null
    }
    const root = tileRoot(hashes)
    const [stored] = (await orMissing(this.#evidence.tileRoots(level, index, index + 1))) ?? []
    if (!stored || !isEqual(stored, root)) {
      this.#findings.add('tile_altered', `tile ${index} at level ${level} has another root than stored with it`, {
        index: first,
      })
    }
    await this.#collect(level + 1, index, root)
    return hashes
  }

  /** Compares the tiles above with the roots of the tiles below, as those come by in order. */
  async #collect(level: number, index: number, root: Hash): Promise<void> {
    const position = index % TILE_WIDTH
    const hashes = this.#levels[level] ?? []
    this.#levels[level] = hashes
    hashes[position] = root
    if (position !== TILE_WIDTH - 1) return
    const above = Math.floor(index / TILE_WIDTH)
    const tile = await this.#fullTile(level, above)
    if (tile) {
      const wrong = hashes.findIndex((hash, i) => hash && !isEqual(hash, hashAt(tile, i)))
      if (wrong !== -1) {
        const first = (above * TILE_WIDTH + wrong) * TILE_WIDTH ** level
        this.#findings.add('tile_altered', `tile ${above} at level ${level} contradicts the tile below it`, {
          index: first,
        })
      }
    }
    this.#levels[level] = []
  }

  /** Appends what the tiles say of `[index, size)`: for a verification that ends before the log does. */
  async skipTo(index: number): Promise<void> {
    if (!this.#computable || index >= this.#size) return
    const nodes = nodesBetween(index, this.#size)
    const hashes = await readNodes(this.#evidence, this.#size, nodes)
    if (!hashes) {
      this.#computable = false
      this.#findings.add('tile_missing', `tree hashes of the entries from ${index} on are missing or malformed`)
      return
    }
    for (const [i, { level }] of nodes.entries()) {
      this.#frontier.appendSubtree(level, hashes[i]!)
      this.#stored?.appendSubtree(level, hashes[i]!)
    }
  }

  /**
   * Holds the recomputed tree against the signed root, `null` if there is none that counts.
   * @param vouched the largest size up to which a published checkpoint agreed
   */
  finish(root: Hash | null, head: EvidenceHead, vouched: number): void {
    const roots = this.roots()
    const isTrue = root !== null && roots !== null && isEqual(roots.entries, root)
    const isStoredTrue = root !== null && roots !== null && roots.stored !== null && isEqual(roots.stored, root)
    this.#settle(isTrue)
    if (roots && root && !isStoredTrue) for (const report of this.#otherwise) report()
    if (root === null || roots === null) return
    // If the stored leaf hashes make the signed root, the findings name every altered entry.
    if (!isTrue && !isStoredTrue) {
      this.#findings.add(
        'root_mismatch',
        `entries do not make the signed root; entries ${vouched} to ${head.size - 1} may be altered, removed or reordered`,
        { expected: toBase64(root), found: toBase64(roots.entries), ...this.#locate(head, root) },
      )
      return
    }
    const frontier = (isTrue ? this.#frontier : this.#stored!).hashes
    const differs = head.frontier.some((hash, i) => !frontier[i] || !isEqual(hash, frontier[i]))
    if (differs || head.frontier.length !== frontier.length) {
      this.#findings.add('frontier_altered', 'stored frontier is not that of the entries')
    }
  }

  #doubt(index: number, leaf: Hash, stored: Hash, isTile: boolean): void {
    if (this.#doubts++ < MAX_DOUBTFUL) this.#doubtful.push({ index, leaf, stored, isTile })
  }

  /** Where an entry and a stored hash contradict each other, the signed root says which of them was altered. */
  #settle(isTrue: boolean): void {
    for (const { index, leaf, stored, isTile } of this.#doubtful) {
      if (!isTrue) this.#entryAltered(index, leaf, stored)
      else if (!isTile) this.#leafAltered(index)
      else {
        const message = `tile ${Math.floor(index / TILE_WIDTH)} at level 0 contradicts entry ${index}`
        this.#findings.add('tile_altered', message, { index })
      }
    }
    this.#findings.count += this.#doubts - this.#doubtful.length
  }

  #entryAltered(index: number, leaf: Hash, stored: Hash): void {
    this.#findings.add('entry_altered', `entry ${index} is not the one whose leaf hash was stored`, {
      index,
      expected: toBase64(stored),
      found: toBase64(leaf),
    })
  }

  #leafAltered(index: number): void {
    this.#findings.add('leaf_altered', `stored leaf hash of entry ${index} is not that of the entry`, { index })
  }

  /** The first entry of the first subtree that differs, if the stored frontier is the signed one. */
  #locate(head: EvidenceHead, root: Hash): { index?: number } {
    let signed: Frontier
    try {
      signed = new Frontier(head.size, head.frontier)
    } catch {
      return {}
    }
    if (!isEqual(signed.root(), root)) return {}
    const hashes = this.#frontier.hashes
    const nodes = frontierNodes(head.size)
    const at = signed.hashes.findIndex((hash, i) => !hashes[i] || !isEqual(hash, hashes[i]))
    const node = nodes[at]
    return node ? { index: node.index * 2 ** node.level } : {}
  }
}

/** The perfect subtrees that fill `[start, end)`, whatever `start` is, in order. */
function nodesBetween(start: number, end: number): NodeId[] {
  const nodes: NodeId[] = []
  for (let at = start; at < end; ) {
    let level = 0
    while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= end && level < 52) level++
    nodes.push({ level, index: at / 2 ** level })
    at += 2 ** level
  }
  return nodes
}

function hashAt(tile: Uint8Array, position: number): Hash {
  return tile.subarray(position * HASH_BYTES, (position + 1) * HASH_BYTES)
}

async function readNodes(evidence: LogEvidence, size: number, nodes: NodeId[]): Promise<readonly Hash[] | null> {
  if (nodes.length === 0) return []
  const hashes = await orMissing(sourceNodeReader(evidence, size)(nodes))
  return hashes?.every((hash) => hash.length === HASH_BYTES) ? hashes : null
}

/** `null` where hashes are missing or malformed. What else goes wrong is the source's trouble and says nothing of the log. */
export async function orMissing<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof RangeError || isIndelibleError(error, 'ERR_TILE_INVALID', 'ERR_PROOF_INVALID')) return null
    throw error
  }
}
