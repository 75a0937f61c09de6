/** Checksums of numbers that people are known by. All take digits and capitals without separators, of the right length. */

const digit = (text: string, i: number) => text.charCodeAt(i) - 48

function weighted(text: string, weights: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum += digit(text, i) * weights[i]!
  return sum
}

/** ISO/IEC 7812-1 annex B. */
export function luhn(digits: string): boolean {
  let sum = 0
  for (let i = digits.length - 1, double = false; i >= 0; i--, double = !double) {
    const value = digit(digits, i) * (double ? 2 : 1)
    sum += value > 9 ? value - 9 : value
  }
  return sum % 10 === 0
}

/** Remainder of a number of any length; letters count as two digits, `A` as 10 (ISO/IEC 7064). */
export function mod(text: string, modulus: number): number {
  let rest = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    rest = code < 58 ? (rest * 10 + code - 48) % modulus : (rest * 100 + code - 55) % modulus
  }
  return rest
}

/** Lengths by country, from the SWIFT IBAN registry. */
const IBAN_LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ' +
    'ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 ' +
    'LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 ' +
    'PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
)

/** Length that the IBANs of a country have. */
export function ibanLength(country: string): number | undefined {
  return IBAN_LENGTHS.get(country)
}

/** ISO 13616: mod 97 of the number with its first four characters moved to its end. */
export function iban(text: string): boolean {
  return text.length === ibanLength(text.slice(0, 2)) && mod(text.slice(4) + text.slice(0, 4), 97) === 1
}

const VERHOEFF_D = [
  '0123456789',
  '1234067895',
  '2340178956',
  '3401289567',
  '4012395678',
  '5987604321',
  '6598710432',
  '7659821043',
  '8765932104',
  '9876543210',
]
const VERHOEFF_P = [
  '0123456789',
  '1576283094',
  '5803796142',
  '8916043527',
  '9453126870',
  '4286573901',
  '2793806415',
  '7046913258',
]

export function verhoeff(digits: string): boolean {
  let check = 0
  for (let i = 0; i < digits.length; i++) {
    const value = digit(digits, digits.length - 1 - i)
    check = digit(VERHOEFF_D[check]!, digit(VERHOEFF_P[i % 8]!, value))
  }
  return check === 0
}

/** UIDAI: 12 digits, the first 2 to 9, no palindrome. */
export function aadhaar(digits: string): boolean {
  return digits[0]! >= '2' && [...digits].reverse().join('') !== digits && verhoeff(digits)
}

const isRepeated = (text: string) => text === text[0]!.repeat(text.length)

/** Receita Federal: 11 digits, two check digits. */
export function cpf(digits: string): boolean {
  if (isRepeated(digits)) return false
  return [9, 10].every((n) => {
    let sum = 0
    for (let i = 0; i < n; i++) sum += digit(digits, i) * (n + 1 - i)
    return ((sum * 10) % 11) % 10 === digit(digits, n)
  })
}

/** Receita Federal: 14 characters, two check digits; letters count by their code, as from July 2026. */
export function cnpj(text: string): boolean {
  if (isRepeated(text)) return false
  return [12, 13].every((n) => {
    let sum = 0
    for (let i = 0; i < n; i++) sum += (text.charCodeAt(i) - 48) * (((n - 1 - i) % 8) + 2)
    const rest = sum % 11
    return (rest < 2 ? 0 : 11 - rest) === digit(text, n)
  })
}

