/** A specimen's log in files, copies of it to attack, and who looks at them. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyLog } from '../src/log/copy-log.ts'
import { type FileStore, openFileStore } from '../src/store/file.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import type { Report } from '../src/verify/report.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { type Specimen, temporary } from './attack-kit.ts'

/** Copies the log of a specimen into a new folder. */
export async function inFiles({ home, origin }: Specimen): Promise<string> {
  const folder = join(temporary(), 'log')
  const source = openSqliteStore(join(home, 'log.db'), { readOnly: true })
  const target = await openFileStore(folder)
  await copyLog(source, target, { origin })
  await source.close()
  await target.close()
  return folder
}

export class Folder {
  readonly path: string

  constructor(original: string) {
    this.path = join(temporary(), 'log')
    cpSync(original, this.path, { recursive: true })
  }

  /** Name of the file of entries, of which there is one. */
  get day(): string {
    return readdirSync(this.path).find((name) => /^audit.*\.jsonl$/.test(name))!
  }

  change(name: string, work: (bytes: Buffer) => Buffer): void {
    writeFileSync(join(this.path, name), work(readFileSync(join(this.path, name))))
  }

  lines(name: string, work: (lines: string[]) => string[]): void {
    this.change(name, (bytes) => {
      const lines = bytes.toString('latin1').split('\n').slice(0, -1)
      return Buffer.from(
        work(lines)
          .map((line) => `${line}\n`)
          .join(''),
        'latin1',
      )
    })
  }

  open(): Promise<FileStore> {
    return openFileStore(this.path, { readOnly: true })
  }

  async verify({ origin, firstKey, macKey, pin }: Specimen): Promise<Report> {
    const store = await this.open()
    try {
      return await verifyLog(store, { origin, keys: [firstKey], macKey, pin })
    } finally {
      await store.close()
    }
  }
}
