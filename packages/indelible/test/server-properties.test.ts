/** Requests made up from the OpenAPI document, good and bad: no answer that it does not describe, and no 5xx. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { server, toolEnd } from './server-kit.ts'

/** Where `.ci/run` installs it; CONTRIBUTING says how. */
const installed = fileURLToPath(new URL('../../../node_modules/.cache/schemathesis/bin/schemathesis', import.meta.url))
const program = process.env.INDELIBLE_SCHEMATHESIS ?? installed
const none = existsSync(program) ? '' : ': skipped, schemathesis is not installed'
const SEED = process.env.INDELIBLE_TEST_SEED ?? '10'
/** Made-up requests for each operation, beside the systematic ones; more of them for a longer run. */
const EXAMPLES = process.env.INDELIBLE_SOAK_EXAMPLES ?? '8'

const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
  'allow_header_conformance',
  'ignored_auth',
]

it.skipIf(none)(
  `the server answers what its OpenAPI document says${none}`,
  async () => {
    const { url, operator, ask } = await server()
    await ask('/v1/events', { body: [toolEnd({ run: { id: '0' } }), toolEnd()] })
    const args = ['run', `${url}/openapi.json`, '--no-color', '--continue-on-failure', '--generation-database', 'none']
    args.push('-H', `Authorization: Bearer ${operator}`, '-H', 'Indelible-Tenant: default')
    args.push('--phases', 'examples,coverage,fuzzing', '-n', EXAMPLES, '--seed', SEED, '-c', CHECKS.join(','))
    // A stream has no end: each request for one waits until its time is over.
    if (EXAMPLES === '8') args.push('--exclude-path', '/v1/stream')
    const child = spawn(program, args, { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => {
        said += text
      })
    const status = await new Promise<number | null>((done) => child.on('close', done))
    expect(said, said).toMatch(/(\d{3,}) generated, \1 passed/)
    expect(status, said).toBe(0)
  },
  Number(EXAMPLES) > 8 ? 3_600_000 : 120_000,
)
