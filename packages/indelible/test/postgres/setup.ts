/** Of the whole test run: stops the Postgres server that its test files shared, if one of them started it. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RUN_PID, SHARED_FOLDER } from './shared.ts'

/** Run by vitest before the first test file; what it returns, after the last. */
export function setup(): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-pg-shared-'))
  process.env[SHARED_FOLDER] = folder
  process.env[RUN_PID] = String(process.pid)
  return async () => {
    const file = join(folder, 'server.json')
    if (existsSync(file)) {
      const server = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; folder: string }
      stop(server.pid, 'SIGINT')
      for (let attempt = 0; attempt < 100 && stop(server.pid, 0); attempt++) await sleep(50)
      rmSync(server.folder, { recursive: true, force: true })
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

function stop(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