/** NHS data dictionary: weights 10 to 2, mod 11. */
export function nhs(digits: string): boolean {
  const check = 11 - (weighted(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)
  return check !== 10 && (check === 11 ? 0 : check) === digit(digits, 9)
}

/** Canada's social insurance number: 9 digits, Luhn, none starts with 0 or 8. */
export function sin(digits: string): boolean {
  return digits[0] !== '8' && !isRepeated(digits) && luhn(digits)
}

/** Australian tax file number, 9 digits. */
export function tfn(digits: string): boolean {
  return !isRepeated(digits) && weighted(digits, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 === 0
}

/** Australian business number, 11 digits: 1 less in the first, mod 89. */
export function abn(digits: string): boolean {
  return (weighted(digits, [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) - 10) % 89 === 0 && digits[0] !== '0'
}

/** Australian Medicare card, 10 digits or 11 with the person's. */
export function medicare(digits: string): boolean {
  return /^[2-6]/.test(digits) && weighted(digits, [1, 3, 7, 9, 1, 3, 7, 9]) % 10 === digit(digits, 8)
}

/** Singapore NRIC and FIN: a letter, 7 digits, a letter. */
export function nric(text: string): boolean {
  const first = text[0]!
  const sum =
    weighted(text.slice(1), [2, 7, 6, 5, 4, 3, 2]) + (first === 'T' || first === 'G' ? 4 : first === 'M' ? 3 : 0)
  if (first === 'M') return 'XWUTRQPNJLK'[10 - (sum % 11)] === text[8]
  return (first === 'S' || first === 'T' ? 'JZIHGFEDCBA' : 'XWUTRQPNMLK')[sum % 11] === text[8]
}

/** National Provider Identifier, 10 digits: Luhn behind 80840. */
export function npi(digits: string): boolean {
  return /^[12]/.test(digits) && luhn(`80840${digits}`)
}

/** DEA registration: two letters, 7 digits. */
export function dea(text: string): boolean {
  const d = (i: number) => digit(text, i + 2)
  return (d(0) + d(2) + d(4) + 2 * (d(1) + d(3) + d(5))) % 10 === d(6)
}

/** ABA routing number, 9 digits: weights 3, 7, 1; the first two name a Federal Reserve district. */
export function aba(digits: string): boolean {
  const district = Number(digits.slice(0, 2))
  const isDistrict =
    district <= 12 || (district >= 21 && district <= 32) || (district >= 61 && district <= 72) || district === 80
  return isDistrict && !isRepeated(digits) && weighted(digits, [3, 7, 1, 3, 7, 1, 3, 7, 1]) % 10 === 0
}

/** Social Security Administration: areas, groups and serials that are never given. */
export function ssn(digits: string): boolean {
  const [area, group, serial] = [digits.slice(0, 3), digits.slice(3, 5), digits.slice(5)]
  return area !== '000' && area !== '666' && area < '900' && group !== '00' && serial !== '0000' && !isRepeated(digits)
}

/** IRS: 9, two digits, a group of 50-65, 70-88, 90-92 or 94-99. */
export function itin(digits: string): boolean {
  const group = Number(digits.slice(3, 5))
  return digits[0] === '9' && group >= 50 && ![66, 67, 68, 69, 89, 93].includes(group)
}

/** IRS: prefixes of the employer identification number that have not been given. */
export function ein(digits: string): boolean {
  return !/^(?:00|07|08|09|17|18|19|28|29|49|69|70|78|79|89|96|97)/.test(digits) && !isRepeated(digits)
}

/** German tax identification number, 11 digits: ISO/IEC 7064 mod 11,10; one of ten digits stands twice or three times. */
export function steuerId(digits: string): boolean {
  const counts = new Map<string, number>()
  for (const one of digits.slice(0, 10)) counts.set(one, (counts.get(one) ?? 0) + 1)
  const repeated = [...counts.values()].filter((n) => n > 1)
  if (digits[0] === '0' || repeated.length !== 1 || repeated[0]! > 3) return false
  let product = 10
  for (let i = 0; i < 10; i++) {
    const sum = (digit(digits, i) + product) % 10 || 10
    product = (sum * 2) % 11
  }
  return (11 - product) % 10 === digit(digits, 10)
}

/** French NIR, 13 characters and a key of two digits; Corsica's departments are 2A and 2B. */
export function nir(text: string): boolean {
  const number = text.slice(0, 13).replace('2A', '19').replace('2B', '18')
  return /^\d{13}$/.test(number) && 97 - mod(number, 97) === Number(text.slice(13))
}

/** Spanish DNI, 8 digits and a letter, and NIE, which starts with X, Y or Z in place of the first digit. */
export function dni(text: string): boolean {
  const number = text.slice(0, 8).replace('X', '0').replace('Y', '1').replace('Z', '2')
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[Number(number) % 23] === text[8]
}

const CODICE_ODD = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]

/** Italian codice fiscale, 16 characters. */
export function codiceFiscale(text: string): boolean {
  let sum = 0
  for (let i = 0; i < 15; i++) {
    const code = text.charCodeAt(i)
    const value = code < 58 ? code - 48 : code - 65
    sum += i % 2 === 0 ? CODICE_ODD[value]! : value
  }
  return String.fromCharCode(65 + (sum % 26)) === text[15]
}

/** Dutch burgerservicenummer, 9 digits. */
export function bsn(digits: string): boolean {
  return !isRepeated(digits) && weighted(digits, [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0
}

/** Polish PESEL, 11 digits that start with a date of birth; the century is in the month. */
export function pesel(digits: string): boolean {
  const [month, day] = [Number(digits.slice(2, 4)) % 20, Number(digits.slice(4, 6))]
  return month >= 1 && month <= 12 && isDay(day) && weighted(digits, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 === 0
}

/** Swedish personnummer, the last 10 digits; coordination numbers have 60 more in the day. */
export function personnummer(digits: string): boolean {
  const ten = digits.slice(-10)
  const [month, day] = [Number(ten.slice(2, 4)), Number(ten.slice(4, 6)) % 60]
  return month >= 1 && month <= 12 && isDay(day) && luhn(ten)
}

/** Finnish henkilötunnus without its separator: 6 digits of a date, 3 digits, a character. */
export function hetu(text: string): boolean {
  const [day, month] = [Number(text.slice(0, 2)), Number(text.slice(2, 4))]
  const check = '0123456789ABCDEFHJKLMNPRSTUVWXY'[Number(text.slice(0, 9)) % 31]
  return isDay(day) && month >= 1 && month <= 12 && check === text[9]
}

/** Belgian rijksregisternummer, 11 digits; a 2 goes before those born from 2000 on. */
export function rijksregister(digits: string): boolean {
  const [number, check] = [digits.slice(0, 9), Number(digits.slice(9))]
  return 97 - mod(number, 97) === check || 97 - mod(`2${number}`, 97) === check
}

/** Portuguese NIF, 9 digits. */
export function nif(digits: string): boolean {
  const check = 11 - (weighted(digits, [9, 8, 7, 6, 5, 4, 3, 2]) % 11)
  return /^[1235689]/.test(digits) && (check > 9 ? 0 : check) === digit(digits, 8)
}

/** Irish PPS number: 7 digits, one or two letters. */
export function pps(text: string): boolean {
  const second = text.length > 8 ? text.charCodeAt(8) - 64 : 0
  return 'WABCDEFGHIJKLMNOPQRSTUV'[(weighted(text, [8, 7, 6, 5, 4, 3, 2]) + 9 * second) % 23] === text[7]
}

/** Vehicle identification number, 49 CFR 565: 17 characters, the ninth is the check. */
export function vin(text: string): boolean {
  const values = '0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ'
  const weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]
  let sum = 0
  for (let i = 0; i < 17; i++) sum += (values.indexOf(text[i]!) % 10) * weights[i]!
  return '0123456789X'[sum % 11] === text[8]
}

function isDay(day: number): boolean {
  return day >= 1 && day <= 31
}
