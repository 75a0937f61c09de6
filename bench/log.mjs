/** The figures of the embedded log, each beside a limit measured in the same run. */
import { join } from 'node:path'
import { createLog } from 'indelible'
import { child, rateOf, table, withFolder } from './lib.mjs'

export const describe = 'append, verify, index, query, prove on SQLite'

export async function run({ entries = 1_000_000 }) {
  await withFolder(async (folder) => {
    const make = async (name) => {
      const home = join(folder, name)
      return { home, ...(await createLog({ home, pins: null })) }
    }
    const limits = await child('limits.mjs', folder)

    const warm = await make('rate')
    const rate = await child('record.mjs', warm.home, 300_000, 1000, 0, 'index')
    // A disk that others use as well changes from minute to minute: its limit is measured on both sides.
    const before = await child('limits.mjs', folder, 'single')
    const single = await child('record.mjs', (await make('single')).home, 5000, 1)
    const after = await child('limits.mjs', folder, 'single')
    const rawSingle = (before.raw_single + after.raw_single) / 2
    const shared = await make('shared')
    const four = await Promise.all([0, 1, 2, 3].map((i) => child('record.mjs', shared.home, 50_000, 250, i * 50_000)))
    const fourRate = rateOf(four)
    const alone = await child('record.mjs', (await make('alone')).home, 200_000, 1000)

    const large = await make('large')
    await child('record.mjs', large.home, entries, 1000)
    const verify = await child('read.mjs', 'verify', large.home, large.macVerificationKey)
    const index = await child('read.mjs', 'index', large.home)
    const exported = await child('read.mjs', 'export', large.home)
    const open = await child('read.mjs', 'open', large.home)
    const pages = await child('read.mjs', 'pages', large.home)
    const proofs = await child('read.mjs', 'proofs', large.home, entries)

    const { raw_batch: raw } = limits
    table([
      {
        what: 'record, 1000 callers, indexed',
        found: rate.rate,
        unit: 'entries/s',
        limit: raw,
        ratio: rate.rate / raw,
        target: '≥ 60,000; ≥ 0.35',
      },
      {
        what: 'record, 1000 callers, no index',
        found: alone.rate,
        unit: 'entries/s',
        limit: raw,
        ratio: alone.rate / raw,
      },
      {
        what: 'record, one at a time',
        found: single.rate,
        unit: 'entries/s',
        limit: rawSingle,
        ratio: single.rate / rawSingle,
        target: '≥ 0.5',
      },
      {
        what: 'record, 4 processes, one log',
        found: fourRate,
        unit: 'entries/s',
        limit: alone.rate,
        ratio: fourRate / alone.rate,
        target: '≥ 0.6 of one',
      },
      {
        what: 'verify with mac key',
        found: verify.rate,
        unit: 'entries/s',
        limit: limits.sha256_500,
        ratio: verify.rate / limits.sha256_500,
        target: '≥ 150,000',
      },
      { what: 'verify, peak memory', found: verify.peak_mb, unit: 'MB', target: '< 300' },
      { what: 'index rebuild', found: index.rate, unit: 'entries/s' },
      { what: 'index rebuild, peak memory', found: index.peak_mb, unit: 'MB', target: '< 300' },
      { what: 'export', found: exported.rate, unit: 'entries/s' },
      { what: 'export, peak memory', found: exported.peak_mb, unit: 'MB', target: '< 300' },
      { what: `open a log of ${entries.toLocaleString('en')}`, found: open.ms, unit: 'ms', target: '< 100' },
      { what: 'show one run', found: pages.run_ms, unit: 'ms', target: '< 200' },
      { what: 'filtered page, p95', found: pages.p95_ms, unit: 'ms', target: '< 50' },
      { what: 'proof, p95', found: proofs.p95_ms, unit: 'ms', target: '< 5' },
      { what: 'SHA-256 of 590 bytes', found: limits.sha256_500, unit: '/s' },
      { what: 'HMAC-SHA-256 of 590 bytes', found: limits.hmac_500, unit: '/s' },
      { what: 'write 4 KiB and fsync', found: limits.fsync_4k, unit: '/s' },
    ])
  })
}
