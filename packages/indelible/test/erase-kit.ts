/** Homes in which persons are recorded, and a look at every byte of their files. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CreateLogOptions } from '../src/log/home.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { type TestHome, testHome } from './faults-kit.ts'

/** A home that keeps parts in full, and finds persons in the inputs of `get_user`. */
export async function homeWithPersons(
  privacy: Record<string, unknown> = {},
  options: CreateLogOptions = {},
): Promise<TestHome> {
  const made = await testHome(options)
  configure(made.home, { mode: 'full', subjects: { 'get_user.user_id': '' }, ...privacy })
  return made
}

export function configure(home: string, privacy: Record<string, unknown>, more: Record<string, unknown> = {}): void {
  const path = join(home, 'config.json')
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  writeFileSync(path, JSON.stringify({ ...config, privacy, ...more }))
}

/** What `name` told the agent: four entries of one run, of which the tool's two are found to concern them. */
export function visit(name: string, run = `run-${name}`): AgentEvent[] {
  const actor = { type: 'agent', id: 'desk' } as const
  const shared = { actor, run: { id: run } }
  const call = { ...shared, call: `call-${name}`, tool: { name: 'get_user' } }
  return [
    { ...shared, type: 'run.start', parts: { prompt: { value: `I am ${name}, my seat is ${secret(name, 'seat')}` } } },
    { ...call, type: 'tool.start', parts: { input: { value: { user_id: name } } } },
    {
      ...call,
      type: 'tool.end',
      parts: { output: { value: { card: secret(name, 'card'), notes: 'x'.repeat(5000) } } },
    },
    { ...shared, type: 'run.end', outcome: 'success' },
  ]
}

/** A word that nothing else holds. */
export function secret(name: string, what: string): string {
  return `${what}of${name}secret`
}

/** Whether any file under `folder` holds `text`, in UTF-8, and as the full-text index would have it. */
export function isHeld(folder: string, text: string): boolean {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).some(
    (entry) => entry.isFile() && contentOf(join(entry.parentPath, entry.name)).includes(text),
  )
}

/** Nothing, of a file that another process has just removed. */
function contentOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return Buffer.alloc(0)
  }
}
