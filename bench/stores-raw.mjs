/** The bytes of a log through the bare driver of a store: what that store could do at best here. Prints JSON. */
import { randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { seconds } from './lib.mjs'

const [, , what, place, total = '100000', batch = '1000'] = process.argv
const [count, size] = [Number(total), Number(batch)]
const entry = randomBytes(590)
const hash = randomBytes(32)
const disclosure = 'x'.repeat(330)
const idOf = (i) => `01a1fc48-8b94-7581-a134-${i.toString(16).padStart(12, '0')}`

const ways = {
  async file() {
    const file = openSync(join(place, 'raw.jsonl'), 'a')
    const line = `${JSON.stringify({ entry: 'x'.repeat(640), mac: 'x'.repeat(43), index: 123456, epoch: 12 })}\n`
    const payload = `${JSON.stringify({ index: 123456, name: 'output', disclosure })}\n`
    const block = Buffer.from(`${line + payload}{"id":"${idOf(1)}","digest":"${'x'.repeat(48)}"}\n`.repeat(size))
    const elapsed = await seconds(async () => {
      for (let done = 0; done < count; done += size) {
        writeSync(file, block)
        fdatasyncSync(file)
      }
    })
    closeSync(file)
    return elapsed
  },
  async postgres() {
    const [{ default: pg }, { default: copies }, { CopyRows, Int4 }] = await Promise.all([
      import('pg'),
      import('pg-copy-streams'),
      import('../packages/indelible/dist/store/postgres-copy.js'),
    ])
    const client = new pg.Client(place)
    await client.connect()
    await client.query(`
      CREATE TEMP TABLE gone (); DROP TABLE IF EXISTS raw_entries, raw_payloads, raw_ids;
      CREATE TABLE raw_entries (log int, idx bigint, entry bytea, leaf bytea, mac bytea, epoch bigint, PRIMARY KEY (log, idx));
      CREATE TABLE raw_payloads (log int, idx bigint, name text COLLATE "C", disclosure text, PRIMARY KEY (log, idx, name));
      CREATE TABLE raw_ids (log int, id text COLLATE "C", idx bigint, digest bytea, PRIMARY KEY (log, id))`)
    const copy = async (table, rows) => {
      const stream = client.query(copies.from(`COPY ${table} FROM STDIN (FORMAT binary)`))
      const done = finished(stream)
      for (const chunk of rows.data()) stream.write(chunk)
      stream.end()
      await done
    }
    const log = new Int4(1)
    const elapsed = await seconds(async () => {
      for (let start = 0; start < count; start += size) {
        const [entries, payloads, ids] = [new CopyRows(), new CopyRows(), new CopyRows()]
        for (let i = start; i < start + size; i++) {
          entries.add([log, i, entry, hash, hash, 0])
          payloads.add([log, i, 'output', disclosure])
          ids.add([log, idOf(i), i, hash])
        }
        await client.query('BEGIN; SET LOCAL synchronous_commit = on')
        await copy('raw_entries', entries)
        await copy('raw_payloads', payloads)
        await copy('raw_ids', ids)
        await client.query('COMMIT')
      }
    })
    await client.query('DROP TABLE raw_entries, raw_payloads, raw_ids')
    await client.end()
    return elapsed
  },
}

console.log(JSON.stringify({ rate: count / (await ways[what]()) }))
