/** The show list: real runs of an agent with customers are imported, and then every byte of the home is searched for them. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished, vi } from 'vitest'
import { jsonl } from '../src/export/jsonl.ts'
import { importFile } from '../src/import/import.ts'
import { createLog, openLog } from '../src/log/home.ts'
import { openQuery } from '../src/query/home-query.ts'

const airline = fileURLToPath(new URL('../../../../shared/data/airline-trajectories.json', import.meta.url))

/** Imports the runs, asks the index something, and exports all there is. Returns the home and the export as one text. */
async function importAll(config: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-airline-'))
  const home = join(folder, 'home')
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  for (const [key, value] of Object.entries(config)) {
    vi.stubEnv(`INDELIBLE_PRIVACY__${key.toUpperCase()}`, typeof value === 'string' ? value : JSON.stringify(value))
  }
  await createLog({ home, pins: null })
  const log = await openLog({ home })
  const { appended } = await importFile(log, airline, { from: 'chat' })
  expect(appended).toBe(5078)
  await log.close()
  const query = await openQuery({ home })
  const exported: string[] = []
  const disclose = ['input', 'output', 'prompt', 'content', 'message', 'error']
  await jsonl.write(
    { store: query.store, engine: query, origin: query.origin, vkey: '', filter: {}, disclose },
    async (chunk) => void exported.push(String(chunk)),
  )
  await query.close()
  return `${everyFile(home)}\n${exported.join('')}`
}

function everyFile(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(['log.db', 'index.db', 'config.json']))
  return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1')).join('\n')
}

const found = (values: Iterable<string>, text: string) => {
  const lower = text.toLowerCase()
  return [...values].filter((value) => lower.includes(value.toLowerCase()))
}

const EMAIL = /[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}/g

interface Profile {
  readonly name: { readonly first_name: string; readonly last_name: string }
  readonly email: string
  readonly dob: string
  readonly address: { readonly address1: string }
  readonly payment_methods: Readonly<Record<string, unknown>>
}

/** What the tools of the agent said about customers. */
function customerValues(): Set<string> {
  const values = new Set<string>()
  const runs = JSON.parse(readFileSync(airline, 'utf8')) as { traj: { name?: string; content: string | null }[] }[]
  for (const { traj } of runs) {
    for (const { name, content } of traj) {
      if (name !== 'get_user_details' || !content?.startsWith('{')) continue
      const { name: who, email, dob, address, payment_methods: payments } = JSON.parse(content) as Profile
      values.add(email).add(dob).add(address.address1).add(`${who.first_name} ${who.last_name}`)
      values.add(`${who.first_name}_${who.last_name}`)
      for (const id of Object.keys(payments)) values.add(id)
    }
  }
  return values
}

it('keeps no e-mail address of 150 runs, although all text is kept', { timeout: 120_000 }, async ({ skip }) => {
  skip(!existsSync(airline), `${airline} is not here`)
  const addresses = new Set(readFileSync(airline, 'utf8').match(EMAIL))
  expect(addresses.size).toBe(33)
  const text = await importAll({ mode: 'full', packs: ['global', 'us'] })
  expect(found(addresses, text)).toEqual([])
  // All else is there: what was searched is what was kept.
  expect(text).toContain('[EMAIL]')
  expect(text).toContain('one stopover')
})

it('keeps no value of a customer unless it is asked to', { timeout: 120_000 }, async ({ skip }) => {
  skip(!existsSync(airline), `${airline} is not here`)
  const values = customerValues()
  expect(values.size).toBeGreaterThan(100)
  expect(found(values, await importAll({}))).toEqual([])
})

it('shows the shape of what tools said, and no value of it', { timeout: 120_000 }, async ({ skip }) => {
  skip(!existsSync(airline), `${airline} is not here`)
  const text = await importAll({ mode: 'keys' })
  expect(found(customerValues(), text)).toEqual([])
  expect(text).toContain('"payment_methods"')
})
