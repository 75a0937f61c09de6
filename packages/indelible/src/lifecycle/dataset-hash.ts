/**
 * Digest of a file or of a folder, read as a stream. A folder's is the SHA-256 of its manifest, which names each file with its
 * size and digest: two folders with the same files under the same names have the same, wherever they are.
 */
import { createHash } from 'node:crypto'
import { createReadStream, type Stats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { canonicalize } from '../record/jcs.ts'

export interface ManifestEntry {
  /** Below the folder, with `/` between names. Empty for a single file. */
  readonly path: string
  readonly bytes: number
  /** `sha256:` and base64url. */
  readonly digest: string
}

export interface DatasetHash {
  /** `sha256:` and base64url: of the file's bytes, or of the manifest. */
  readonly digest: string
  readonly bytes: number
  readonly files: number
  /** In order of the UTF-16 code units of the paths; a folder's only. */
  readonly manifest: readonly ManifestEntry[] | null
}

export interface HashOptions {
  /** Called now and then with the bytes read so far, and those that there are. */
  readonly onProgress?: (bytes: number, total: number) => void
  readonly signal?: AbortSignal
}

const CHUNK = 1 << 20

/**
 * @throws IndelibleError `ERR_DATASET_CHANGED` if a file changes, comes or goes while it is read; `ERR_DATASET_INVALID` for
 * what is neither file nor folder, such as a symbolic link, which would make the digest depend on what it points at
 */
export async function hashDataset(path: string, options: HashOptions = {}): Promise<DatasetHash> {
  const stats = await lstat(path)
  let bytes = 0
  let total = stats.size
  const progress = (more: number) => {
    bytes += more
    options.onProgress?.(bytes, total)
  }
  if (stats.isFile()) {
    const { digest } = await hashFile(path, '', progress, options.signal)
    return { digest, bytes, files: 1, manifest: null }
  }
  if (!stats.isDirectory()) throw new IndelibleError('ERR_DATASET_INVALID', `${path} is neither a file nor a folder`)
  const before = await filesBelow(path)
  total = 0
  if (options.onProgress) for (const file of before) total += (await lstat(join(path, file))).size
  const manifest: ManifestEntry[] = []
  for (const file of before) manifest.push(await hashFile(join(path, file), file, progress, options.signal))
  const after = await filesBelow(path)
  if (after.length !== before.length || after.some((file, i) => file !== before[i])) {
    throw new IndelibleError('ERR_DATASET_CHANGED', `${path}: files came or went while it was read`)
  }
  const text = `indelible/dataset-manifest@1\n${canonicalize(manifest)}`
  return { digest: format(createHash('sha256').update(text)), bytes, files: manifest.length, manifest }
}

async function hashFile(
  path: string,
  name: string,
  progress: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<ManifestEntry> {
  const before = await lstat(path)
  if (!before.isFile()) throw new IndelibleError('ERR_DATASET_INVALID', `${path} is neither a file nor a folder`)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK, ...(signal && { signal }) })) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
    progress((chunk as Buffer).length)
  }
  if (!isSame(before, await lstat(path)) || bytes !== before.size) {
    throw new IndelibleError('ERR_DATASET_CHANGED', `${path} changed while it was read`)
  }
  return { path: name, bytes, digest: format(hash) }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  const files: string[] = []
  for (const entry of entries) {
    if (entry.isDirectory()) continue
    const path = relative(folder, join(entry.parentPath, entry.name))
    if (!entry.isFile()) throw new IndelibleError('ERR_DATASET_INVALID', `${path} is neither a file nor a folder`)
    files.push(path.split(sep).join('/'))
  }
  return files.sort()
}

function isSame(a: Stats, b: Stats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs
}

function format(hash: ReturnType<typeof createHash>): string {
  return `sha256:${hash.digest('base64url')}`
}
