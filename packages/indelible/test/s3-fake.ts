/**
 * A server that speaks as much S3 as copies need, and can lack what they need: for faults that a real one does not commit on
 * request. That it is like a real one, the tests against Ceph say.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Cleanup, startServer } from './anchor-kit.ts'

export interface FakeVersion {
  readonly id: string
  readonly body: Buffer
  readonly mode: string | undefined
  until: string | undefined
  readonly time: string
  readonly isMarker: boolean
}

export interface FakeFaults {
  /** Overwrites in spite of If-None-Match. */
  ignoresCondition?: boolean
  /** Takes the headers of a lock and forgets them. */
  forgetsLock?: boolean
  /** Keeps a lock and lets it be broken. */
  breaksLock?: 'delete' | 'shorten'
  versioned?: boolean
  /** Called for each request, before it is done. Returns a status to answer with, without doing it. */
  before?: (method: string, key: string) => number | undefined
  /** Called after; returns a status to answer with instead, 0 to say nothing and hang up. */
  after?: (method: string, key: string) => number | undefined
  listing?: string
}

export class FakeS3 {
  url = ''
  readonly faults: FakeFaults
  readonly objects = new Map<string, FakeVersion[]>()
  readonly requests: string[] = []
  readonly env = { AWS_ACCESS_KEY_ID: 'k', AWS_SECRET_ACCESS_KEY: 's' }

  private constructor(faults: FakeFaults) {
    this.faults = faults
  }

  static async start(cleanup: Cleanup, faults: FakeFaults = {}): Promise<FakeS3> {
    const fake = new FakeS3(faults)
    fake.url = await startServer(cleanup, async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      fake.#handle(request, Buffer.concat(chunks), response)
    })
    return fake
  }

  get options() {
    return { endpoint: this.url, bucket: 'bucket' }
  }

  /** The newest of each, as a reader by name sees it. */
  files(): Map<string, Buffer> {
    const newest = [...this.objects].flatMap(([key, versions]) => {
      const last = versions.at(-1)
      return last && !last.isMarker ? [[key, last.body] as const] : []
    })
    return new Map(newest)
  }

  put(key: string, body: string | Uint8Array, headers: IncomingMessage['headers'] = {}): FakeVersion {
    const { versioned = false, forgetsLock = false } = this.faults
    const header = (name: string) => (forgetsLock ? undefined : (headers[`x-amz-object-lock-${name}`] as string))
    const version: FakeVersion = {
      id: versioned ? randomUUID() : 'null',
      body: Buffer.from(body),
      mode: header('mode'),
      until: header('retain-until-date'),
      time: new Date().toISOString(),
      isMarker: false,
    }
    const before = versioned ? (this.objects.get(key) ?? []) : []
    this.objects.set(key, [...before, version])
    return version
  }

  #handle(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const method = request.method!
    const url = new URL(request.url!, 'http://fake')
    const key = decodeURIComponent(url.pathname.split('/').slice(2).join('/'))
    this.requests.push(`${method} ${key}`)
    const early = this.faults.before?.(method, key)
    const {
      status,
      headers = {},
      text = '',
    } = early === undefined ? this.#do(method, key, url, request, body) : { status: early }
    const late = this.faults.after?.(method, key)
    if (late === 0) response.destroy()
    else response.writeHead(late ?? status, headers).end(late === undefined && method !== 'HEAD' ? text : '')
  }

  #do(method: string, key: string, url: URL, request: IncomingMessage, body: Buffer): Answer {
    const query = url.searchParams
    if (key === '') return { status: 200, text: this.faults.listing ?? this.#list(query) }
    const versions = this.objects.get(key) ?? []
    const wanted = query.get('versionId')
    const version = wanted ? versions.find(({ id }) => id === wanted) : versions.at(-1)
    const exists = version !== undefined && !version.isMarker
    if (method === 'PUT' && query.has('retention')) return this.#shorten(version!, body)
    if (method === 'PUT') {
      if (exists && request.headers['if-none-match'] && !this.faults.ignoresCondition)
        return failure(412, 'PreconditionFailed')
      return { status: 200, headers: { 'x-amz-version-id': this.put(key, body, request.headers).id } }
    }
    if (method === 'DELETE') return this.#delete(key, versions, wanted, version)
    if (!exists) return failure(404, 'NoSuchKey')
    const headers: Record<string, string> = { 'x-amz-version-id': version.id }
    if (version.mode) headers['x-amz-object-lock-mode'] = version.mode
    if (version.until) headers['x-amz-object-lock-retain-until-date'] = version.until
    return { status: 200, headers, text: version.body }
  }

  #shorten(version: FakeVersion, body: Buffer): Answer {
    const until = /<RetainUntilDate>(.*?)</.exec(body.toString())![1]!
    if (this.faults.breaksLock !== 'shorten' && until < (version.until ?? '')) return failure(403, 'AccessDenied')
    version.until = until
    return { status: 200 }
  }

  #delete(key: string, versions: FakeVersion[], wanted: string | null, version?: FakeVersion): Answer {
    if (!wanted && this.faults.versioned) {
      const marker = { id: randomUUID(), body: Buffer.alloc(0), mode: undefined, until: undefined, isMarker: true }
      this.objects.set(key, [...versions, { ...marker, time: new Date().toISOString() }])
      return { status: 204 }
    }
    const isLocked = version?.until !== undefined && version.until > new Date().toISOString()
    if (isLocked && this.faults.breaksLock !== 'delete') return failure(403, 'AccessDenied')
    this.objects.set(
      key,
      versions.filter((one) => one !== version),
    )
    return { status: 204 }
  }

  #list(query: URLSearchParams): string {
    const prefix = query.get('prefix') ?? ''
    const keys = [...this.objects.keys()].filter(
      (key) => key.startsWith(prefix) && key > (query.get('key-marker') ?? ''),
    )
    const rows = keys.sort().flatMap((key) =>
      this.objects
        .get(key)!
        .toReversed()
        .map(({ id, time, isMarker }) => {
          const inner = `<Key>${key}</Key><VersionId>${id}</VersionId><LastModified>${time}</LastModified>`
          return isMarker ? `<DeleteMarker>${inner}</DeleteMarker>` : `<Version>${inner}</Version>`
        }),
    )
    return `<ListVersionsResult><IsTruncated>false</IsTruncated>${rows.join('')}</ListVersionsResult>`
  }
}

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly text?: string | Buffer
}

const failure = (status: number, code: string): Answer => ({ status, text: `<Error><Code>${code}</Code></Error>` })
