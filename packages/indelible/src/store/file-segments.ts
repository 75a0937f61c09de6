/** Which file has which entries. A segment is a day's, or all there is; those of old days may be compressed. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { writeFileAtomic } from '../keys/files.ts'

/** When a new file is begun: with each day (UTC), or never. */
export type Rotation = 'daily' | 'none'

export interface Segment {
  /** Index of the first entry that was written to it. */
  readonly from: number
  /** Name of the file of entries, and of that of disclosures. */
  readonly file: string
  /** Bytes that a purge has taken from the front of each. */
  readonly skip: { readonly lines: number; readonly payloads: number }
}

export interface SegmentList {
  /** In the order of their entries. */
  readonly segments: readonly Segment[]
  /** Files that a purge has replaced, until they are deleted. */
  readonly obsolete: readonly string[]
}

const FILE = 'segments.json'
const NAME = /^audit[0-9a-z-]*\.jsonl$/

/** @throws IndelibleError `ERR_STORE_CORRUPT` */
export function readSegments(folder: string): SegmentList {
  const path = join(folder, FILE)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new IndelibleError('ERR_STORE_CORRUPT', `${path} cannot be read`, { cause })
  }
  try {
    const list = JSON.parse(text) as SegmentList
    if (!isSegmentList(list)) throw new TypeError('not a list of segments')
    return list
  } catch (cause) {
    throw new IndelibleError('ERR_STORE_CORRUPT', `${path} is damaged`, { cause })
  }
}

function isSegmentList({ segments, obsolete }: SegmentList): boolean {
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
  return (
    obsolete.every((name) => NAME.test(name)) &&
    segments.every(
      ({ from, file, skip }, i) =>
        isCount(from) &&
        (i === 0 || from >= segments[i - 1]!.from) &&
        NAME.test(file) &&
        isCount(skip.lines) &&
        isCount(skip.payloads),
    )
  )
}

/** @throws IndelibleError `ERR_STORE_FULL`, `ERR_STORE_READONLY`; the old list stands */
export function writeSegments(folder: string, list: SegmentList): void {
  writeFileAtomic(join(folder, FILE), `${JSON.stringify(list, null, 1)}\n`)
}

export function hasSegments(folder: string): boolean {
  return existsSync(join(folder, FILE))
}

/** The segment that has entry `index`, by its place in the list; -1 if none has. */
export function segmentOf(segments: readonly Segment[], index: number): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (segments[middle]!.from <= index) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** The file that entries accepted at `observed` go to, if it is not the newest one already. */
export function nextSegment(list: SegmentList, rotation: Rotation, observed: string, size: number): Segment | null {
  const { segments } = list
  const stem = rotation === 'none' ? 'audit' : `audit-${observed.slice(0, 10)}`
  const last = segments.at(-1)
  // The log's clock does not go back; should it do so all the same, the newest file is the one to go on with.
  if (last && (baseOf(last.file) === stem || (rotation === 'daily' && baseOf(last.file) > stem))) return null
  return { from: size, file: freeName(list, stem), skip: { lines: 0, payloads: 0 } }
}

/** A name that no file of the log has or had: whoever still reads the old one must not take the new one for it. */
export function freeName({ segments, obsolete }: SegmentList, stem: string): string {
  const names = [...segments.map(({ file }) => file), ...obsolete].filter((file) => baseOf(file) === stem)
  const last = Math.max(0, ...names.map((file) => Number(/-part(\d+)\.jsonl$/.exec(file)?.[1] ?? 1)))
  return last === 0 ? `${stem}.jsonl` : `${stem}-part${last + 1}.jsonl`
}

/** Name of a segment's file without what makes it unique. */
export const baseOf = (file: string) => file.replace(/(-part\d+)?\.jsonl$/, '')
