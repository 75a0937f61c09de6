/** Requests to an S3 server, signed by aws4fetch. Nothing is retried here: a write that was refused may have been stored. */
import { createHash } from 'node:crypto'
import { AwsV4Signer } from 'aws4fetch'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { quote } from '../note/text.ts'
import { copyFailed, copyRefused, MAX_OBJECT } from './copy-store.ts'
import { readBytes, reasonOf } from './witness-client.ts'

export interface S3ClientOptions {
  /** Such as `https://s3.eu-central-1.amazonaws.com`; the bucket goes into the path. */
  readonly endpoint: string
  readonly bucket: string
  readonly region: string
  /** Names of the environment variables with the credentials. */
  readonly accessKeyEnv: string
  readonly secretKeyEnv: string
  readonly sessionTokenEnv: string
  readonly env: NodeJS.ProcessEnv
  readonly fetch: typeof fetch
  /** Wall clock, ms since 1970: signatures carry it. */
  readonly clock: () => number
}

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  /** Without one, the bucket itself. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly signal: AbortSignal
}

export interface S3Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array
  /** Of an error: S3's name for it; empty where the answer has no body. */
  readonly code: string
}

/** How objects are locked. */
export interface S3Lock {
  readonly mode: 'compliance' | 'governance'
  readonly seconds: number
}

/** Object Lock demands a checksum. Not MD5, which a FIPS machine does not have. */
export function putHeaders(bytes: Uint8Array, lock: S3Lock | null, nowMs: number): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'x-amz-sdk-checksum-algorithm': 'SHA256',
    'x-amz-checksum-sha256': createHash('sha256').update(bytes).digest('base64'),
    ...(lock && {
      'x-amz-object-lock-mode': lock.mode.toUpperCase(),
      'x-amz-object-lock-retain-until-date': new Date(nowMs + lock.seconds * 1000).toISOString(),
    }),
  }
}

/** No answer came: what was asked may have been done. */
export class NoAnswerError extends IndelibleError {
  override readonly name = 'NoAnswerError'
}

export class S3Client {
  readonly where: string
  readonly #options: S3ClientOptions

  constructor(options: S3ClientOptions) {
    this.#options = options
    this.where = `s3://${new URL(options.endpoint).host}/${options.bucket}`
  }

  /** Resolves with any answer that S3 gave. Throws {@link NoAnswerError}, `ERR_CONFIG_INVALID`. */
  async send({ method, key = '', query = {}, headers = {}, body, signal }: S3Request): Promise<S3Answer> {
    const { endpoint, bucket, region, fetch, clock } = this.#options
    const url = new URL(`${endpoint.replace(/\/+$/, '')}/${bucket}${key === '' ? '' : `/${key}`}`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const digest = createHash('sha256').update(body ?? '')
    const signed = await new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': digest.digest('hex') },
      service: 's3',
      region,
      datetime: new Date(clock()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
      ...this.#credentials(),
    }).sign()
    try {
      const init = { method, headers: signed.headers, redirect: 'manual', signal } as const
      const response = await fetch(signed.url, body ? { ...init, body: new Uint8Array(body) } : init)
      const bytes = await readBytes(response, MAX_OBJECT)
      const { status } = response
      const code = status < 300 ? '' : (/<Code>([A-Za-z]+)<\/Code>/.exec(Buffer.from(bytes).toString())?.[1] ?? '')
      return { status, headers: response.headers, body: bytes, code }
    } catch (cause) {
      const reason = isIndelibleError(cause) ? cause.message : reasonOf(cause, signal)
      throw new NoAnswerError('ERR_ANCHOR_FAILED', `copy in ${quote(this.where)} ${reason}`, { cause })
    }
  }

  /** What to tell of an answer that is neither what was hoped for nor expected. */
  refusal({ status, code, headers }: S3Answer, doing: string): IndelibleError {
    const said = `${status}${code ? ` ${code}` : ''}`
    if (code === 'RequestTimeTooSkewed') {
      const server = headers.get('date')
      const ours = new Date(this.#options.clock()).toISOString()
      const clocks = server === null ? '' : `: it is ${new Date(server).toISOString()} there and ${ours} here`
      return copyRefused(this.where, `says that this machine’s clock is wrong${clocks} (${said})`)
    }
    if (status === 429 || status >= 500 || status === 409) return copyFailed(this.where, `answers ${said}, ${doing}`)
    const hint = HINTS[code] ?? HINTS[status]
    return copyRefused(this.where, `answers ${said}, ${doing}${hint ? `: ${hint}` : ''}`)
  }

  #credentials() {
    const { env, accessKeyEnv, secretKeyEnv, sessionTokenEnv } = this.#options
    const value = (name: string) => {
      const found = env[name]
      if (found) return found
      throw new IndelibleError('ERR_CONFIG_INVALID', `copy in ${quote(this.where)}: the environment has no ${name}`)
    }
    const sessionToken = env[sessionTokenEnv]
    return {
      accessKeyId: value(accessKeyEnv),
      secretAccessKey: value(secretKeyEnv),
      ...(sessionToken && { sessionToken }),
    }
  }
}

const HINTS: Readonly<Record<string, string>> = {
  301: 'the bucket is in another region, or at another endpoint',
  307: 'the bucket is in another region, or at another endpoint',
  AccessDenied: 'the credentials do not allow it',
  InvalidAccessKeyId: 'it does not know the access key',
  NoSuchBucket: 'there is no such bucket',
  SignatureDoesNotMatch: 'the secret key is another one, or the region',
}
