/** `global`: what people are reached by and pay with anywhere. */
import { CARD_RULE } from '../cards.ts'
import { iban, ibanLength, luhn, vin } from '../checksums.ts'
import { E164_RULE, PHONE_RULE } from '../phones.ts'
import { alone, bare, type Check, hasContext, type Pack, type Place } from '../rule.ts'

/** Printed in groups, an IBAN may be followed by words that look like one more group. */
const ibanCheck: Check = {
  name: 'iban',
  test: (candidate) => {
    const text = bare(candidate)
    const length = ibanLength(text.slice(0, 2))
    if (length === undefined || text.length < length || !iban(text.slice(0, length))) return false
    let taken = 0
    for (let i = 0; i < candidate.length; i++) {
      if (/[A-Za-z0-9]/.test(candidate[i]!)) taken++
      if (taken < length) continue
      return i + 1 === candidate.length || /[ -]/.test(candidate[i + 1]!) ? i + 1 : false
    }
    return false
  },
}

const IP_WORDS = [
  'ip',
  'ipv4',
  'address',
  'addr',
  'host',
  'client',
  'server',
  'remote',
  'peer',
  'dns',
  'ping',
  'gateway',
  'subnet',
  'connect',
  'listen',
  'blocked',
  'login',
  'logged in',
  'forwarded',
]
const VERSION_BEFORE =
  /(?:version|release|build|firmware|revision|upgrade|update|ver|sdk|rev|v)[a-z]{0,2}[ :=."'/-]{0,4}$/i

/** Four numbers with dots are a version as often: all of one or two digits count as an address only where they are called so. */
const ipv4: Check = {
  name: 'ipv4',
  test: (candidate, place) => {
    const numbers = candidate.split('.')
    if (numbers.some((number) => Number(number) > 255 || (number.length > 1 && number[0] === '0'))) return false
    const { text, start, end } = place
    if (VERSION_BEFORE.test(text.slice(Math.max(0, start - 20), start))) return false
    if (numbers.some((number) => number.length === 3)) return true
    return (
      /^(?::[0-9]{2,5}|\/[0-9]{1,2})(?![0-9])/.test(text.slice(end, end + 7)) ||
      text[start - 1] === '@' ||
      text.slice(Math.max(0, start - 3), start) === '://' ||
      hasContext(IP_WORDS, place)
    )
  },
}

/** RFC 4291 §2.2. Addresses of one group, such as the loopback one, are nobody's. */
const ipv6: Check = {
  name: 'ipv6',
  test: (candidate) => {
    const [head = '', tail, ...more] = candidate.split('::')
    if (more.length > 0) return false
    const groups = [
      ...(head === '' ? [] : head.split(':')),
      ...(tail === undefined || tail === '' ? [] : tail.split(':')),
    ]
    const dotted = groups.at(-1)?.includes('.') ?? false
    if (groups.slice(0, dotted ? -1 : undefined).some((group) => !/^[0-9A-Fa-f]{1,4}$/.test(group))) return false
    const count = groups.length + (dotted ? 1 : 0)
    return (tail === undefined ? count === 8 : count >= 2 && count < 8) && /[0-9]/.test(candidate)
  },
}

const LETTERS = 'A-Za-z\\u00c0-\\u024f\\u0370-\\u052f'
/** Of domains alone: names of mailboxes in them would take the words before along, which have no spaces between. */
const SCRIPTS = '\\u0600-\\u06ff\\u0900-\\u097f\\u3040-\\u9fff\\uac00-\\ud7af'
/** Whether what stands before the @ is the end of a password in a URL. */
function isPassword({ text, start }: Place): boolean {
  const before = text.slice(Math.max(0, start - 256), start)
  const scheme = before.lastIndexOf('://')
  return scheme >= 0 && /^[^\s/@]*:[^\s/]*$/.test(before.slice(scheme + 3))
}

const NOT_MAIL = /^git@|@[0-9]x\.|\.(?:png|jpe?g|gif|svg|webp|css|js|ts|json|md)$/i

const NUMBER_OF_BYTE = '(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})'

export const GLOBAL: Pack = {
  name: 'global',
  version: 1,
  what: 'what people are reached by and pay with anywhere',
  rules: [
    {
      id: 'global/email',
      kind: 'EMAIL',
      what: 'e-mail addresses, also with letters of other alphabets',
      patterns: [
        new RegExp(
          `(?<=([${LETTERS}0-9_][${LETTERS}0-9._%+'-]{0,63}))@` +
            `(?:[${LETTERS}${SCRIPTS}0-9-]{1,63}\\.){1,8}(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,40}|[${LETTERS}${SCRIPTS}]{2,12})`,
          'g',
        ),
      ],
      literals: ['@'],
      check: { name: 'mail', test: (candidate, place) => !NOT_MAIL.test(candidate) && !isPassword(place) },
    },
    CARD_RULE,
    {
      id: 'global/iban',
      kind: 'IBAN',
      what: 'IBANs, in groups or not, by the length of their country and mod 97',
      patterns: [
        /(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}[ -]?(?:[A-Z0-9][ -]?){10,29}[A-Z0-9](?![A-Za-z0-9])/g,
        /(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}(?![A-Za-z0-9])/g,
        /(?<![A-Za-z0-9])[a-z]{2}[0-9]{2}[a-z0-9]{11,30}(?![A-Za-z0-9])/g,
      ],
      shape: 'code',
      check: ibanCheck,
    },
    {
      id: 'global/ipv4',
      kind: 'IP_ADDRESS',
      what: 'IPv4 addresses; not what is called a version',
      patterns: [
        new RegExp(
          `(?<![A-Za-z0-9_]|[0-9A-Za-z][.])${NUMBER_OF_BYTE}(?:\\.${NUMBER_OF_BYTE}){3}(?![A-Za-z0-9_]|\\.[0-9A-Za-z]|[-+][A-Za-z0-9])`,
          'g',
        ),
      ],
      shape: 'dots',
      check: ipv4,
    },
    {
      id: 'global/ipv6',
      kind: 'IP_ADDRESS',
      what: 'IPv6 addresses of two groups and more',
      patterns: [/(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{1,38}[0-9A-Fa-f:](?:\.[0-9]{1,3}){0,3}(?![0-9A-Za-z:])/g],
      shape: 'colons',
      check: ipv6,
    },
    {
      id: 'global/mac',
      kind: 'MAC_ADDRESS',
      what: 'MAC addresses with colons or hyphens',
      patterns: [
        /(?<![0-9A-Za-z]|[0-9A-Fa-f][:-])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z]|[:-][0-9A-Fa-f])/g,
        /(?<![0-9A-Za-z]|[0-9A-Fa-f][:-])[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z]|[:-][0-9A-Fa-f])/g,
      ],
      shape: 'colons',
    },
    E164_RULE,
    {
      id: 'global/imei',
      kind: 'IMEI',
      what: 'IMEI numbers by Luhn, near *imei*',
      patterns: [alone('[0-9]{15}'), alone('[0-9]{2}[ -][0-9]{6}[ -][0-9]{6}[ -][0-9]')],
      digits: 15,
      alone: true,
      near: ['imei'],
      check: { name: 'luhn', test: (candidate) => luhn(bare(candidate)) },
    },
    {
      id: 'global/vin',
      kind: 'VIN',
      what: 'vehicle identification numbers by their check digit, near *vin*, *vehicle* or *chassis*',
      patterns: [/(?<![A-Za-z0-9])[A-HJ-NPR-Z0-9]{17}(?![A-Za-z0-9])/gi],
      literals: ['vin', 'vehicle', 'chassis'],
      near: ['vin', 'vehicle', 'chassis'],
      check: { name: 'vin', test: (candidate) => vin(candidate.toUpperCase()) },
    },
    {
      id: 'global/passport',
      kind: 'PASSPORT',
      what: 'passport numbers, near *passport*',
      patterns: [/passport[^0-9\r\n]{0,24}[^A-Za-z0-9]((?=[A-Z]{0,2}[0-9])[A-Z0-9]{6,9})(?![A-Za-z0-9])/gi],
      literals: ['passport'],
    },
    PHONE_RULE,
  ],
}
