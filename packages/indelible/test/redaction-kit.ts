/** Made-up texts with secrets and telephone numbers in them, and texts that look as if; the same for the same seed. */

/** mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const DIGITS = '0123456789'
const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const UPPER = LOWER.toUpperCase()
const HEX = '0123456789abcdef'
const ALNUM = DIGITS + LOWER + UPPER
const BASE64 = `${ALNUM}+/`

/** Draws from one seed. */
export class Draw {
  readonly random: () => number

  constructor(seed: number) {
    this.random = seeded(seed)
  }

  int(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1))
  }

  pick<T>(from: readonly T[] | string): T {
    return from[this.int(0, from.length - 1)] as T
  }

  text(length: number, alphabet: string): string {
    return Array.from({ length }, () => this.pick<string>(alphabet)).join('')
  }

  digits(length: number): string {
    return this.text(length, DIGITS)
  }
}

export interface Labelled {
  readonly text: string
  readonly value: string
  readonly kinds: readonly string[]
}

const SECRETS: readonly (readonly [kind: string, make: (draw: Draw) => string])[] = [
  ['AWS_KEY', (draw) => `${draw.pick(['AKIA', 'ASIA'])}${draw.text(16, `${UPPER}234567`)}`],
  ['GITHUB_TOKEN', (draw) => `${draw.pick(['ghp', 'gho', 'ghs', 'ghu', 'ghr'])}_${draw.text(36, ALNUM)}`],
  ['GITHUB_TOKEN', (draw) => `github_pat_${draw.text(22, ALNUM)}_${draw.text(59, ALNUM)}`],
  ['GITLAB_TOKEN', (draw) => `glpat-${draw.text(20, `${ALNUM}-_`)}`],
  ['SLACK_TOKEN', (draw) => `xoxb-${draw.digits(12)}-${draw.digits(12)}-${draw.text(24, ALNUM)}`],
  ['STRIPE_KEY', (draw) => `${draw.pick(['sk', 'rk'])}_live_${draw.text(24, ALNUM)}`],
  ['OPENAI_KEY', (draw) => `sk-${draw.pick(['', 'proj-'])}${draw.text(48, ALNUM)}`],
  ['ANTHROPIC_KEY', (draw) => `sk-ant-api03-${draw.text(86, `${ALNUM}-_`)}`],
  ['HUGGINGFACE_TOKEN', (draw) => `hf_${draw.text(34, LOWER + UPPER)}`],
  ['GOOGLE_KEY', (draw) => `AIza${draw.text(35, `${ALNUM}-_`)}`],
  ['NPM_TOKEN', (draw) => `npm_${draw.text(36, ALNUM)}`],
  ['JWT', (draw) => `eyJ${draw.text(33, ALNUM)}.eyJ${draw.text(60, `${ALNUM}-_`)}.${draw.text(43, `${ALNUM}-_`)}`],
  [
    'PRIVATE_KEY',
    (draw) => {
      const lines = Array.from({ length: 4 }, () => draw.text(64, BASE64)).join('\n')
      const name = draw.pick(['RSA ', 'EC ', 'OPENSSH ', ''])
      return `-----BEGIN ${name}PRIVATE KEY-----\n${lines}\n-----END ${name}PRIVATE KEY-----`
    },
  ],
]

const AROUND: readonly (readonly [before: string, after: string])[] = [
  ['The deployment failed because ', ' was revoked yesterday.'],
  ['export API=', '\nnpm run start'],
  ['{"config":{"value":"', '","retries":3}}'],
  ['curl https://api.example.com/v1/items -H "X-Auth: ', '" -d @body.json'],
  ['Error: request with credential ', ', status 401, at index.js:12:5'],
  ['', ''],
]

/** A text with one token of a provider. */
export function secretText(draw: Draw): Labelled {
  const [kind, make] = draw.pick(SECRETS)
  const [before, after] = draw.pick(AROUND)
  const value = make(draw)
  return { text: before + value + after, value, kinds: [kind] }
}

const ASSIGNED: readonly (readonly [kinds: readonly string[], make: (value: string) => string])[] = [
  [['PASSWORD'], (value) => `password=${value}`],
  [['PASSWORD'], (value) => `DB_PASSWORD: "${value}"`],
  [['PASSWORD'], (value) => `login with --password ${value} and retry`],
  [['SECRET'], (value) => `api_key = '${value}'`],
  [['SECRET'], (value) => `client_secret: ${value}`],
  [['SECRET'], (value) => `export ACCESS_TOKEN=${value}`],
  [['AUTHORIZATION'], (value) => `Authorization: Bearer ${value}`],
  [['AUTHORIZATION'], (value) => `-H "authorization: Basic ${value}"`],
  [['CREDENTIALS'], (value) => `postgres://app:${value}@db.internal:5432/prod`],
  [['CREDENTIALS'], (value) => `https://deploy:${value}@git.example.com/repo.git`],
  [['CONNECTION_SECRET', 'SECRET'], (value) => `AccountName=store;AccountKey=${value};EndpointSuffix=core`],
]

/** A text in which a value is a secret because of what is said about it. */
export function assignedText(draw: Draw): Labelled {
  const [kinds, make] = draw.pick(ASSIGNED)
  const value = `${draw.pick(LOWER)}${draw.text(draw.int(14, 30), ALNUM)}${draw.pick(DIGITS)}${draw.pick(UPPER)}`
  return { text: `${draw.pick(['', 'config: ', 'line 3\n'])}${make(value)}`, value, kinds }
}

