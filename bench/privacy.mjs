/** The figures of redaction: all packs on, one core, texts of 1,024 characters. */
import { createRedactor } from '../packages/indelible/dist/privacy/redactor.js'
import { table } from './lib.mjs'
import { runModes } from './privacy-modes.mjs'

export const describe = 'redaction of texts, all packs on'

const PACKS = ['us', 'ca', 'uk', 'eu', 'au', 'in', 'br', 'sg', 'pci', 'hipaa']
const LENGTH = 1024
const ROUNDS = 7
const ROUND_MS = 300

const SENTENCES = [
  'The agent looked up the reservation and found two flights that match what the customer asked for.',
  'Flight HAT001 leaves at 06:38 on 2026-11-21 and arrives at 09:12; the fare is 154 dollars in economy.',
  'It has told the customer that basic economy cannot be changed, and that a certificate can be used once.',
  'The tool answered within 240 ms (request 550e8400-e29b-41d4-a716-446655440000, version 2.14.3).',
  'Nothing was booked: the seat map said 12A and 14C, and the payment was refused by policy 7.4.',
]
const prose = fill(SENTENCES.join(' '))
const french = fill('Le vol est confirmé : départ à 6 h 38, arrivée à 9 h 12, économie 154 €, café déjà servi à bord. ')
const record = {
  run: '550e8400-e29b-41d4-a716-446655440000',
  time: '2026-11-21T06:38:44.123Z',
  items: Array.from({ length: 6 }, (_, i) => ({
    flight: `HAT00${i}`,
    seats: 12 + i,
    price: 154.5,
    status: 'available',
  })),
  text: prose.slice(0, 560),
}
const hits = [' mail jane.doe@example.com, ', ' card 4111 1111 1111 1111. ', ' call (602) 272-9781 ']
const third = Math.floor((LENGTH - hits.join('').length) / 3)
const dirty = hits.map((hit, i) => prose.slice(i * third, (i + 1) * third) + hit).join('')

function fill(text) {
  return text.repeat(Math.ceil(LENGTH / text.length)).slice(0, LENGTH)
}

/** Calls of `work` per second of processor time, since others share the machine: the best of some rounds. */
function rateOf(work) {
  const until = performance.now() + ROUND_MS
  while (performance.now() < until) work()
  let best = 0
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage()
    let calls = 0
    let seconds = 0
    while (seconds < ROUND_MS / 1000) {
      work()
      if (++calls % 16 !== 0 && calls > 16) continue
      const { user, system } = process.cpuUsage(start)
      seconds = (user + system) / 1e6
    }
    best = Math.max(best, calls / seconds)
  }
  return best
}

function readOnce(text) {
  let sum = 0
  for (let i = 0; i < text.length; i++) sum = (sum + text.charCodeAt(i)) | 0
  return sum
}

export async function run() {
  const redactor = createRedactor({ packs: PACKS })
  const own = createRedactor({ packs: PACKS, patterns: [{ kind: 'EMPLOYEE', pattern: 'EMP-[0-9]{6}' }] })
  if (JSON.stringify(redactor.redact(prose).counts) !== '{}') throw new Error('the clean text is not clean')
  if (Object.values(redactor.redact(dirty).counts).join() !== '1,1,1')
    throw new Error('the other text has not three hits')
  const read = rateOf(() => readOnce(prose))
  const clean = rateOf(() => redactor.redact(prose))
  const rows = [
    { what: 'clean', rate: clean, target: '≥ 80,000' },
    { what: 'three hits', rate: rateOf(() => redactor.redact(dirty)), target: '≥ 12,000' },
    { what: 'clean, accents', rate: rateOf(() => redactor.redact(french)) },
    { what: 'clean, a record of 1 KB', rate: rateOf(() => redactor.redact(record)) },
    { what: 'clean, the same as JSON in a string', rate: rateOf(() => redactor.redact(JSON.stringify(record))) },
    { what: 'clean, an own pattern as well', rate: rateOf(() => own.redact(prose)) },
  ]
  const long = (text) => text.repeat(1024)
  const perKb = (text) => 1024 * rateOf(() => redactor.redact(long(text)))
  table([
    ...rows.map(({ what, rate, target }) => ({
      what,
      found: rate,
      unit: 'texts/s',
      limit: read,
      ratio: rate / read,
      target,
    })),
    {
      what: 'clean, 1 MiB in one text',
      found: perKb(prose),
      unit: 'KB/s',
      limit: clean,
      ratio: perKb(prose) / clean,
      target: 'linear: about 1',
    },
    {
      what: 'three hits per KB, 1 MiB',
      found: perKb(dirty),
      unit: 'KB/s',
      limit: rows[1].rate,
      ratio: perKb(dirty) / rows[1].rate,
      target: 'linear: about 1',
    },
  ])
  console.log('\nlimit: a loop that reads each character of the text once; for 1 MiB, the rate of 1 KB texts\n')
  await runModes()
}
