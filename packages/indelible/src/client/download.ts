/** Exports into files: waited for, fetched in pieces where the connection breaks, and checked against their digest. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Http } from './http.ts'
import type { ExportJob } from './types.ts'

export interface SaveOptions {
  /** Told of the job while it is under way. */
  readonly onProgress?: (job: ExportJob) => void
  /** Between two looks at the job, ms. Default 500. */
  readonly pollMs?: number
  readonly signal?: AbortSignal
}

/** How often a download that breaks without a byte gained is taken up again. */
const TRIES = 5

/** @throws IndelibleError the code that the job failed with, as `ERR_SERVER_REFUSED` names it */
export async function finished(
  look: () => Promise<ExportJob>,
  { onProgress, pollMs = 500, signal }: SaveOptions,
): Promise<ExportJob> {
  for (;;) {
    const job = await look()
    onProgress?.(job)
    if (job.state === 'done') return job
    if (job.state === 'failed') throw new IndelibleError('ERR_SERVER_REFUSED', `the export has failed: ${job.error}`)
    await sleep(pollMs, undefined, { ...(signal && { signal }) })
  }
}

/**
 * The content of an export that is done, at `path`. Meanwhile it is `path` with `.part`; what an earlier try left there is gone on from.
 * @throws IndelibleError `ERR_SERVER_REFUSED` if what came has not the job's digest; it is removed. `ERR_SERVER_UNREACHABLE` if the
 * connection breaks again and again; what came stays for the next try
 */
export async function download(
  http: Http,
  { id, bytes, sha256 }: ExportJob,
  path: string,
  { signal }: SaveOptions,
): Promise<void> {
  const part = `${path}.part`
  for (let tries = 0; ; tries++) {
    const from = await lengthOf(part)
    if (from === bytes) break
    try {
      await fetchFrom(http, id, sha256!, part, from > bytes! ? 0 : from, signal)
    } catch (error) {
      const isBroken = isIndelibleError(error, 'ERR_SERVER_UNREACHABLE')
      if ((await lengthOf(part)) > from) tries = 0
      if (!isBroken || tries >= TRIES || signal?.aborted) throw error
      await sleep(100 * 2 ** tries)
    }
  }
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer)
  if (hash.digest('hex') !== sha256) {
    await (await open(part, 'w')).close()
    throw new IndelibleError('ERR_SERVER_REFUSED', 'the export that came is not the one that was made')
  }
  await rename(part, path)
}

async function fetchFrom(
  http: Http,
  id: string,
  sha256: string,
  part: string,
  from: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Of another content, all of it is answered rather than a range.
  const headers = from === 0 ? {} : { range: `bytes=${from}-`, 'if-range': `"${sha256}"` }
  const asked = { headers, timeoutMs: null, retries: 0, ...(signal && { signal }) }
  const response = await http.send(`/v1/exports/${encodeURIComponent(id)}/content`, asked)
  const file = await open(part, response.status === 206 ? 'a' : 'w', 0o600)
  try {
    for await (const chunk of response.body ?? []) await file.write(chunk as Uint8Array)
  } catch (cause) {
    throw new IndelibleError('ERR_SERVER_UNREACHABLE', 'the download broke off', { cause })
  } finally {
    await file.close()
  }
}

async function lengthOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
