/**
 * Exports as jobs: written in the background into files of the home that only the server's account can read, kept for a while, and
 * fetched in pieces. A job that a stop or a crash interrupted has failed, and says so.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, existsSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isIndelibleError } from '../errors.ts'
import { makePrivateDirectory, writeFileAtomic } from '../keys/files.ts'
import { isGone, processToken } from '../keys/process.ts'
import { type ExportRequest, exportSourceOf } from './export-source.ts'
import { HttpProblem } from './problem.ts'
import type { Service } from './service.ts'

export interface ExportJob extends ExportRequest {
  readonly id: string
  readonly tenant: string
  /** Who asked. */
  readonly by: string
  state: 'queued' | 'running' | 'done' | 'failed'
  /** Entries written so far. */
  entries: number
  /** Entries of the log when it began: the most that there can be. */
  size: number | null
  readonly created: string
  finished: string | null
  expires: string | null
  bytes: number | null
  /** Of the content, hex. */
  sha256: string | null
  /** Parts asked for that are gone. */
  gone: number
  /** Code of what went wrong. */
  error: string | null
  /** Process that works at it. */
  readonly owner: string
}

const CONCURRENT = 2
/** Jobs that may wait. */
const MAX_QUEUED = 64
const SWEEP_MS = 60_000
const ID = /^[0-9a-f]{32}$/

export class Exports {
  readonly #service: Service
  readonly #folder: string
  readonly #jobs = new Map<string, ExportJob>()
  readonly #queue: ExportJob[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly #sweeper: NodeJS.Timeout

  constructor(service: Service) {
    this.#service = service
    this.#folder = join(service.home, 'exports')
    this.#sweep()
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#sweeper.unref()
  }

