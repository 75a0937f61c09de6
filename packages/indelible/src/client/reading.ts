/** Reading a log on a server: search, entries, runs, proofs. What a key may not do is `ERR_SERVER_REFUSED`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { IndelibleError } from '../errors.ts'
import { Administering } from './administering.ts'
import { download, finished, type SaveOptions } from './download.ts'
import { Governing } from './governing.ts'
import type { Http } from './http.ts'
import type {
  AuditPage,
  AuditQuery,
  ConsistencyProof,
  ExportJob,
  ExportRequest,
  Hit,
  InclusionProof,
  RunFacts,
  ServedEntry,
  ServerReport,
  Whoami,
} from './types.ts'

export class Reading {
  readonly #http: Http
  /** What people decide and register. */
  readonly govern: Governing
  /** Keys, tenants, holds, erasures, retention, anchors. */
  readonly administer: Administering

  constructor(http: Http) {
    this.#http = http
    this.govern = new Governing(http)
    this.administer = new Administering(http)
  }

  whoami(): Promise<Whoami> {
    return this.#http.json('/v1/whoami')
  }

  /** One page of a search. */
  audit(query: AuditQuery = {}): Promise<AuditPage> {
    return this.#http.json('/v1/audit', { query: { ...query } })
  }

  /** All hits of a search, page by page. */
  async *auditAll(query: AuditQuery = {}): AsyncGenerator<Hit> {
    let { cursor } = query
    do {
      const page = await this.audit({ ...query, ...(cursor !== undefined && { cursor }) })
      yield* page.hits
      cursor = page.next ?? undefined
    } while (cursor !== undefined)
  }

  entry(index: number): Promise<ServedEntry> {
    return this.#http.json(`/v1/entries/${index}`)
  }

  async runs(query: { readonly limit?: number; readonly before?: number } = {}): Promise<RunFacts[]> {
    return (await this.#http.json<{ runs: RunFacts[] }>('/v1/runs', { query })).runs
  }

  /** A run with its entries. */
  runEntries(run: string): Promise<{ readonly run: RunFacts; readonly hits: readonly Hit[] }> {
    return this.#http.json(`/v1/runs/${encodeURIComponent(run)}`)
  }

  /** A run as a trace (`trace.schema.json`). */
  trace(run: string, disclose: readonly string[] = []): Promise<Readonly<Record<string, unknown>>> {
    return this.#http.json(`/v1/runs/${encodeURIComponent(run)}/trace`, { query: { disclose } })
  }

  /** The latest checkpoint, a signed note. */
  async checkpoint(): Promise<string> {
    return (await this.#http.send('/v1/checkpoint')).text()
  }

  /** Hashes that lead from an entry to the root of the tree of `size` entries, by default the latest. */
  proveInclusion(index: number, size?: number): Promise<InclusionProof> {
    return this.#http.json('/v1/proofs/inclusion', { query: { index, size } })
  }

  proveConsistency(from: number, to?: number): Promise<ConsistencyProof> {
    return this.#http.json('/v1/proofs/consistency', { query: { from, to } })
  }

  /** Has the server verify its log: a convenience, the verdict is that of the party under examination. */
  verify(): Promise<ServerReport> {
    return this.#http.json('/v1/verify', { method: 'POST', isIdempotent: true, timeoutMs: null })
  }

  /** Proof of one entry as a file, C2SP tlog-proof: with {@link entryBytes} what `indelible check` takes. */
  async entryProof(index: number): Promise<string> {
    return (await this.#http.send(`/v1/entries/${index}/proof`)).text()
  }

  /** One entry, byte for byte. */
  async entryBytes(index: number): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#http.send(`/v1/entries/${index}/bytes`)).arrayBuffer())
  }

  /**
   * Exports into a file: begins the job, waits for it, fetches its content, going on where a connection broke, and checks the digest.
   * @throws IndelibleError `ERR_SERVER_REFUSED` for a job that failed, or content that is not what was made;
   * `ERR_SERVER_UNREACHABLE` if the connection breaks again and again: {@link resumeExport} goes on
   */
  async saveExport(request: ExportRequest, path: string, options: SaveOptions = {}): Promise<ExportJob> {
    const { id } = await this.createExport(request)
    return this.resumeExport(id, path, options)
  }

  /** As {@link saveExport}, of an export that was begun: nothing that came is fetched again. */
  async resumeExport(id: string, path: string, options: SaveOptions = {}): Promise<ExportJob> {
    const job = await finished(() => this.exportJob(id), options)
    await download(this.#http, job, path, options)
    return job
  }

  /** Begins an export; ask {@link exportJob} until it is done. */
  createExport(request: ExportRequest): Promise<ExportJob> {
    return this.#http.json('/v1/exports', { method: 'POST', body: request })
  }

  exportJob(id: string): Promise<ExportJob> {
    return this.#http.json(`/v1/exports/${encodeURIComponent(id)}`)
  }

  /** The content of an export that is done, from byte `from` on. */
  async exportContent(id: string, from = 0): Promise<ReadableStream<Uint8Array>> {
    const headers = from === 0 ? {} : { range: `bytes=${from}-` }
    const path = `/v1/exports/${encodeURIComponent(id)}/content`
    return (await this.#http.send(path, { headers, timeoutMs: null })).body!
  }

  /**
   * Entries as they come, from index `from` on, or from now on. Connects again by itself, without gaps.
   * @throws IndelibleError `ERR_SERVER_REFUSED` once the key may not read any more, `ERR_SERVER_UNREACHABLE` if the server stays away
   */
  async *stream(options: { readonly from?: number; readonly signal?: AbortSignal } = {}): AsyncGenerator<Hit> {
    const { signal } = options
    let next = options.from
    for (let tries = 0; !signal?.aborted; tries++) {
      const query = { from: next }
      const response = await this.#http.send('/v1/stream', { query, timeoutMs: null, ...(signal && { signal }) })
      try {
        for await (const { event, data } of serverSentEvents(response.body!)) {
          if (event === 'entry') {
            const hit = JSON.parse(data) as Hit
            next = hit.index + 1
            tries = 0
            yield hit
          } else if (event === 'end' && (JSON.parse(data) as { reason: string }).reason === 'forbidden') {
            throw new IndelibleError('ERR_SERVER_REFUSED', 'the key may not read any more')
          }
        }
      } catch (error) {
        if (error instanceof IndelibleError) throw error
        // Cut off: goes on from where it was.
      }
      if (!signal?.aborted) await sleep(Math.min(100 * 2 ** tries, 5000))
    }
  }
}

async function* serverSentEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<{ event: string; data: string }> {
  let text = ''
  for await (const chunk of body.pipeThrough(
    new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>,
  )) {
    text += chunk
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => splitField(line)),
      )
      text = text.slice(end + 2)
      const [event, data] = [fields.get('event'), fields.get('data')]
      if (event !== undefined && data !== undefined) yield { event, data }
    }
  }
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]
}
