/**
 * Whether a store keeps what a write-once copy needs. Servers that call themselves S3 differ: some overwrite in spite of
 * `If-None-Match`, some take lock headers and forget them. So it is tried, on an object that is there for nothing else.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual, utf8 } from '../bytes.ts'
import { copyRefused } from './copy-store.ts'
import { putHeaders, type S3Answer, type S3Client, type S3Lock } from './s3-client.ts'

export interface ProbeOptions {
  readonly key: string
  readonly lock: S3Lock | null
  readonly clock: () => number
  readonly signal: AbortSignal
}

const CONTENT = utf8('Object with which the guarantees of this store are tried. It may be left alone.\n')
const OTHER = utf8('This store overwrites what is there.\n')

/**
 * Without a lock, `If-None-Match: *` has to be honoured. With one it need not be, and Ceph 16 does not in a bucket with
 * versions: what was there stays there as a version, locked.
 *
 * @throws IndelibleError `ERR_ANCHOR_REFUSED` naming the guarantee that is missing; `ERR_ANCHOR_FAILED`
 */
export async function checkGuarantees(client: S3Client, options: ProbeOptions): Promise<void> {
  if (options.lock) await checkLock(client, options, options.lock)
  else await checkCreateOnly(client, options)
}

async function checkCreateOnly(client: S3Client, { key, clock, signal }: ProbeOptions): Promise<void> {
  const put = (body: Uint8Array) => {
    const headers = { ...putHeaders(body, null, clock()), 'if-none-match': '*' }
    return tried(() => client.send({ method: 'PUT', key, headers, body, signal }), signal)
  }
  const first = await put(CONTENT)
  if (first.status !== 200 && first.status !== 412) throw client.refusal(first, 'writing the probe')
  const second = await put(OTHER)
  if (second.status === 200) {
    throw copyRefused(client.where, 'overwrites objects in spite of If-None-Match: it is not write-once')
  }
  if (second.status !== 412) throw client.refusal(second, 'writing the probe again')
  const found = await tried(() => client.send({ method: 'GET', key, signal }), signal)
  if (found.status !== 200) throw client.refusal(found, 'reading the probe')
  if (!isEqual(found.body, CONTENT)) throw copyRefused(client.where, 'has other bytes in its probe than were written')
}

/** As the owner, with all the rights that the credentials give: what is refused then nobody of that rank can do. */
async function checkLock(client: S3Client, options: ProbeOptions, lock: S3Lock): Promise<void> {
  const { key, clock, signal } = options
  let held = await head(client, options)
  if (!isHeld(held, lock, clock())) {
    // It is not there yet, or older than the lock, or its time is over.
    const headers = putHeaders(CONTENT, lock, clock())
    const answer = await tried(() => client.send({ method: 'PUT', key, headers, body: CONTENT, signal }), signal)
    if (answer.status !== 200) throw client.refusal(answer, 'writing the probe with a lock')
    held = await head(client, options)
  }
  const version = held.headers.get('x-amz-version-id')
  if (!version || version === 'null') throw copyRefused(client.where, 'keeps no versions, so it cannot lock any')
  if (!isHeld(held, lock, clock())) {
    throw copyRefused(client.where, `forgets the ${lock.mode} lock of an object: it is not write-once`)
  }
  const gone = await tried(() => client.send({ method: 'DELETE', key, query: { versionId: version }, signal }), signal)
  if (gone.status < 300) throw copyRefused(client.where, 'lets its owner delete a locked object')
  if (gone.status !== 403) throw client.refusal(gone, 'trying to delete a locked object')
  const mode = lock.mode.toUpperCase()
  const until = new Date(clock() + 1000).toISOString()
  const body = utf8(`<Retention><Mode>${mode}</Mode><RetainUntilDate>${until}</RetainUntilDate></Retention>`)
  const query = { retention: '', versionId: version }
  const headers = { ...putHeaders(body, null, clock()), 'content-type': 'application/xml' }
  const shorter = await tried(() => client.send({ method: 'PUT', key, query, headers, body, signal }), signal)
  if (shorter.status < 300) throw copyRefused(client.where, 'lets its owner shorten a lock')
  if (shorter.status !== 403) throw client.refusal(shorter, 'trying to shorten a lock')
}

async function head(client: S3Client, { key, signal }: ProbeOptions): Promise<S3Answer> {
  const answer = await tried(() => client.send({ method: 'HEAD', key, signal }), signal)
  if (answer.status !== 200 && answer.status !== 404) throw client.refusal(answer, 'looking at the probe')
  return answer
}

/** A minute is enough to try it. */
function isHeld({ headers }: S3Answer, lock: S3Lock, nowMs: number): boolean {
  const until = Date.parse(headers.get('x-amz-object-lock-retain-until-date') ?? '')
  return headers.get('x-amz-object-lock-mode') === lock.mode.toUpperCase() && until > nowMs + 60_000
}

/** All of these may be asked again. */
async function tried(send: () => Promise<S3Answer>, signal: AbortSignal): Promise<S3Answer> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const answer = await send()
    if (answer.status < 500 && answer.status !== 429) return answer
    await sleep(200 * 2 ** attempt, undefined, { signal }).catch(() => {})
  }
  return send()
}