  /** @throws HttpProblem 503 if too many wait */
  create(tenant: string, by: string, request: ExportRequest): ExportJob {
    if (this.#queue.length >= MAX_QUEUED) throw new HttpProblem(503, 'ERR_OVERLOADED', 'too many exports wait', 30)
    const job: ExportJob = {
      ...request,
      id: randomBytes(16).toString('hex'),
      tenant,
      by,
      state: 'queued',
      entries: 0,
      size: null,
      created: this.#now(),
      finished: null,
      expires: null,
      bytes: null,
      sha256: null,
      gone: 0,
      error: null,
      owner: processToken(),
    }
    makePrivateDirectory(this.#folder)
    this.#keep(job)
    this.#jobs.set(job.id, job)
    this.#queue.push(job)
    this.#next()
    return job
  }

  /** `null` if there is none, or it has expired. */
  find(id: string): ExportJob | null {
    if (!ID.test(id)) return null
    const job = this.#jobs.get(id) ?? this.#read(id)
    return job && !this.#isOver(job) ? job : null
  }

  contentPath(job: ExportJob): string {
    return join(this.#folder, `${job.id}.data`)
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeper)
    this.#stop.abort()
    for (const job of this.#queue.splice(0)) this.#fail(job, 'ERR_EXPORT_INTERRUPTED')
    await Promise.allSettled(this.#running)
  }

  #next(): void {
    while (this.#running.size < CONCURRENT && this.#queue.length > 0) {
      const job = this.#queue.shift()!
      const running = this.#run(job).finally(() => {
        this.#running.delete(running)
        // What is on disk is enough from now on.
        this.#jobs.delete(job.id)
        this.#next()
      })
      this.#running.add(running)
    }
  }

  async #run(job: ExportJob): Promise<void> {
    job.state = 'running'
    this.#keep(job)
    try {
      const done = await this.#service.tenants.use(job.tenant, async (tenant) => {
        const { EXPORTERS } = await import('../export/formats.ts')
        const source = await exportSourceOf(tenant, job)
        job.size = (await source.store.head())?.size ?? 0
        const file = new DigestedFile(this.contentPath(job))
        try {
          const onProgress = (entries: number) => {
            job.entries = entries
          }
          const signal = this.#stop.signal
          const summary = await EXPORTERS[job.format].write({ ...source, onProgress, signal }, (chunk) =>
            file.write(chunk),
          )
          const content = await file.end()
          // Before anybody can fetch it: what left must be in the log.
          const { by, format, disclose: parts } = job
          const { entries } = summary
          await tenant.log.recordAudit('audit.exported', {
            by,
            surface: 'server',
            format,
            entries,
            parts,
            export: job.id,
          })
          return { ...content, entries, gone: summary.gone }
        } catch (error) {
          file.discard()
          throw error
        }
      })
      if (!done) throw new HttpProblem(404, 'ERR_TENANT_NOT_FOUND', 'no such tenant')
      Object.assign(job, done, { state: 'done' })
      this.#finish(job)
    } catch (error) {
      const code = isIndelibleError(error) || error instanceof HttpProblem ? error.code : 'ERR_UNEXPECTED'
      this.#fail(job, this.#stop.signal.aborted ? 'ERR_EXPORT_INTERRUPTED' : code)
      if (code === 'ERR_UNEXPECTED' && !this.#stop.signal.aborted) {
        this.#service.logger.error({ error: (error as Error).name, export: job.id }, 'export failed')
      }
    }
  }

  #fail(job: ExportJob, code: string): void {
    Object.assign(job, { state: 'failed', error: code })
    rmSync(this.contentPath(job), { force: true })
    this.#finish(job)
  }

  #finish(job: ExportJob): void {
    job.finished = this.#now()
    const { export_ttl_hours: hours } = this.#service.config
    job.expires = new Date(this.#service.clock() + hours * 3_600_000).toISOString()
    this.#keep(job)
  }

  #keep(job: ExportJob): void {
    writeFileAtomic(this.#path(job.id), `${JSON.stringify(job)}\n`)
  }

  #read(id: string): ExportJob | null {
    if (!existsSync(this.#path(id))) return null
    const job = JSON.parse(readFileSync(this.#path(id), 'utf8')) as ExportJob
    const isAbandoned = job.finished === null && !this.#jobs.has(id) && isAbandonedBy(job.owner)
    if (isAbandoned) this.#fail(job, 'ERR_EXPORT_INTERRUPTED')
    return job
  }

  /** Removes what has expired, and says of what was interrupted that it has failed. */
  #sweep(): void {
    if (!existsSync(this.#folder)) return
    for (const name of readdirSync(this.#folder)) {
      const id = name.endsWith('.json') ? name.slice(0, -'.json'.length) : ''
      const job = ID.test(id) ? this.#read(id) : null
      if (!job || !this.#isOver(job)) continue
      rmSync(this.contentPath(job), { force: true })
      rmSync(this.#path(id), { force: true })
    }
  }

  #isOver({ expires }: ExportJob): boolean {
    return expires !== null && Date.parse(expires) <= this.#service.clock()
  }

  #path(id: string): string {
    return join(this.#folder, `${id}.json`)
  }

  #now(): string {
    return new Date(this.#service.clock()).toISOString()
  }
}

/** Another replica may be at it; one of this process that is not in memory is not. */
function isAbandonedBy(owner: string): boolean {
  return owner === processToken() || isGone(owner) === true
}

/** A file that only this account can read, and the digest of what was written to it. */
class DigestedFile {
  readonly #path: string
  readonly #stream
  readonly #hash = createHash('sha256')
  #bytes = 0

  constructor(path: string) {
    this.#path = path
    this.#stream = createWriteStream(path, { fd: openSync(path, 'wx', 0o600) })
  }

  async write(chunk: Uint8Array | string): Promise<void> {
    const bytes = Buffer.from(chunk as string)
    this.#hash.update(bytes)
    this.#bytes += bytes.length
    if (!this.#stream.write(bytes)) await once(this.#stream, 'drain')
  }

  async end(): Promise<{ bytes: number; sha256: string }> {
    await new Promise<void>((resolve, reject) =>
      this.#stream.end((error?: Error | null) => (error ? reject(error) : resolve())),
    )
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') }
  }

  discard(): void {
    this.#stream.destroy()
    rmSync(this.#path, { force: true })
  }
}