const PHONE_FORMS: readonly ((a: string, b: string, c: string) => string)[] = [
  (a, b, c) => `(${a}) ${b}-${c}`,
  (a, b, c) => `(${a})${b}-${c}`,
  (a, b, c) => `${a}-${b}-${c}`,
  (a, b, c) => `${a}.${b}.${c}`,
  (a, b, c) => `${a} ${b} ${c}`,
  (a, b, c) => `+1 ${a} ${b} ${c}`,
  (a, b, c) => `+1-${a}-${b}-${c}`,
  (a, b, c) => `+1${a}${b}${c}`,
  (a, b, c) => `1-${a}-${b}-${c}`,
  (a, b, c) => `001-${a}-${b}-${c}`,
  (a, b, c) => `${a}-${b}-${c} x123`,
  (a, b, c) => `(${a}) ${b}-${c} ext. 4587`,
]
const PHONE_TEXTS: readonly (readonly [before: string, after: string])[] = [
  ['Please call me back at ', ' before noon.'],
  ['Phone: ', '\nE-mail: none'],
  ['{"contact":"', '"}'],
  ['She left ', ' as her number'],
  ['', ''],
  ['Customer (', ') asked for a refund of 120 dollars on 2026-11-21.'],
]

/** A text with a number of the North American plan. */
export function phoneText(draw: Draw): Labelled {
  const area = `${draw.int(2, 9)}${draw.int(0, 8)}${draw.int(2, 9)}`
  const exchange = `${draw.int(2, 9)}${draw.int(2, 9)}${draw.digits(1)}`
  const line = draw.digits(4)
  const isBare = draw.random() < 0.1
  const value = isBare ? `${area}${exchange}${line}` : draw.pick(PHONE_FORMS)(area, exchange, line)
  const [before, after] = draw.pick(isBare ? PHONE_TEXTS.slice(0, 2) : PHONE_TEXTS)
  return { text: before + value + after, value, kinds: ['PHONE'] }
}

const hex = (draw: Draw, length: number) => draw.text(length, HEX)

/** Things with many digits or letters that are nobody's. */
export const HARMLESS: Readonly<Record<string, (draw: Draw) => string>> = {
  uuid: (draw) =>
    `${hex(draw, 8)}-${hex(draw, 4)}-${draw.pick(['4', '7'])}${hex(draw, 3)}-${draw.pick('89ab')}${hex(draw, 3)}-${hex(draw, 12)}`,
  hash: (draw) => hex(draw, draw.pick([32, 40, 64, 128])),
  'ISO timestamp': (draw) => {
    const text = new Date(draw.int(0, 2_000_000_000_000)).toISOString()
    return draw.pick([
      text,
      text.slice(0, 19),
      text.slice(0, 10),
      text.replace('T', ' ').slice(0, 19),
      text.replace('Z', '+05:30'),
      text.replace(/[-:]|\.\d+/g, ''),
      `${Date.parse(text)}`,
      `${Math.floor(Date.parse(text) / 1000)}`,
    ])
  },
  'order number': (draw) =>
    draw.pick([
      `ORD-${draw.int(2019, 2027)}-${draw.digits(6)}`,
      `#${draw.digits(draw.int(4, 8))}`,
      `order ${draw.digits(draw.int(6, 11))}`,
      `${draw.digits(3)}-${draw.digits(7)}-${draw.digits(7)}`,
      `PO${draw.digits(8)}`,
      `order no. ${draw.digits(16)}`,
      `${draw.text(2, UPPER)}${draw.digits(9)}${draw.text(2, UPPER)}`,
      `1Z${draw.text(16, DIGITS + UPPER)}`,
    ]),
  'flight number': (draw) =>
    draw.pick([
      `${draw.text(2, UPPER)}${draw.digits(draw.int(1, 4))}`,
      `${draw.text(2, UPPER)} ${draw.digits(draw.int(2, 4))}`,
      `HAT${draw.digits(3)}`,
      `flight ${draw.text(2, UPPER)}${draw.digits(4)} to ${draw.text(3, UPPER)} on 2026-05-${draw.int(10, 28)}`,
      `${draw.text(6, UPPER + DIGITS)}`,
    ]),
  'base64 of random bytes': (draw) =>
    Buffer.from(Array.from({ length: draw.int(12, 96) }, () => draw.int(0, 255))).toString(
      draw.pick(['base64', 'base64url'] as const),
    ),
  'version string': (draw) =>
    draw.pick([
      `${draw.int(0, 30)}.${draw.int(0, 99)}.${draw.int(0, 300)}`,
      `v${draw.int(0, 30)}.${draw.int(0, 99)}.${draw.int(0, 300)}`,
      `${draw.int(0, 30)}.${draw.int(0, 99)}.${draw.int(0, 99)}.${draw.int(0, 99)}`,
      `version ${draw.int(0, 30)}.${draw.int(0, 99)}.${draw.int(0, 255)}.${draw.int(0, 255)}`,
      `${draw.int(0, 30)}.${draw.int(0, 99)}.${draw.int(0, 99)}-beta.${draw.int(1, 30)}+build.${draw.digits(8)}`,
      `10.0.${draw.int(10_000, 26_000)}.${draw.int(1, 9000)}`,
      `lodash@${draw.int(0, 9)}.${draw.int(0, 99)}.${draw.int(0, 99)}`,
      `^${draw.int(0, 9)}.${draw.int(0, 99)}.0 || >=${draw.int(1, 9)}.0.0 <${draw.int(1, 9)}.0.0-0`,
    ]),
}
