/**
 * `npm run adapters [-- NAME…]`: installs the frameworks beside the workspace, and shows for each adapter that its scenes are
 * recorded as they should be and that its example's log verifies. Then writes the table of `docs/adapters.md`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const asked = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const adapters = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'example.mjs')))
const unknown = asked.filter((name) => !adapters.includes(name))
if (unknown.length > 0) {
  console.error(`no adapter ${unknown.join(', ')}; there are: ${adapters.join(', ')}`)
  process.exit(2)
}

install()
const failed = []
for (const name of asked.length > 0 ? asked : adapters) {
  console.log(`\n== ${name}`)
  const env = { ...process.env, INDELIBLE_ADAPTER_RESULTS: join(folder, 'results') }
  const scenario = join(folder, name, 'scenario.test.mjs')
  const isRecorded = !existsSync(scenario) || node(['--test', '--test-reporter=spec', scenario], env)
  const isVerified = node([join(folder, name, 'example.mjs')], process.env)
  if (!isRecorded || !isVerified) failed.push(name)
}
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(', ')}`)
  process.exit(1)
}
if (!node([join(folder, '..', 'scripts', 'write-adapters.mjs')], process.env)) process.exit(1)

function node(args, env) {
  return spawnSync(process.execPath, args, { stdio: 'inherit', cwd: folder, env, timeout: 300_000 }).status === 0
}

/** Once for each lockfile. */
function install() {
  const lock = readFileSync(join(folder, 'package-lock.json'), 'utf8')
  const mark = join(folder, 'node_modules', '.installed-lock')
  if (existsSync(mark) && readFileSync(mark, 'utf8') === lock) return
  // Optional are native programs, such as Claude Code, which nothing here starts.
  // The frameworks ask for Node 22 and newer: the npm that runs this one may be older, and only warns.
  const { status } = spawnSync('npm', ['ci', '--omit=optional', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: 'inherit',
    cwd: folder,
  })
  if (status !== 0) process.exit(status ?? 1)
  writeFileSync(mark, lock)
}
