/** The airline agent's runs, kept in full, and one customer who has the right to be forgotten. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { importFile } from '../src/import/import.ts'
import { openLog } from '../src/log/home.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { openQuery } from '../src/query/home-query.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { configure } from './erase-kit.ts'
import { expectVerified, testHome } from './faults-kit.ts'

const airline = fileURLToPath(new URL('../../../../shared/data/airline-trajectories.json', import.meta.url))

interface Message {
  readonly name?: string
  readonly content?: string | null
}

/** What the tool said of a customer that is told of nobody else, but for the e-mail address: that is redacted on its way in. */
function detailsOf(customer: string): string[] {
  const runs = JSON.parse(readFileSync(airline, 'utf8')) as { traj: Message[] }[]
  const values = new Set<string>()
  for (const { content, name } of runs.flatMap(({ traj }) => traj)) {
    if (name !== 'get_user_details' || !content?.startsWith('{')) continue
    const {
      email,
      address,
      payment_methods: methods,
    } = JSON.parse(content) as {
      email: string
      address: { address1: string }
      payment_methods: Record<string, unknown>
    }
    const [first, last] = customer.split('_') as [string, string]
    if (!email.startsWith(`${first}.${last}`)) continue
    for (const value of [address.address1, ...Object.keys(methods)]) values.add(value)
  }
  return [...values]
}

it('are forgotten in every file, while the log stays proven', async ({ skip }) => {
  skip(!existsSync(airline), `${airline} is not here`)
  const customer = 'sophia_silva_7557'
  const values = [customer, ...detailsOf(customer)]
  expect(values.length).toBeGreaterThan(4)
  const made = await testHome()
  configure(made.home, { mode: 'full', subjects: { '*.user_id': '', '*.task.user_id': '' } })
  const log = await openLog({ home: made.home })
  await importFile(log, airline, { from: 'chat' })
  await (await openQuery({ home: made.home })).close()
  const held = () => {
    const files = readdirSync(made.home, { withFileTypes: true, recursive: true }).filter((file) => file.isFile())
    const contents = files.map(({ parentPath, name }) => readFileSync(join(parentPath, name)))
    return values.filter((value) => contents.some((content) => content.includes(value)))
  }
  expect(held()).toEqual(values)
  const indexes: number[] = []
  for await (const index of log.subjectEntries(customer)) indexes.push(index)
  const { entry, proof } = await log.prove(indexes[1]!)

  const receipt = await log.erase({ subject: customer, wholeRuns: true, reason: 'gdpr-17', by: 'dpo' })
  expect(receipt).toMatchObject({ state: 'done', waiting: [] })
  expect(receipt.entries).toBeGreaterThan(indexes.length)
  expect(held()).toEqual([])

  expect(checkProof(proof, entry, { origin: made.origin, keys: [parseVkey(made.vkey)] }).index).toBe(indexes[1])
  await log.close()
  await expectVerified(made)
  expect(held()).toEqual([])
  await using query = await openQuery({ home: made.home })
  expect(await query.count({ text: 'sophia silva' })).toBe(0)
  expect(await query.count({ type: 'tool.start' })).toBe(862)
})
