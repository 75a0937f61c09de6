/** Names the software that made a bundle, so that its reader can get the same from somebody else. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { VERSION } from '../version.ts'

/** Folders of the published package whose code checks a bundle. */
const CHECKING = ['chain', 'note', 'platform', 'privacy', 'record', 'tree', 'verify']

export interface Release {
  readonly name: string
  /**
   * SHA-256 over the lines `<sha256>  <path>` of the JavaScript files that check a bundle, sorted by path; `null` where the
   * package runs from its sources.
   */
  readonly digest: string | null
  /** Prints `digest` in `node_modules/indelible/dist` of an installation got from elsewhere. */
  readonly command: string
}

export function release(): Release {
  const dist = dirname(dirname(fileURLToPath(import.meta.url)))
  const files = ['bytes.js', 'errors.js', ...CHECKING.flatMap((folder) => scripts(dist, join(dist, folder)))].sort()
  return {
    name: `indelible ${VERSION}`,
    digest: digestOf(dist, files),
    command: `find bytes.js errors.js ${CHECKING.join(' ')} -name '*.js' | LC_ALL=C sort | xargs sha256sum | sha256sum`,
  }
}

function scripts(dist: string, folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
    .map((entry) => relative(dist, join(entry.parentPath, entry.name)).split(sep).join('/'))
}

function digestOf(dist: string, files: readonly string[]): string | null {
  const total = createHash('sha256')
  for (const file of files) {
    let content: Uint8Array
    try {
      content = readFileSync(join(dist, file))
    } catch {
      return null
    }
    total.update(`${createHash('sha256').update(content).digest('hex')}  ${file}\n`)
  }
  return total.digest('hex')
}
