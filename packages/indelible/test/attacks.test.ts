/** The table of attacks is complete: what it lists is tried, and every finding that there is comes of an attack. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES } from '../src/errors.ts'
import { FINDING_CODES } from '../src/verify/report.ts'
import { ATTACKS } from './attack-table.ts'

const directory = fileURLToPath(new URL('.', import.meta.url))
const tests = readdirSync(directory)
  .filter((name) => /^attacks-.*\.test\.ts$/.test(name))
  .map((name) => readFileSync(`${directory}/${name}`, 'utf8'))
  .join('\n')

describe('the table of attacks', () => {
  it('names each attack once', () => {
    expect(new Set(ATTACKS.map(({ id }) => id)).size).toBe(ATTACKS.length)
    expect(new Set(ATTACKS.map(({ attack }) => attack)).size).toBe(ATTACKS.length)
  })

  it('has a test for each of them', () => {
    const tried = new Set(Array.from(tests.matchAll(/'([a-z]+(?:-[a-z0-9]+)*)'/g), ([, id]) => id))
    expect(ATTACKS.map(({ id }) => id).filter((id) => !tried.has(id))).toEqual([])
  })

  it('knows every finding and error that it speaks of', () => {
    const known = new Set<string>([...FINDING_CODES, ...ERROR_CODES])
    expect(ATTACKS.filter(({ finding }) => !known.has(finding))).toEqual([])
  })

  it('has an attack for every finding', () => {
    const caught = new Set<string>(ATTACKS.map(({ finding }) => finding))
    expect(FINDING_CODES.filter((code) => !caught.has(code))).toEqual([])
  })
})
