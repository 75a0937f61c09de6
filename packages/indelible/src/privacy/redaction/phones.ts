/** Telephone numbers: E.164, North America, and numbers that only their surroundings give away. */
import { alone, type Check, isCalledOtherwise, type Rule } from './rule.ts'

/** Country calling codes in use (ITU-T E.164, list of assigned codes), each as a prefix. */
const CALLING_CODES = new Set(
  (
    '1 7 20 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 ' +
    '242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 27 290 ' +
    '291 297 298 299 30 31 32 33 34 350 351 352 353 354 355 356 357 358 359 36 370 371 372 373 374 375 376 377 378 380 ' +
    '381 382 383 385 386 387 389 39 40 41 420 421 423 43 44 45 46 47 48 49 500 501 502 503 504 505 506 507 508 509 51 52 ' +
    '53 54 55 56 57 58 590 591 592 593 594 595 596 597 598 599 60 61 62 63 64 65 66 670 672 673 674 675 676 677 678 679 ' +
    '680 681 682 683 685 686 687 688 689 690 691 692 800 808 81 82 84 850 852 853 855 856 86 870 878 880 881 882 883 886 ' +
    '888 90 91 92 93 94 95 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 98 992 993 994 995 996 998'
  ).split(' '),
)

const hasCallingCode = (digits: string) => [1, 2, 3].some((length) => CALLING_CODES.has(digits.slice(0, length)))

/** North American numbering plan: area code and exchange start with 2 to 9, and neither is N11; no area code has a 9 inside. */
const NANP = /^[2-9](?!11)[0-8]\d[2-9](?!11)\d\d\d{4}$/

const digitsOf = (text: string) => text.replace(/[^0-9]/g, '')
const DATE = /^\(?(?:\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)\d\d)(?!\d)/

const nanp: Check = {
  name: 'nanp',
  test: (candidate) => {
    const digits = digitsOf(candidate.replace(/(?:x|ext).*$/i, ''))
    return NANP.test(digits.slice(-10)) && /^(?:1|001)?$/.test(digits.slice(0, -10))
  },
}

const e164: Check = {
  name: 'e164',
  test: (candidate) => {
    // (0) is not dialled from abroad.
    const length = longestNumber(candidate, 15, (text) => {
      const digits = digitsOf(text.replace('(0)', ''))
      return digits[0] === '1'
        ? digits.length === 11 && NANP.test(digits.slice(1))
        : digits.length >= 8 && hasCallingCode(digits)
    })
    return length
  },
}

const national: Check = {
  name: 'phone',
  test: (candidate) => {
    if (DATE.test(candidate)) return false
    return longestNumber(candidate, 15, (text) => digitsOf(text).length >= 7)
  },
}

/** Length of the longest part of `candidate` that ends between groups, has up to `most` digits, and passes. */
function longestNumber(candidate: string, most: number, passes: (text: string) => boolean): number | false {
  let digits = 0
  const ends: number[] = []
  for (let i = 0; i < candidate.length; i++) {
    const isDigit = candidate[i]! >= '0' && candidate[i]! <= '9'
    if (!isDigit) continue
    if (++digits > most) break
    const next = candidate[i + 1]
    if (next === undefined || next < '0' || next > '9') ends.push(i + 1)
  }
  for (const end of ends.reverse()) if (passes(candidate.slice(0, end))) return end
  return false
}

/** Numbers without any separator are less sure. */
export const notAnOrder: Check = {
  name: 'not-an-order',
  test: (candidate, place) => /[^0-9]/.test(candidate) || !isCalledOtherwise(place),
}

const EXTENSION = '(?:[ ,]{0,2}(?:x|ext\\.?|extension)[ .:]{0,2}[0-9]{1,6})?'

/** Words around a telephone number. */
export const PHONE_WORDS = [
  'phone',
  'tel',
  'telefon',
  'mobile',
  'mobil',
  'cell',
  'fax',
  'whatsapp',
  'hotline',
  'dial',
  'sms',
  'voicemail',
  'landline',
  'call me',
  'call us',
  'call him',
  'call her',
  'call them',
  'call at',
  'call on',
  'call back',
  'calling',
  'callback',
  'caller',
  'text me',
  'reach me',
  'reach him',
  'reach her',
  'reached at',
  'reach us',
  'answering at',
  'messages to',
  'contact number',
  'desk',
  'office',
]

export const E164_RULE: Rule = {
  id: 'global/e164',
  kind: 'PHONE',
  what: 'telephone numbers with + and a country calling code in use (E.164)',
  patterns: [/(?<![A-Za-z0-9+])\+[0-9][0-9 ()./-]{5,22}[0-9](?![A-Za-z0-9])/g],
  literals: ['+'],
  digits: 8,
  check: e164,
}

export const PHONE_RULE: Rule = {
  id: 'global/phone',
  kind: 'PHONE',
  what: 'other telephone numbers of 7 to 15 digits, near a word such as *phone* or *fax*',
  patterns: [/(?<![A-Za-z0-9]|[0-9][-./])[(+]?[0-9][0-9 ()./-]{5,22}[0-9](?:x[0-9]{1,6})?(?![A-Za-wyz0-9])/g],
  digits: 7,
  near: PHONE_WORDS,
  isWeak: true,
  check: national,
}

/** In every pack of North America. */
export const NANP_RULE: Rule = {
  id: 'us/phone',
  kind: 'PHONE',
  what: 'North American telephone numbers as they are written, with extensions',
  patterns: [
    new RegExp(
      `(?<![A-Za-z0-9]|[0-9][-.])(?:(?:\\+?1|001)[ .-]{0,2})?(?:\\([2-9][0-9]{2}\\)[ .-]{0,2}|[2-9][0-9]{2}[ .-]{1,2}|[2-9][0-9]{2}/)` +
        `[2-9][0-9]{2}[ .-]{1,2}[0-9]{4}${EXTENSION}(?![A-Za-z0-9]|[-.][0-9])`,
      'gi',
    ),
  ],
  digits: 10,
  left: true,
  check: nanp,
}

/** Ten bare digits may be anything. */
export const NANP_BARE_RULE: Rule = {
  id: 'us/phone-bare',
  kind: 'PHONE',
  what: 'ten or eleven digits that can be a North American telephone number, near a word such as *phone*',
  patterns: [alone(`1?[2-9][0-9]{9}${EXTENSION}`, 'i')],
  digits: 10,
  left: true,
  near: PHONE_WORDS,
  isWeak: true,
  check: nanp,
}
