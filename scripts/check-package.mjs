/** Checks the package as a consumer gets it: exports, types, contents. Run after a build. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const workspace = fileURLToPath(new URL('..', import.meta.url))
const directory = join(workspace, 'packages/indelible')
const run = (command, args, options = {}) =>
  execFileSync(command, args, { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', ...options })

const out = mkdtempSync(join(tmpdir(), 'indelible-pack-'))
try {
  const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--silent', '--pack-destination', out]))
  const stray = files.map(({ path }) => path).filter((path) => /\.test\.|\.tsbuildinfo$|^src\//.test(path))
  if (stray.length > 0) throw new Error(`package contains ${stray.join(', ')}`)
  const tarball = join(out, filename)
  // The published package is ESM only, so what a CommonJS consumer without require(esm) sees is no finding.
  console.log(run('npx', ['attw', tarball, '--profile', 'esm-only', '--exclude-entrypoints', './schemas/*.json']))
  console.log(run('npx', ['publint', 'run', tarball, '--strict'], { cwd: workspace }))

  // A consumer: installed from the tarball, every export imported by name on the running Node.
  run('npm', ['init', '--yes'], { cwd: out })
  run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', tarball], { cwd: out })
  const imports = [
    'indelible',
    'indelible/verify',
    'indelible/store/sqlite',
    'indelible/store/postgres',
    'indelible/store/memory',
    'indelible/testing',
    'indelible/client',
  ]
  run(
    process.execPath,
    ['--input-type=module', '-e', `await Promise.all(${JSON.stringify(imports)}.map((name) => import(name)))`],
    {
      cwd: out,
    },
  )
  console.log(`${files.length} files; imported ${imports.join(', ')}`)
} finally {
  rmSync(out, { recursive: true, force: true })
}
