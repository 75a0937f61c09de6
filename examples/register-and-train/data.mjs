/** The dataset: split by a seed, and as numbers. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const SPECIES = ['setosa', 'versicolor', 'virginica']

/** Writes `train/iris.csv` and `test/iris.csv` into `folder`. */
export function split(folder, { seed, testShare }) {
  const [header, ...rows] = readFileSync(new URL('iris.csv', import.meta.url), 'utf8')
    .trim()
    .split('\n')
  shuffle(rows, seed)
  const size = Math.round(rows.length * testShare)
  const parts = { test: rows.slice(0, size), train: rows.slice(size) }
  for (const [name, lines] of Object.entries(parts)) {
    mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(join(folder, name, 'iris.csv'), `${[header, ...lines].join('\n')}\n`)
  }
  return { train: parts.train.length, test: parts.test.length }
}

/** Measures in cm, and the index of the species as a vector of one 1. */
export function load(folder, name) {
  const [, ...rows] = readFileSync(join(folder, name, 'iris.csv'), 'utf8')
    .trim()
    .split('\n')
  const cells = rows.map((row) => row.split(','))
  return {
    x: cells.map((row) => row.slice(0, 4).map(Number)),
    y: cells.map((row) => SPECIES.map((species) => Number(species === row[4]))),
  }
}

/** Fisher-Yates with a small generator (mulberry32): what is wanted is the same order each time, not a good one. */
function shuffle(rows, seed) {
  let state = seed
  const random = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  for (let i = rows.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[rows[i], rows[j]] = [rows[j], rows[i]]
  }
}
