/** A timestamp authority for tests: `openssl ts` behind HTTP on loopback, with certificates of its own. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { type Cleanup, startServer } from './anchor-kit.ts'

export interface AuthorityOptions {
  /** X.509 times of the authority's certificate, such as `20200101000000Z`. Default: a month from yesterday on. */
  readonly from?: string
  readonly to?: string
  /** Line of an OpenSSL extension file. */
  readonly usage?: string
  /** Whether there is an authority between the root and the one that signs. */
  readonly intermediate?: boolean
  /** Whether the token carries two authorities more, that issued each other and the one that signs. */
  readonly circle?: boolean
  readonly essDigest?: 'sha1' | 'sha256'
  /** Hash that the certificate of the authority is signed with. */
  readonly certificateDigest?: 'sha1' | 'sha256'
}

export class TestAuthority {
  readonly folder: string
  /** PEM files of the root and of the authority that signs. */
  readonly root: string
  readonly own: string

  constructor(cleanup: Cleanup, options: AuthorityOptions = {}) {
    this.folder = cleanup.folder()
    this.root = join(this.folder, 'root.pem')
    this.own = join(this.folder, 'tsa.pem')
    const { intermediate = false, usage = 'critical,timeStamping', essDigest = 'sha256' } = options
    const { from = stamp(-1), to = stamp(30) } = options
    const put = (name: string, text: string) => writeFileSync(join(this.folder, name), text)
    put('root.cnf', ROOT)
    put('ca.cnf', CA.replaceAll('ESS', essDigest).replaceAll('DIGEST', options.certificateDigest ?? 'sha256'))
    put('serial', '01\n')
    put('ca.serial', '1000\n')
    put('index.txt', '')
    mkdirSync(join(this.folder, 'issued'))
    put('between.ext', 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n')
    put('tsa.ext', `basicConstraints=CA:FALSE\nextendedKeyUsage=${usage}\n`)
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-config', 'root.cnf']
    const root = ['-keyout', 'root.key', '-out', 'root.pem', '-subj', '/CN=Test Root', '-days', '3650']
    this.openssl('req', '-x509', ...ec, ...root)
    const sign = (name: string, issuer: string, dates: readonly string[]) => {
      const by = ['-cert', `${issuer}.pem`, '-keyfile', `${issuer}.key`, '-extfile', `${name}.ext`]
      const files = ['-in', `${name}.csr`, '-out', `${name}.pem`]
      this.openssl('ca', '-batch', '-notext', '-config', 'ca.cnf', ...files, ...by, ...dates)
    }
    const issue = (name: string, subject: string, issuer: string, dates: readonly string[]) => {
      this.openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject)
      sign(name, issuer, dates)
    }
    const years = ['-startdate', stamp(-9), '-enddate', stamp(90)]
    if (intermediate) issue('between', '/CN=Test Between', 'root', years)
    issue('tsa', '/CN=Test Authority', intermediate ? 'between' : 'root', ['-startdate', from, '-enddate', to])
    const read = (name: string) => readFileSync(join(this.folder, name), 'utf8')
    put('chain.pem', read(intermediate ? 'between.pem' : 'root.pem'))
    if (options.circle) {
      // The root's name and key, issued by another, which the root issued.
      const again = (name: string, subject: string, key: string, issuer: string) => {
        put(`${name}.ext`, read('between.ext'))
        this.openssl('req', '-new', '-config', 'root.cnf', '-key', key, '-out', `${name}.csr`, '-subj', subject)
        sign(name, issuer, years)
      }
      issue('between', '/CN=Test Other', 'root', years)
      again('crossed', '/CN=Test Root', 'root.key', 'between')
      put('chain.pem', read('crossed.pem') + read('between.pem'))
    }
  }

  openssl(...args: string[]): string {
    return execFileSync('openssl', args, { cwd: this.folder, stdio: 'pipe', encoding: 'utf8' })
  }

  /** DER of the reply to a query. */
  reply(query: Uint8Array, ...more: string[]): Uint8Array {
    const name = `q${process.hrtime.bigint()}`
    writeFileSync(join(this.folder, `${name}.tsq`), query)
    this.openssl('ts', '-reply', '-config', 'ca.cnf', '-queryfile', `${name}.tsq`, '-out', `${name}.tsr`, ...more)
    return new Uint8Array(readFileSync(join(this.folder, `${name}.tsr`)))
  }

  /** As {@link reply}, signed by `other`, whose certificate openssl would not sign timestamps with; or over another type. */
  forged(query: Uint8Array, other: TestAuthority, type = '1.2.840.113549.1.9.16.1.4'): Uint8Array {
    writeFileSync(join(this.folder, 'good.tsr'), this.reply(query))
    this.openssl('ts', '-reply', '-in', 'good.tsr', '-token_out', '-out', 'good.der')
    this.openssl('cms', '-verify', '-noverify', '-inform', 'DER', '-in', 'good.der', '-out', 'info.der', '-binary')
    const form = ['-binary', '-nodetach', '-outform', 'DER', '-cades', '-md', 'sha256', '-econtent_type', type]
    const signer = ['-signer', other.own, '-inkey', join(other.folder, 'tsa.key')]
    this.openssl('cms', '-sign', ...form, ...signer, '-in', 'info.der', '-out', 'forged.der')
    const token = readFileSync(join(this.folder, 'forged.der'))
    const length = token.length + 5
    return Uint8Array.of(0x30, 0x82, length >> 8, length & 255, 0x30, 3, 2, 1, 0, ...token)
  }

  /** Serves it; `answer` may stand in for it. Resolves with the URL. */
  serve(
    cleanup: Cleanup,
    answer: Answer = (query, response) => sendReply(response, this.reply(query)),
  ): Promise<string> {
    return startServer(cleanup, async (request: IncomingMessage, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      answer(Buffer.concat(chunks), response)
    })
  }
}

export type Answer = (query: Uint8Array, response: ServerResponse) => unknown

export function sendReply(response: ServerResponse, reply: Uint8Array): void {
  response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(reply)
}

function stamp(days: number): string {
  return `${new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\..*/g, '')}Z`
}

const ROOT = `[req]
distinguished_name=name
x509_extensions=root
[name]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
`

const CA = `[ca]
default_ca=own
[own]
database=./index.txt
new_certs_dir=./issued
serial=./ca.serial
default_md=DIGEST
policy=any
unique_subject=no
[any]
commonName=supplied
[tsa]
default_tsa=t
[t]
serial=./serial
crypto_device=builtin
signer_cert=./tsa.pem
certs=./chain.pem
signer_key=./tsa.key
signer_digest=sha256
default_policy=1.2.3.4.1
other_policies=1.2.3.4.2
digests=sha256,sha384,sha512
accuracy=secs:1
ordering=yes
tsa_name=yes
ess_cert_id_chain=no
ess_cert_id_alg=ESS
`
