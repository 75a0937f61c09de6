/** What an attacker makes of a log: entries rewritten, and as much of what hangs on them made to fit as his keys allow. */
import type { DatabaseSync } from 'node:sqlite'
import { concat, fromBase64Url, fromUtf8, toBase64Url, utf8 } from '../src/bytes.ts'
import { entryMac, GENESIS_MAC, type Ratchet, sealMac } from '../src/chain/chain.ts'
import { TileEdge } from '../src/log/tile-edge.ts'
import { formatCheckpoint } from '../src/note/checkpoint.ts'
import { type SyncNoteSigner, signNoteSync } from '../src/note/signed-note.ts'
import { canonicalize, type Json, parseCanonical } from '../src/record/jcs.ts'
import { Frontier } from '../src/tree/frontier.ts'
import { leafHash } from '../src/tree/hash.ts'

type Row = { idx: number; entry: Uint8Array; leaf: Uint8Array; mac: Uint8Array; epoch: number }
export type Members = Record<string, Json> & { audit?: Record<string, Json> }

export class Forger {
  readonly db: DatabaseSync
  readonly origin: string

  constructor(db: DatabaseSync, origin: string) {
    this.db = db
    this.origin = origin
  }

  rows(): Row[] {
    return this.db.prepare('SELECT * FROM entries ORDER BY idx').all() as unknown as Row[]
  }

  record(index: number): Members {
    const { entry } = this.db.prepare('SELECT entry FROM entries WHERE idx = ?').get(index) as unknown as Row
    return parseCanonical(fromUtf8(entry)) as Members
  }

  /** Index of the first entry of a type. */
  find(type: string): number {
    const row = this.rows().find(({ entry }) => fromUtf8(entry).includes(`"type":"${type}"`))
    return row!.idx
  }

  write(index: number, entry: Uint8Array | string): this {
    const bytes = typeof entry === 'string' ? utf8(entry) : entry
    this.db.prepare('UPDATE entries SET entry = ? WHERE idx = ?').run(bytes, index)
    return this
  }

  edit(index: number, change: (record: Members) => Members): this {
    return this.write(index, canonicalize(change(this.record(index))))
  }

  /** A further entry at the end, with the epoch and time of the last one. */
  append(members: Members): number {
    const last = this.rows().at(-1)!
    const index = last.idx + 1
    const { parts: _, ...rest } = this.record(last.idx)
    const record = { ...rest, ...members }
    this.db
      .prepare('INSERT INTO entries VALUES (?, ?, ?, ?, ?)')
      .run(index, utf8(canonicalize(record)), new Uint8Array(32), new Uint8Array(32), last.epoch)
    this.db.prepare('INSERT OR REPLACE INTO ids VALUES (?, ?, NULL)').run(String(record.id), index)
    return index
  }

  /** Leaf hashes, tiles, frontier and the head's size as the entries have them. */
  retree(): this {
    const { frontier, tiles, leaves } = this.#tree()
    this.db.exec('DELETE FROM tiles')
    const tile = this.db.prepare('INSERT INTO tiles VALUES (?, ?, ?, ?)')
    for (const { level, index, root, hashes } of tiles) tile.run(level, index, root, hashes)
    const leaf = this.db.prepare('UPDATE entries SET leaf = ? WHERE idx = ?')
    for (const [i, { idx }] of this.rows().entries()) leaf.run(leaves[i]!, idx)
    this.db.prepare('UPDATE head SET size = ?, frontier = ?').run(frontier.size, concat(...frontier.hashes))
    return this
  }

  #tree(size = Number.POSITIVE_INFINITY) {
    const frontier = Frontier.empty()
    const edge = new TileEdge()
    const tiles: { level: number; index: number; root: Uint8Array; hashes: Uint8Array }[] = []
    const leaves: Uint8Array[] = []
    for (const { idx, entry } of this.rows()) {
      if (idx >= size) break
      leaves.push(leafHash(entry))
      frontier.append(leaves.at(-1)!, (level, at, hash) => edge.add(level, at, hash, (tile) => tiles.push(tile)))
    }
    return { frontier, tiles, leaves }
  }

  /**
   * Chain values from `from` on, as far as the ratchet goes: entries of epochs whose keys are gone get those of the oldest
   * key there is.
   */
  remac(ratchet: Ratchet, from: number): this {
    const keys = new Map<number, ReturnType<Ratchet['macKey']>>()
    const keyOf = (epoch: number) => {
      const at = ratchet.clone()
      if (!keys.has(epoch)) {
        at.advance(Math.max(epoch, at.epoch))
        keys.set(epoch, at.macKey(this.origin))
      }
      return keys.get(epoch)!
    }
    const rows = this.rows()
    let previous = from === 0 ? GENESIS_MAC : rows[from - 1]!.mac
    const update = this.db.prepare('UPDATE entries SET mac = ? WHERE idx = ?')
    for (const { idx, entry, epoch } of rows.slice(from)) {
      previous = entryMac(keyOf(epoch), epoch, idx, previous, leafHash(entry))
      update.run(previous, idx)
    }
    const last = rows.at(-1)!
    const { observed } = this.record(last.idx)
    this.db.prepare('UPDATE head SET mac = ?, epoch = ?, observed = ?').run(previous, last.epoch, String(observed))
    return this
  }

  /**
   * Makes every seal state the tree that there is now, under the keys that there are: a key that is gone is replaced by the
   * oldest one.
   */
  reseal(ratchet: Ratchet): this {
    return this.resealAfter(-1, ratchet)
  }

  /** As {@link reseal}, for seals after entry `index`. */
  resealAfter(index: number, ratchet: Ratchet): this {
    let run = { next: -1, size: 0, root: '' }
    for (const { idx, entry } of this.rows()) {
      if (!fromUtf8(entry).includes('"type":"audit.epoch.sealed"')) continue
      const record = this.record(idx)
      if (run.next !== idx) run = { next: idx, size: idx, root: toBase64Url(this.#tree(idx).frontier.root()) }
      run.next++
      if (idx <= index) continue
      const { first_epoch: first, seals } = record.audit as { first_epoch: number; seals: string[] }
      const audit = {
        ...record.audit,
        size: run.size,
        root: run.root,
        seals: seals.map((seal, i) => {
          const at = ratchet.clone()
          if (first + i < at.epoch && record.audit!.root === run.root) return seal
          at.advance(Math.max(at.epoch, first + i))
          return toBase64Url(sealMac(at.macKey(this.origin), first + i, run.size, fromBase64Url(run.root)))
        }),
      }
      this.write(idx, canonicalize({ ...record, audit }))
    }
    return this
  }

  /** Signs the tree as it is, for the head and for every published checkpoint. */
  sign(...signers: SyncNoteSigner[]): this {
    const size = this.rows().length
    this.db.prepare('UPDATE head SET checkpoint = ?').run(this.note(size, signers))
    const sizes = this.db.prepare('SELECT size FROM checkpoints').all() as { size: number }[]
    this.db.exec('DELETE FROM checkpoints')
    const insert = this.db.prepare('INSERT INTO checkpoints VALUES (?, ?)')
    for (const published of sizes) {
      if (published.size <= size) insert.run(published.size, this.note(published.size, signers))
    }
    return this
  }

  note(size: number, signers: readonly SyncNoteSigner[]): string {
    const root = this.#tree(size).frontier.root()
    return signNoteSync(formatCheckpoint({ origin: this.origin, size, root }), signers)
  }
}
