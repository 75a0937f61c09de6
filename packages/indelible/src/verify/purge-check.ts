/**
 * Whether what is gone from the beginning of a log went lawfully. An intent counts that stands in the tree after what it lets
 * go, names exactly that, and is followed by no word that it was called off. What it carries over counts if it hashes to the
 * leaf that stayed in the tiles.
 */
import { toBase64Url, utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion, proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { LogEvidence } from './evidence.ts'
import { readRow } from './evidence-reader.ts'
import {
  type CarriedEntry,
  decodeEpochs,
  isCarriedType,
  type PurgeIntent,
  purgeEntryId,
  readCarried,
  readPurgeIntent,
} from './purge-statement.ts'
import type { FindingList } from './report.ts'
import { orMissing } from './tree-check.ts'

/** Attempts at one purge that are looked for. */
const MAX_ATTEMPTS = 1000
/** Purges of one log that are followed back. */
const MAX_PURGES = 100_000

/** A statement that outlived its place. */
export interface CarriedStatement {
  readonly index: number
  readonly record: ReadRecord
}

/** An intent, and where it stands or stood. */
export interface StatedPurge {
  readonly index: number
  readonly intent: PurgeIntent
}

/** What the last purge says, of its own range and of those before it. */
export interface PurgedPrefix {
  readonly intent: PurgeIntent
  readonly intentIndex: number
  /** This purge and those before it, the last first. */
  readonly purges: readonly StatedPurge[]
  /** Entries below this went in purges whose intents are not to be had: each stood below `intent.below`. 0 if there are none. */
  readonly untold: number
  /** In the order of the log. */
  readonly carried: readonly CarriedStatement[]
  /** Epoch of each purged entry, as runs from entry 0 on; `null` if an earlier purge's is not to be had. */
  readonly epochs: readonly (readonly [count: number, epoch: number])[] | null
}

/**
 * Reads the purge that let go of everything below `minIndex`.
 *
 * @returns `null` if no intent in the tree allows it
 */
export async function readPurge(
  evidence: LogEvidence,
  tree: { readonly origin: string; readonly size: number; readonly root: Uint8Array },
  minIndex: number,
): Promise<PurgedPrefix | null> {
  // The head says it, and nobody signs the head: no intent names such a number.
  if (!Number.isSafeInteger(minIndex) || minIndex < 0) return null
  const last = await findIntent(evidence, tree, minIndex)
  if (!last) return null
  const carried = new Map<number, CarriedStatement>()
  const intents = new Map<number, StatedPurge>([[minIndex, last]])
  const purges: StatedPurge[] = []
  const epochs: (readonly [number, number])[] = []
  let isWhole = true
  let below = minIndex
  // Also where epochs are not told any more: who signed the earlier ones is asked for all the same.
  while (below > 0 && purges.length < MAX_PURGES) {
    const stated = intents.get(below) ?? (await findIntent(evidence, tree, below))
    if (!stated) break
    const { intent } = stated
    purges.push(stated)
    // Copies stand where the purge that made them put them, until a later purge copies them again.
    for (const statement of await readCopies(evidence, tree, intent)) {
      carried.set(statement.index, statement)
      const earlier = statement.record.type === 'audit.purge.intent' ? readPurgeIntent(statement.record.audit) : null
      if (earlier) intents.set(earlier.below, { index: statement.index, intent: earlier })
    }
    const runs = decodeEpochs(intent.epochs, intent.below - intent.from)
    if (runs && isWhole) epochs.unshift(...runs)
    else isWhole = false
    below = intent.from
  }
  if (below > 0) isWhole = false
  const statements = [...carried.values()].sort((a, b) => a.index - b.index)
  return {
    intent: last.intent,
    intentIndex: last.index,
    purges,
    untold: below,
    carried: statements,
    epochs: isWhole ? epochs : null,
  }
}

/** Holds the last mac of what was purged, followed from the beginning, against the one that the intent states. */
export function checkPurgedMac(
  { intent, intentIndex: index }: PurgedPrefix,
  mac: Uint8Array,
  findings: FindingList,
): void {
  if (toBase64Url(mac) === intent.mac) return
  findings.add('purge_invalid', `purge of entry ${index} states another mac than its entries make`, {
    index,
    expected: toBase64Url(mac),
    found: intent.mac,
  })
}

interface Tree {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
}

async function findIntent(
  evidence: LogEvidence,
  tree: Tree,
  below: number,
): Promise<{ readonly index: number; readonly intent: PurgeIntent } | null> {
  let found: { index: number; intent: PurgeIntent } | null = null
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const [id, done] = (['intent', 'done'] as const).map((kind) => purgeEntryId(kind, tree.origin, below, attempt))
    const places = await evidence.findIds?.([id!, done!])
    const index = places?.get(id!)?.index
    if (index === undefined) break
    const intent = readPurgeIntent((await recordAt(evidence, tree, index, 'audit.purge.intent'))?.audit)
    const isAfter = intent !== null && intent.below === below && index >= below
    const end = places!.get(done!)?.index
    const isOff =
      end !== undefined && (await recordAt(evidence, tree, end, 'audit.purge.done'))?.audit?.cancelled === true
    found = isAfter && !isOff ? { index, intent: intent! } : null
  }
  return found
}

async function readCopies(evidence: LogEvidence, tree: Tree, intent: PurgeIntent): Promise<CarriedStatement[]> {
  const statements: CarriedStatement[] = []
  for (const at of intent.carried) {
    const record = await recordAt(evidence, tree, at, 'audit.purge.carried')
    for (const copy of readCarried(record?.audit)) {
      const statement = await openCopy(evidence, tree, copy, intent.below)
      if (statement) statements.push(statement)
    }
  }
  return statements
}

async function openCopy(
  evidence: LogEvidence,
  tree: Tree,
  [index, text]: CarriedEntry,
  below: number,
): Promise<CarriedStatement | null> {
  if (index >= below) return null
  const entry = utf8(text)
  if (!(await isInTree(evidence, tree, index, entry))) return null
  const record = parseEntry(entry)
  return isCarriedType(record.type) ? { index, record } : null
}

/** The entry at `index`, if it is in the tree and of that type. */
async function recordAt(evidence: LogEvidence, tree: Tree, index: number, type: string): Promise<ReadRecord | null> {
  const row = index < tree.size ? await readRow(evidence, index) : null
  if (!row || !(await isInTree(evidence, tree, index, row.entry))) return null
  const record = parseEntry(row.entry)
  return record.type === type ? record : null
}

async function isInTree(
  evidence: LogEvidence,
  { size, root }: Tree,
  index: number,
  entry: Uint8Array,
): Promise<boolean> {
  const proof = await orMissing(proveInclusion(index, size, sourceNodeReader(evidence, size)))
  try {
    if (!proof) throw new IndelibleError('ERR_PROOF_INVALID', 'no proof')
    checkInclusion({ leaf: leafHash(entry), index, size, root, proof })
    parseEntry(entry)
    return true
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return false
  }
}
