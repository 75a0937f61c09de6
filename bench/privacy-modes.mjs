/** What each mode costs a record, by the CPU that it takes: beside mode `none`, in the same run. */
import { join } from 'node:path'
import { createLog } from 'indelible'
import { child, table, withFolder } from './lib.mjs'

const EVENTS = 60_000
const ROUNDS = 3
const ALL_PACKS = '["us","eu","uk","ca","au","in","br","sg","hipaa","pci"]'
const SETTINGS = {
  none: { MODE: 'none' },
  fingerprint: { MODE: 'fingerprint' },
  'fingerprint, 3 rules': {
    MODE: 'none',
    RULES: '[{"tenant":"a-*","mode":"none"},{"type":"llm.*","mode":"none"},{"type":"tool.*","mode":"fingerprint"}]',
  },
  keys: { MODE: 'keys' },
  preview: { MODE: 'preview' },
  full: { MODE: 'full' },
  'full, encrypted': { MODE: 'full', ENCRYPT: 'true' },
}

export async function runModes() {
  await withFolder(async (folder) => {
    const rates = new Map(Object.keys(SETTINGS).map((name) => [name, []]))
    // In turn, so that a machine that is busy for a while is so for all of them.
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, settings] of Object.entries(SETTINGS)) {
        process.env.INDELIBLE_PRIVACY__PACKS = ALL_PACKS
        for (const [key, value] of Object.entries(settings)) process.env[`INDELIBLE_PRIVACY__${key}`] = value
        const home = join(folder, `${name.replaceAll(/[^a-z0-9]/g, '')}-${round}`)
        await createLog({ home, pins: null })
        rates.get(name).push(await child('record.mjs', home, EVENTS, 1000))
        for (const key of Object.keys(settings)) delete process.env[`INDELIBLE_PRIVACY__${key}`]
      }
    }
    const best = (name) => Math.max(...rates.get(name).map(({ rate }) => rate))
    const least = (name) => Math.min(...rates.get(name).map(({ cpu_us: cpu }) => cpu))
    table(
      Object.keys(SETTINGS).flatMap((name) => [
        {
          what: `record, mode ${name}`,
          found: best(name),
          unit: 'entries/s',
          limit: best('none'),
          ratio: best(name) / best('none'),
        },
        {
          what: '  its CPU',
          found: least(name),
          unit: 'µs',
          limit: least('none'),
          ratio: least(name) / least('none'),
          ...(name === 'fingerprint' && { target: '≤ 1.15' }),
        },
      ]),
    )
    console.log('\nlimit: mode none in the same run; the best of some rounds, in turn')
  })
}
