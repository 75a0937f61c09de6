/**
 * What a witness remembers: its logs with their keys, and of each the largest checkpoint that it has cosigned. One SQLite
 * file. Checking and keeping are one transaction, and what is kept is synced before anybody is answered: a witness that
 * forgets would cosign a second history.
 */
import { closeSync, existsSync, openSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { fromBase64, isEqual, toBase64 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type AddCheckpoint, parseAddCheckpoint } from '../note/add-checkpoint.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import { cosignatureMessage, formatCosignature } from '../note/cosignature.ts'
import {
  formatSignatureLine,
  formatVkey,
  openNote,
  parseNote,
  parseVkey,
  SIGNATURE_COSIGNATURE,
  type SyncNoteSigner,
  type VerifierKey,
} from '../note/signed-note.ts'
import { connect, storeError } from '../store/sqlite-schema.ts'
import { checkConsistency } from '../tree/proof.ts'

/** `IWIT`, in `PRAGMA application_id`. */
const APPLICATION_ID = 0x49574954
const VERSION = 1

const SCHEMA = `
  CREATE TABLE logs (
    origin TEXT NOT NULL, vkey TEXT NOT NULL, PRIMARY KEY (origin, vkey)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE cosigned (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root TEXT NOT NULL, note TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- What was cosigned stays, whatever happens to the list of logs; and it only grows.
  CREATE TRIGGER cosigned_no_delete BEFORE DELETE ON cosigned BEGIN SELECT RAISE(ABORT, 'a witness does not forget'); END;
  CREATE TRIGGER cosigned_grows BEFORE UPDATE ON cosigned
    WHEN new.origin IS NOT old.origin OR new.size < old.size OR (new.size = old.size AND new.root IS NOT old.root)
    BEGIN SELECT RAISE(ABORT, 'a witness does not go back'); END;
`

/** What a request comes to, as C2SP tlog-witness has it. */
export type Verdict =
  | { readonly status: 200; readonly line: string }
  /** `size`: what the witness has cosigned. */
  | { readonly status: 409; readonly size: number }
  | { readonly status: 400 | 403 | 404 | 422; readonly reason: string }

export interface WitnessedLog {
  readonly origin: string
  readonly vkeys: readonly string[]
  /** Of the checkpoint cosigned last; `null` before the first. */
  readonly size: number | null
}

export class WitnessState implements Disposable {
  readonly #db: DatabaseSync
  readonly #signer: SyncNoteSigner
  readonly #clock: () => number

  private constructor(db: DatabaseSync, signer: SyncNoteSigner, clock: () => number) {
    this.#db = db
    this.#signer = signer
    this.#clock = clock
  }

  /**
   * @param signer of a cosignature key
   * @param clock ms since 1970: what cosignatures are dated by
   * @throws IndelibleError `ERR_KEY_INVALID`, `ERR_STORE_VERSION`, `ERR_STORE_…`
   */
  static open(path: string, signer: SyncNoteSigner, clock: () => number = Date.now): WitnessState {
    if (signer.key.type !== SIGNATURE_COSIGNATURE) {
      throw new IndelibleError('ERR_KEY_INVALID', 'a witness signs with the key of a cosignature')
    }
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
    const db = connect(path, {})
    try {
      prepare(db, path)
      return new WitnessState(db, signer, clock)
    } catch (error) {
      db.close()
      throw storeError(error, 'cannot open the state of the witness')
    }
  }

  get key(): VerifierKey {
    return this.#signer.key
  }

  /** Adds a log, or another key of one, such as the successor of a rotation. The log's origin is the name of its key unless given. */
  addLog(key: VerifierKey, origin: string = key.name): void {
    if (key.type === SIGNATURE_COSIGNATURE) {
      throw new IndelibleError('ERR_KEY_INVALID', 'this is the key of a witness, expected that of a log')
    }
    this.#db.prepare('INSERT OR IGNORE INTO logs (origin, vkey) VALUES (?, ?)').run(origin, formatVkey(key))
  }

  /** Takes a key off a log's list, or all of them: nothing more is cosigned for it then. What was cosigned stays. */
  removeLog(origin: string, vkey?: string): boolean {
    const sql = `DELETE FROM logs WHERE origin = ? ${vkey === undefined ? '' : 'AND vkey = ?'}`
    return this.#db.prepare(sql).run(origin, ...(vkey === undefined ? [] : [vkey])).changes > 0
  }

  logs(): WitnessedLog[] {
    const vkeys = Map.groupBy(
      this.#db.prepare('SELECT origin, vkey FROM logs ORDER BY origin, vkey').all() as {
        origin: string
        vkey: string
      }[],
      ({ origin }) => origin,
    )
    return [...vkeys].map(([origin, rows]) => ({
      origin,
      vkeys: rows.map(({ vkey }) => vkey),
      size: this.#cosigned(origin)?.size ?? null,
    }))
  }

  /** The checkpoint that was cosigned last, with the cosignature. */
  latest(origin: string): string | null {
    return this.#cosigned(origin)?.note ?? null
  }

  /** Origins of which something was cosigned. */
  origins(): string[] {
    return (this.#db.prepare('SELECT origin FROM cosigned').all() as { origin: string }[]).map(({ origin }) => origin)
  }

  /**
   * Judges the body of an `add-checkpoint` request, and cosigns if the log has only grown since the checkpoint cosigned
   * last. Durable when it returns.
   *
   * @throws IndelibleError `ERR_STORE_…`; nothing was cosigned then that anybody has seen
   */
  add(body: string): Verdict {
    let request: AddCheckpoint
    try {
      request = parseAddCheckpoint(body)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return { status: 400, reason: error.message }
    }
    const text = request.checkpoint.slice(0, request.checkpoint.lastIndexOf('\n\n') + 1)
    const origin = text.slice(0, Math.max(0, text.indexOf('\n')))
    if (origin === '') return { status: 400, reason: 'no checkpoint' }
    const keys = this.#keysOf(origin)
    if (keys.length === 0) return { status: 404, reason: 'unknown log' }
    try {
      openNote(request.checkpoint, keys)
    } catch (error) {
      // A signature line that cannot be read is no signature: other implementations read base64 less strictly.
      if (!isIndelibleError(error)) throw error
      return { status: 403, reason: error.message }
    }
    let checkpoint: Checkpoint
    try {
      ;({ checkpoint } = openCheckpoint(request.checkpoint, { origin, keys }))
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      // C2SP tlog-witness: a size of zero with a root that is not the empty tree's is unprocessable, not malformed.
      return { status: text.split('\n')[1] === '0' ? 422 : 400, reason: error.message }
    }
    if (request.old > checkpoint.size) return { status: 400, reason: 'old size is above that of the checkpoint' }
    return this.#transaction(() => this.#decide(request, checkpoint, text))
  }

  /** Within the transaction: nobody else can cosign between the look at what there is and the writing. */
  #decide({ old, proof, checkpoint: note }: AddCheckpoint, checkpoint: Checkpoint, text: string): Verdict {
    const { origin, size, root } = checkpoint
    const last = this.#cosigned(origin)
    if (old !== (last?.size ?? 0)) return { status: 409, size: last?.size ?? 0 }
    const unfit = this.#faultOf(last, checkpoint, proof)
    if (unfit !== null) return { status: 422, reason: unfit }
    const timestamp = Math.floor(this.#clock() / 1000)
    const signature = this.#signer.sign(cosignatureMessage(text, timestamp))
    const line = formatSignatureLine(this.#signer.key, formatCosignature({ timestamp, signature }))
    this.#db
      .prepare(
        `INSERT INTO cosigned (origin, size, root, note) VALUES (?, ?, ?, ?)
         ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note`,
      )
      .run(origin, size, toBase64(root), this.#withLine(note, line))
    return { status: 200, line }
  }

  #faultOf(last: Cosigned | null, { size, root }: Checkpoint, proof: readonly Uint8Array[]): string | null {
    // C2SP tlog-witness: from the empty tree no proof exists, and none may be sent.
    if (last === null || last.size === 0) return proof.length === 0 ? null : 'proof from size 0'
    if (last.size === size && !isEqual(last.root, root)) return 'another tree of that size was cosigned'
    try {
      checkConsistency({ size1: last.size, root1: last.root, size2: size, root2: root, proof })
      return null
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return error.message
    }
  }

  /** The log's signatures and ours; those of others, and an earlier one of ours, are not ours to hand on. */
  #withLine(note: string, line: string): string {
    const { text, signatures } = parseNote(note)
    const end = text.length + 1
    const lines = note.slice(end, -1).split('\n')
    const { name, id } = this.#signer.key
    const others = lines.filter((_, i) => !(signatures[i]!.name === name && isEqual(signatures[i]!.id, id)))
    return `${text}\n${others.map((other) => `${other}\n`).join('')}${line}`
  }

  #keysOf(origin: string): VerifierKey[] {
    const rows = this.#db.prepare('SELECT vkey FROM logs WHERE origin = ?').all(origin) as { vkey: string }[]
    return rows.map(({ vkey }) => parseVkey(vkey))
  }

  #cosigned(origin: string): Cosigned | null {
    const row = this.#db.prepare('SELECT size, root, note FROM cosigned WHERE origin = ?').get(origin)
    if (!row) return null
    const { size, root, note } = row as { size: number; root: string; note: string }
    return { size, root: fromBase64(root), note }
  }

  #transaction<T>(work: () => T): T {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.#db.exec('COMMIT')
        return result
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
        throw error
      }
    } catch (error) {
      throw storeError(error, 'the state of the witness cannot be written')
    }
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close()
  }
}

interface Cosigned {
  readonly size: number
  readonly root: Uint8Array
  readonly note: string
}

function prepare(db: DatabaseSync, path: string): void {
  const pragma = (name: string) => Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0] as number
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  db.exec('BEGIN IMMEDIATE')
  const [id, version] = [pragma('application_id'), pragma('user_version')]
  if (id === 0 && version === 0) {
    db.exec(SCHEMA)
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}`)
  } else if (id !== APPLICATION_ID || version !== VERSION) {
    db.exec('ROLLBACK')
    throw new IndelibleError('ERR_STORE_VERSION', `${path} is not the state of a witness of this version`)
  }
  db.exec('COMMIT')
}
