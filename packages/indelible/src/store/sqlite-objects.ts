/**
 * Whether a SQLite file has the tables of this program and nothing that shows or does something else in their place. A view
 * under a table's name can give one answer to whoever verifies and another one later; a trigger can act on every append.
 */
import type { DatabaseSync } from 'node:sqlite'
import { IndelibleError } from '../errors.ts'
import { sqlite } from '../sqlite.ts'

/** Something in the file that this program did not make, or made otherwise, or made and is gone. */
export class ForeignObjectError extends IndelibleError {
  override readonly name = 'ForeignObjectError'
  /** Such as `view entries`; the names are whoever's who made them. */
  readonly objects: readonly string[]

  constructor(objects: readonly string[]) {
    super('ERR_STORE_CORRUPT', `not as this program makes it: ${objects.join(', ')}`)
    this.objects = objects
  }
}

type Objects = ReadonlyMap<string, string | null>

const reference = new Map<string, Objects>()

/**
 * Tolerated: triggers that are missing, since they stop accidents and nothing rests on them; indexes that an administrator
 * added, if they demand nothing of the rows: nothing is read from them (sqlite-sources.ts); what `ANALYZE` leaves.
 *
 * @param schema the SQL that makes the tables
 * @param optional names of tables that an older version does not have
 * @throws ForeignObjectError `ERR_STORE_CORRUPT` naming what is foreign, altered or missing
 */
export function checkObjects(db: DatabaseSync, schema: string, optional: ReadonlySet<string>): void {
  const wanted = wantedObjects(schema)
  const found = objectsOf(db)
  const foreign = [...found].filter(([object, sql]) =>
    wanted.has(object) ? wanted.get(object) !== sql : !isTolerated(object, sql),
  )
  const gone = [...wanted.keys()].filter((object) => !found.has(object) && isNeeded(object, optional))
  const objects = [...foreign.map(([object]) => object), ...gone]
  if (objects.length > 0) throw new ForeignObjectError(objects)
}

function isNeeded(object: string, optional: ReadonlySet<string>): boolean {
  const [type, name] = object.split(' ', 2)
  return type === 'table' && !optional.has(name!)
}

/** As SQLite itself states them, of a database made just now. */
function wantedObjects(schema: string): Objects {
  let objects = reference.get(schema)
  if (!objects) {
    const db = new sqlite.DatabaseSync(':memory:')
    try {
      db.exec(schema)
      objects = objectsOf(db)
    } finally {
      db.close()
    }
    reference.set(schema, objects)
  }
  return objects
}

function objectsOf(db: DatabaseSync): Objects {
  const rows = db.prepare('SELECT type, name, sql FROM sqlite_schema').all()
  return new Map(rows.map(({ type, name, sql }) => [`${type} ${name}`, normalised(sql as string | null)]))
}

/** Spaces and line ends are those of whoever wrote the SQL down. */
function normalised(sql: string | null): string | null {
  return sql === null ? null : sql.replace(/\s+/g, ' ').trim()
}

function isTolerated(object: string, sql: string | null): boolean {
  // Not UNIQUE, which would refuse rows.
  if (object.startsWith('index ')) return sql !== null && /^CREATE INDEX /i.test(sql)
  return /^table sqlite_stat\d$/.test(object)
}
