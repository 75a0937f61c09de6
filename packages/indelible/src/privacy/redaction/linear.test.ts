/**
 * Built-in patterns run on the engine of the platform, which backtracks. This is why that takes linear time on any text.
 *
 * A pattern is tried from each place of a text. Let every try cost at most C steps, or read a run of characters that no
 * other try reads; then all tries together cost C times the length. The conditions, checked on every pattern:
 *
 * 1. No back-reference.
 * 2. Within a look-around, every repetition is bounded.
 * 3. A repetition without bound repeats one character class, stands in no repetition without bound, and what can follow it
 *    starts with a character that is not in the class, or is nothing: then there is one way only to match a run.
 * 4. A pattern that has one either cannot begin again within the run, because a look-behind forbids it or because its fixed
 *    beginning has a character that the class has not; or it ends with the run, and so takes it: the search goes on
 *    behind it. Where a check may refuse it, `scan.ts` goes on behind what is longer than LONGEST_RETRY.
 * 5. The choices that bounded repetitions leave multiply to a constant, here at most 2·10^6; the texts below show that the
 *    real cost is far from it.
 */
import { describe, expect, it } from 'vitest'
import { FORBIDDEN_RULES } from './cards.ts'
import { allPacks, rulesOf } from './packs/index.ts'
import { Scanner } from './scan.ts'

const rules = [...FORBIDDEN_RULES, ...rulesOf(allPacks())]
const patterns = rules.flatMap((rule) => rule.patterns.map((pattern) => ({ rule, pattern })))

type Node =
  | { readonly type: 'class'; readonly source: string }
  | { readonly type: 'sequence'; readonly items: readonly Node[] }
  | { readonly type: 'choice'; readonly options: readonly Node[] }
  | { readonly type: 'look'; readonly body: Node }
  | { readonly type: 'edge' }
  | { readonly type: 'repeat'; readonly body: Node; readonly least: number; readonly most: number }

/** Reads the part of the syntax that the rules use; throws for anything else. */
class Parser {
  #at = 0
  readonly #source: string
  constructor(source: string) {
    this.#source = source
  }

