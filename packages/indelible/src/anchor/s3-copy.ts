/** Write-once copies in S3: conditional writes make each object once, Object Lock keeps it for its time. */
import { z } from 'zod'
import { durationSchema, durationSeconds } from '../config/anchors-section.ts'
import { IndelibleError } from '../errors.ts'
import { quote } from '../note/text.ts'
import type { AnchorKind, AnchorUse } from './anchor.ts'
import { CopyAnchor } from './copy-anchor.ts'
import { type CopiedCheckpoint, type CopyStore, checkpointName, sizeInName } from './copy-store.ts'
import { CopyVerifier } from './copy-verifier.ts'
import { parseOptions } from './options.ts'
import { NoAnswerError, putHeaders, S3Client, type S3Lock } from './s3-client.ts'
import { checkGuarantees } from './s3-probe.ts'
import { parseVersions } from './s3-versions.ts'

const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable')

const place = {
  endpoint: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'expected the name of a bucket'),
  region: z.string().min(1).default('us-east-1'),
  /** Before all names; of several logs in a bucket each needs its own. */
  prefix: z
    .string()
    .regex(/^([A-Za-z0-9_.-]+\/)*$/, 'expected a path that ends with a slash')
    .default(''),
  access_key_env: variable.default('AWS_ACCESS_KEY_ID'),
  secret_key_env: variable.default('AWS_SECRET_ACCESS_KEY'),
  session_token_env: variable.default('AWS_SESSION_TOKEN'),
}

const optionsSchema = z
  .strictObject({
    ...place,
    entries: z.boolean().default(false),
    /** Object Lock: nobody can delete it, or only who may bypass governance. */
    lock: z.enum(['compliance', 'governance']).optional(),
    /** For how long. */
    retain: durationSchema().optional(),
  })
  .refine(({ lock, retain }) => (lock === undefined) === (retain === undefined), 'lock and retain go together')

const trustSchema = z.strictObject(place)

export const s3Kind: AnchorKind = {
  kind: 's3',
  async open({ name, kind, options }, use) {
    const fail = (message: string) => new IndelibleError('ERR_CONFIG_INVALID', `anchor ${quote(name)}: ${message}`)
    const { entries, lock, retain, ...rest } = parseOptions(optionsSchema, options, fail)
    const held = lock && retain ? { mode: lock, seconds: durationSeconds(retain) } : null
    const store = new S3Copy(clientOf(rest, use), rest.prefix, use.clock, held)
    return new CopyAnchor({ name, kind, store, entries, renew: true, clock: use.clock })
  },
  async verifier({ name, kind, required, max_age: maxAgeSeconds, options }, use) {
    const fail = (message: string) => new IndelibleError('ERR_POLICY_INVALID', `anchor ${quote(name)}: ${message}`)
    const rest = parseOptions(trustSchema, options, fail)
    const store = new S3Copy(clientOf(rest, use), rest.prefix, use.clock, null)
    return new CopyVerifier({ name, kind, required, maxAgeSeconds, store })
  },
}

function clientOf(options: z.infer<typeof trustSchema>, { env, fetch, clock }: AnchorUse): S3Client {
  const { endpoint, bucket, region } = options
  const { access_key_env: accessKeyEnv, secret_key_env: secretKeyEnv, session_token_env: sessionTokenEnv } = options
  return new S3Client({ endpoint, bucket, region, accessKeyEnv, secretKeyEnv, sessionTokenEnv, env, fetch, clock })
}

export class S3Copy implements CopyStore {
  readonly where: string
  readonly #client: S3Client
  readonly #prefix: string
  readonly #clock: () => number
  readonly #lock: S3Lock | null

  constructor(client: S3Client, prefix: string, clock: () => number, lock: S3Lock | null) {
    this.#client = client
    this.#prefix = prefix
    this.#clock = clock
    this.#lock = lock
    this.where = `${client.where}/${prefix}`
  }

  probe(signal: AbortSignal): Promise<void> {
    return checkGuarantees(this.#client, { key: `${this.#prefix}probe`, lock: this.#lock, clock: this.#clock, signal })
  }

  /** All versions: a later one, or a delete marker, hides the first and does not replace it. */
  async checkpoints(from: number, signal: AbortSignal): Promise<CopiedCheckpoint[]> {
    const prefix = `${this.#prefix}checkpoint/`
    const found: CopiedCheckpoint[] = []
    const hidden = new Set<string>()
    let query: Record<string, string> = {}
    // Names that come after a marker are listed, not the marker itself.
    if (from > 0) query = { 'key-marker': `${this.#prefix}${checkpointName(from - 1)}~` }
    for (;;) {
      const answer = await this.#client.send({ method: 'GET', query: { versions: '', prefix, ...query }, signal })
      if (answer.status !== 200) throw this.#client.refusal(answer, 'listing versions')
      const page = parseVersions(answer.body, this.where)
      for (const { key, version, time, isMarker } of page.versions) {
        const name = key.slice(this.#prefix.length)
        const size = key.startsWith(this.#prefix) ? sizeInName(name) : null
        if (size === null || size < from) continue
        if (isMarker) hidden.add(name)
        else found.push({ name, size, time, ...(version !== 'null' && { version }) })
      }
      if (!page.next) break
      query = { 'key-marker': page.next.key, 'version-id-marker': page.next.version }
    }
    return found
      .map((one) => (hidden.has(one.name) ? { ...one, isHidden: true } : one))
      .sort((a, b) => a.size - b.size || (a.time ?? 0) - (b.time ?? 0))
  }

  readCheckpoint({ name, version }: CopiedCheckpoint, signal: AbortSignal): Promise<Uint8Array | null> {
    return this.#get(name, version === undefined ? {} : { versionId: version }, signal)
  }

  read(name: string, signal: AbortSignal): Promise<Uint8Array | null> {
    return this.#get(name, {}, signal)
  }

  async #get(name: string, query: Record<string, string>, signal: AbortSignal): Promise<Uint8Array | null> {
    const answer = await this.#client.send({ method: 'GET', key: this.#prefix + name, query, signal })
    if (answer.status === 404 && answer.code === 'NoSuchKey') return null
    if (answer.status !== 200) throw this.#client.refusal(answer, `reading ${name}`)
    return answer.body
  }

  async has(name: string, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#client.send({ method: 'HEAD', key: this.#prefix + name, signal })
    if (answer.status !== 200 && answer.status !== 404) throw this.#client.refusal(answer, `looking for ${name}`)
    return answer.status === 200
  }

  async create(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<'created' | 'exists' | 'unknown'> {
    const headers = putHeaders(bytes, this.#lock, this.#clock())
    try {
      // Where versions are kept, a server may take a second one.
      if (this.#lock && (await this.has(name, signal))) return 'exists'
      const key = this.#prefix + name
      const once = { ...headers, 'if-none-match': '*' }
      const answer = await this.#client.send({ method: 'PUT', key, headers: once, body: bytes, signal })
      if (answer.status === 200) return 'created'
      if (answer.status === 412) return 'exists'
      // It may be stored all the same.
      if (answer.status >= 500 || answer.status === 409 || answer.status === 429) return 'unknown'
      throw this.#client.refusal(answer, `writing ${name}`)
    } catch (error) {
      if (error instanceof NoAnswerError && !signal.aborted) return 'unknown'
      throw error
    }
  }
}
