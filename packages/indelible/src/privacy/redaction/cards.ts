/** Payment cards: numbers, verification codes, track data. */
import { luhn } from './checksums.ts'
import { alone, bare, type Check, hasContext, isCalledOtherwise, type Rule } from './rule.ts'

/** What issuers put in front, with the lengths of their numbers; ISO/IEC 7812 ranges as the networks publish them. */
const BRANDS: readonly (readonly [prefix: RegExp, least: number, most: number])[] = [
  [/^4/, 13, 13],
  [/^4/, 16, 16],
  [/^4/, 19, 19],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, 16, 16],
  [/^3[47]/, 15, 15],
  [/^(?:6011|64[4-9]|65)/, 16, 19],
  [/^(?:30[0-5]|3095|36|3[89])/, 14, 14],
  [/^35(?:2[89]|[3-8])/, 16, 19],
  [/^(?:1800|2131)/, 15, 15],
  [/^(?:62|81)/, 16, 19],
  [/^220[0-4]/, 16, 19],
  [/^(?:60|82|508)/, 16, 16],
  [/^(?:5018|5020|5038|5893|6304|6759|676[1-3])/, 13, 19],
]

/** With a word such as *card* near it, any number that an issuer could have given; Maestro's start at 12 digits. */
const WITH_CONTEXT: readonly (readonly [prefix: RegExp, least: number, most: number])[] = [
  [/^(?:50|5[6-8]|6)/, 12, 19],
  [/^(?:[3-6]|2[2-7]|9792|1800|2131)/, 13, 19],
]

export const CARD_WORDS = [
  'card',
  'cc',
  'credit',
  'debit',
  'maestro',
  'visa',
  'mastercard',
  'amex',
  'pan',
  'payment',
  'karte',
  'carte',
  'tarjeta',
  'carta',
  'cartao',
  'kaart',
]

const card: Check = {
  name: 'luhn+iin',
  test: (candidate, place) => {
    const digits = bare(candidate)
    if (!luhn(digits)) return false
    const isOf = (brands: typeof BRANDS) =>
      brands.some(([prefix, least, most]) => digits.length >= least && digits.length <= most && prefix.test(digits))
    if (isOf(BRANDS) && (candidate.length > digits.length || !isCalledOtherwise(place))) return true
    return isOf(WITH_CONTEXT) && hasContext(CARD_WORDS, place)
  },
}

const S = '[ .-]{1,2}'

export const CARD_RULE: Rule = {
  id: 'global/card',
  kind: 'CREDIT_CARD',
  what: 'payment cards of 13 to 19 digits by issuer range and Luhn; of 12 digits (Maestro) near a word such as *card*',
  patterns: [
    /(?<![A-Za-z0-9]|[0-9][-.]|[0-9a-f]{4}-)[0-9]{12,19}(?![A-Za-z0-9]|[-.][0-9])/g,
    alone(`[0-9]{4}${S}[0-9]{4}${S}[0-9]{4}${S}[0-9]{4}`),
    alone(`[0-9]{4}${S}[0-9]{4}${S}[0-9]{4}${S}[0-9]{4}${S}[0-9]{2,3}`),
    alone(`[0-9]{4}${S}[0-9]{4}${S}[0-9]{4}${S}[0-9]{1,3}`),
    alone(`[0-9]{4}${S}[0-9]{4}${S}[0-9]{4}`),
    alone(`[0-9]{4}${S}[0-9]{6}${S}[0-9]{4,5}`),
    alone(`[0-9]{8}${S}[0-9]{8}`),
    alone(`[0-9](?:[ -][0-9]){11,18}`),
  ],
  digits: 12,
  alone: true,
  check: card,
}

const luhnOfFirst: Check = { name: 'luhn', test: (candidate) => luhn(/[0-9]{12,19}/.exec(candidate)![0]) }

/** What the card industry forbids to keep (PCI DSS 3.3): not part of any pack, because it goes in every mode. */
export const FORBIDDEN_RULES: readonly Rule[] = [
  {
    id: 'forbidden/track-1',
    kind: 'TRACK_DATA',
    what: 'magnetic stripe data of a card, track 1 (ISO/IEC 7813)',
    patterns: [/%?B[0-9]{12,19}\^[^^?\r\n]{2,26}\^[0-9]{4}[^?\r\n]{0,64}\??/g],
    literals: ['^'],
    check: luhnOfFirst,
  },
  {
    id: 'forbidden/track-2',
    kind: 'TRACK_DATA',
    what: 'the same, track 2, and its equivalent on chips',
    patterns: [/(?<=((?<![0-9]);?[0-9]{12,19}))[=D][0-9]{7,32}\??(?![0-9])/g],
    shape: 'digits',
    check: luhnOfFirst,
  },
  {
    id: 'forbidden/cvv',
    kind: 'CVV',
    what: 'card verification codes (CVV, CVC, CID, CSC) that are called so',
    patterns: [
      /(?<![a-z])(?:cvv2?|cvc2?|csc|cvn2?|cav2?|(?:card )?(?:security|verification) (?:code|number|value)|cid)[^a-z0-9]{0,6}(?:(?:code|number|no|nr|is|was|of|on the back)[^a-z0-9]{1,4}){0,3}([0-9]{3,4})(?![0-9A-Za-z]|[-.][0-9])/gi,
    ],
    literals: ['cvv', 'cvc', 'csc', 'cvn', 'cav', 'security', 'verification', 'cid'],
  },
]