  parse(): Node {
    const node = this.#choice()
    if (this.#at < this.#source.length) throw new Error(`left over: ${this.#source.slice(this.#at)}`)
    return node
  }

  #eat(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #choice(): Node {
    const options = [this.#sequence()]
    while (this.#eat('|')) options.push(this.#sequence())
    return options.length === 1 ? options[0]! : { type: 'choice', options }
  }

  #sequence(): Node {
    const items: Node[] = []
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at]!)) items.push(this.#repeat())
    return { type: 'sequence', items }
  }

  #repeat(): Node {
    const body = this.#atom()
    const match = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})/.exec(this.#source.slice(this.#at))
    if (!match) return body
    this.#at += match[0].length
    if (/^[?+]/.test(this.#source.slice(this.#at))) throw new Error('lazy')
    const [whole, least, comma, most] = match
    if (whole === '*') return { type: 'repeat', body, least: 0, most: Infinity }
    if (whole === '+') return { type: 'repeat', body, least: 1, most: Infinity }
    if (whole === '?') return { type: 'repeat', body, least: 0, most: 1 }
    return { type: 'repeat', body, least: Number(least), most: most ? Number(most) : comma ? Infinity : Number(least) }
  }

  #atom(): Node {
    for (const open of ['(?<=', '(?<!', '(?=', '(?!']) {
      if (!this.#eat(open)) continue
      const body = this.#choice()
      if (!this.#eat(')')) throw new Error('no )')
      return { type: 'look', body }
    }
    if (this.#eat('(?:') || this.#eat('(')) {
      const body = this.#choice()
      if (!this.#eat(')')) throw new Error('no )')
      return body
    }
    const rest = this.#source.slice(this.#at)
    const edge = /^(?:\\b|\^|\$)/.exec(rest)
    if (edge) {
      this.#at += edge[0].length
      return { type: 'edge' }
    }
    const one = /^(?:\[(?:\\u[0-9a-f]{4}|\\.|[^\]\\])+\]|\\u[0-9a-f]{4}|\\[^1-9kpP]|[^\\()[\]{}*+?|])/i.exec(rest)
    if (!one) throw new Error(`not known: ${rest.slice(0, 20)}`)
    this.#at += one[0].length
    return { type: 'class', source: one[0] }
  }
}

const isUnbounded = (node: Node): boolean =>
  node.type === 'repeat'
    ? node.most === Infinity || isUnbounded(node.body)
    : node.type === 'sequence'
      ? node.items.some(isUnbounded)
      : node.type === 'choice'
        ? node.options.some(isUnbounded)
        : node.type === 'look' && isUnbounded(node.body)

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
const members = (source: string, flags: string) => {
  const one = new RegExp(`^${source}$`, flags.includes('i') ? 'is' : 's')
  return new Set(ASCII.filter((character) => one.test(character)))
}

/** Characters that what follows can start with; `null` among them if it can be nothing. */
function firsts(node: Node, flags: string): Set<string | null> {
  if (node.type === 'class') return members(node.source, flags)
  if (node.type === 'look' || node.type === 'edge') return new Set([null])
  if (node.type === 'choice') return new Set(node.options.flatMap((option) => [...firsts(option, flags)]))
  if (node.type === 'repeat') {
    const inside = firsts(node.body, flags)
    return node.least === 0 ? new Set([...inside, null]) : inside
  }
  return sequenceFirsts(node.items, flags)
}

function sequenceFirsts(items: readonly Node[], flags: string): Set<string | null> {
  const all = new Set<string | null>()
  for (const item of items) {
    const some = firsts(item, flags)
    for (const character of some) if (character !== null) all.add(character)
    if (!some.has(null)) return all
  }
  return all.add(null)
}

/** Condition 3. `after` is what follows the node, in order. */
function faultsOf(node: Node, flags: string, after: readonly Node[], isRepeated: boolean): string[] {
  switch (node.type) {
    case 'class':
    case 'edge':
      return []
    case 'look':
      return isUnbounded(node.body) ? ['a repetition without bound in a look-around'] : []
    case 'choice':
      return node.options.flatMap((option) => faultsOf(option, flags, after, isRepeated))
    case 'sequence':
      return node.items.flatMap((item, i) => faultsOf(item, flags, [...node.items.slice(i + 1), ...after], isRepeated))
    case 'repeat': {
      if (node.most !== Infinity) return faultsOf(node.body, flags, [node.body, ...after], isRepeated)
      if (isRepeated || node.body.type !== 'class') return ['a repetition without bound of more than a class']
      const own = members(node.body.source, flags)
      const next = sequenceFirsts(after, flags)
      const shared = [...next].filter((character) => character !== null && own.has(character))
      return shared.length > 0 ? [`what follows ${node.body.source} may start with ${shared.slice(0, 5).join('')}`] : []
    }
  }
}

/** Ways in which bounded repetitions can be chosen, where the next can start like the one before. */
function choices(node: Node, flags: string, after: readonly Node[] = []): number {
  switch (node.type) {
    case 'class':
    case 'edge':
      return 1
    case 'look':
      return choices(node.body, flags)
    case 'choice':
      return node.options.reduce((sum, option) => sum + choices(option, flags, after), 0)
    case 'sequence':
      return node.items.reduce((all, item, i) => all * choices(item, flags, [...node.items.slice(i + 1), ...after]), 1)
    case 'repeat': {
      const inner = choices(node.body, flags, after)
      if (node.most === Infinity) return 1
      const own = firsts(node.body, flags)
      const isAmbiguous = [...sequenceFirsts(after, flags)].some(
        (character) => character !== null && own.has(character),
      )
      const ways = node.most - node.least + 1
      // What cannot be told from what follows has to be tried in each length; the rest in one, and given back once.
      return (isAmbiguous ? ways : Math.min(ways, 2)) * Math.min(inner ** Math.min(node.most, 4), 1e9)
    }
  }
}

describe('every built-in pattern', () => {
  it('is understood, and has one way only to match a run of any length', () => {
    const faults = patterns.flatMap(({ rule, pattern }) =>
      faultsOf(new Parser(pattern.source).parse(), pattern.flags, [], false).map((fault) => `${rule.id}: ${fault}`),
    )
    expect(faults).toEqual([])
  })

  it('leaves a bounded number of choices at each place', () => {
    const many = patterns
      .map(({ rule, pattern }) => ({ id: rule.id, ways: choices(new Parser(pattern.source).parse(), pattern.flags) }))
      .filter(({ ways }) => ways > 2e6)
    expect(many).toEqual([])
  })

  it('is global, so that it says where it goes on', () => {
    expect(patterns.filter(({ pattern }) => !pattern.global || pattern.sticky || pattern.unicode)).toEqual([])
  })
})

/** Texts that begin what rules look for again and again, and never end it. */
const HOSTILE: readonly string[] = [
  ...new Set(rules.flatMap(({ literals = [], near = [] }) => [...literals, ...near])),
  ...[
    'a',
    '0',
    '4111',
    '4111 ',
    '4 ',
    '1.',
    '1.1.',
    'a@',
    'a@b.',
    '@',
    'a-@a-',
    'aa:',
    ':',
    '::',
    'GB82',
    'GB82 ',
    'ab12',
    '-',
    '. ',
    '((',
    '+1',
    '+1 ',
  ],
  ...[
    '-----BEGIN PRIVATE KEY-----',
    '-----BEGIN PRIVATE KEY-----a-',
    'eyJhbGciOi',
    'eyJhbGciOi.',
    'sk-',
    'ghp_',
    'SG.a.',
    'Bearer ',
    'authorization=<',
  ],
  ...[
    'password=',
    'password=<',
    'password is ',
    'token=x',
    'token: <',
    'https://a:',
    '://a',
    '://:',
    '%B4111111111111111^',
    '4111111111111111=',
    'cvv ',
  ],
  ...['\\', '\\n', '\\\\u', '%', '%41', '&#', '&#49;', '\u200b', '１', '{', '[', '{"a":', '"', '{"a":"', '\\"'],
]

describe('any text', () => {
  // A pattern that takes quadratic time would need hours for one of them.
  it('of 64 KiB is read in a while', { timeout: 120_000 }, () => {
    const scanner = new Scanner(rules)
    for (const piece of HOSTILE) {
      const text = piece.repeat(Math.ceil(65_536 / piece.length))
      for (const hit of scanner.find(text, 'phone')) expect(hit.end).toBeLessThanOrEqual(text.length)
    }
  })
})
