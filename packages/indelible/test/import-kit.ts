/** Files to import, and what a log holds afterwards. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { macKey } from '#crypto'
import { type ImportOptions, type ImportSummary, importFile } from '../src/import/import.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { PrivacyPolicy, type PrivacyRules } from '../src/privacy/policy.ts'
import { parseDisclosure } from '../src/record/disclosure.ts'
import { parseEntry, type ReadRecord } from '../src/record/entry.ts'
import { MemoryStore } from '../src/store/memory.ts'

const folder = mkdtempSync(join(tmpdir(), 'indelible-import-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const origin = 'example.com/import'

export const fixture = (name: string) => fileURLToPath(new URL(`fixtures/import/${name}`, import.meta.url))

let files = 0
/** A file of its own. Values become lines of JSON. */
export function fileOf(content: string | Uint8Array | readonly unknown[]): string {
  const path = join(folder, `file-${files++}`)
  const isLines = Array.isArray(content)
  const lines = isLines ? content.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`) : []
  writeFileSync(path, isLines ? lines.join('') : (content as string | Uint8Array))
  return path
}

export interface Found extends ReadRecord {
  /** Values of the parts. */
  readonly values: Readonly<Record<string, unknown>>
}

/** A log in memory, `audit.opened` being its only entry. */
export class ImportLog {
  readonly store = new MemoryStore()
  readonly keys = new MemoryKeys(origin, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
  log!: Log

  static async open(rules: PrivacyRules = { mode: 'full' }): Promise<ImportLog> {
    const made = new ImportLog()
    await writeFirstEntry(made.store, made.keys, formatVkey(made.keys.signer.key), 'default')
    await made.reopen(rules)
    return made
  }

  async reopen(rules: PrivacyRules): Promise<void> {
    const privacy = new PrivacyPolicy(rules, origin, macKey(new Uint8Array(32)))
    this.log = await Log.open({ store: this.store, keys: this.keys, privacy })
  }

  import(path: string, options: ImportOptions): Promise<ImportSummary> {
    return importFile(this.log, path, options)
  }

  async size(): Promise<number> {
    return (await this.store.head())!.size
  }

  /** Everything but `audit.opened`. */
  async found(): Promise<Found[]> {
    const found: Found[] = []
    for await (const rows of this.store.entries(1, await this.size())) {
      for (const { index, entry } of rows) {
        const record = parseEntry(entry)
        const values: Record<string, unknown> = {}
        for (const name of Object.keys(record.parts ?? {})) {
          values[name] = parseDisclosure((await this.store.payload(index, name))!).value
        }
        found.push({ ...record, values } as Found)
      }
    }
    return found
  }
}

/** What a file amounts to. */
export async function imported(
  path: string,
  options: ImportOptions,
): Promise<{ summary: ImportSummary; found: Found[] }> {
  const log = await ImportLog.open()
  const summary = await log.import(path, options)
  return { summary, found: await log.found() }
}
