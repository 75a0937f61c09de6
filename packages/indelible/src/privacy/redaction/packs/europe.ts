/** `uk` and `eu`: numbers that persons and firms in Europe are known by. */
import {
  bsn,
  codiceFiscale,
  dni,
  hetu,
  nhs,
  nif,
  nir,
  personnummer,
  pesel,
  pps,
  rijksregister,
  steuerId,
} from '../checksums.ts'
import { notAnOrder } from '../phones.ts'
import { alone, bare, type Check, type Pack, type Rule } from '../rule.ts'

const checked = (name: string, test: (text: string) => boolean): Check => ({
  name,
  test: (candidate) => test(bare(candidate)),
})

export const UK: Pack = {
  name: 'uk',
  version: 1,
  what: 'United Kingdom',
  rules: [
    {
      id: 'uk/nhs',
      kind: 'UK_NHS',
      what: 'NHS numbers by mod 11: as 3-3-4 near *nhs* or *patient*, bare near *nhs*',
      patterns: [alone('[0-9]{3}[ -][0-9]{3}[ -][0-9]{4}'), alone('[0-9]{10}')],
      digits: 10,
      alone: true,
      near: ['nhs', 'patient', 'health service'],
      check: checked('nhs', nhs),
    },
    {
      id: 'uk/nino',
      kind: 'UK_NINO',
      what: 'national insurance numbers, by prefixes and suffixes that are given',
      patterns: [
        /(?<![A-Za-z0-9])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-D](?![A-Za-z0-9])/g,
      ],
      shape: 'code',
    },
    {
      id: 'uk/nino-spaced',
      kind: 'UK_NINO',
      what: 'the same with a space behind the letters or in small letters, near *national insurance*, *nino* or *ni number*',
      patterns: [
        /(?<![A-Za-z0-9])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-D](?![A-Za-z0-9])/gi,
      ],
      near: ['national insurance', 'nino', 'ni number', 'ni no'],
    },
    {
      id: 'uk/phone',
      kind: 'PHONE',
      what: 'telephone numbers as they are written: 07… mobiles, 01…, 02…, 03… with a space or brackets',
      patterns: [
        alone('07[0-9]{3} ?[0-9]{3} ?[0-9]{3}'),
        alone('\\(?0[123][0-9]{2,3}\\)?[ -][0-9]{3,4}[ -]?[0-9]{3,4}'),
        alone('\\(?02[0-9]\\)?[ -][0-9]{4}[ -]?[0-9]{4}'),
      ],
      digits: 10,
      alone: true,
      check: notAnOrder,
    },
    {
      id: 'uk/sort-code',
      kind: 'BANK_ACCOUNT',
      what: 'sort codes and account numbers, near *sort code* or *account*',
      patterns: [
        /(?<=sort[ _-]?code[^0-9\r\n]{0,12})([0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2})(?![0-9])/gi,
        alone('[0-9]{8}'),
      ],
      literals: ['sort'],
      near: ['sort code'],
    },
    {
      id: 'uk/driving-licence',
      kind: 'DRIVER_LICENSE',
      what: 'driving licence numbers of 16 characters',
      patterns: [/(?<![A-Za-z0-9])[A-Z9]{5}[0-9][0156][0-9][0-3][0-9]{2}[A-Z9]{2}[0-9][A-Z]{2}(?![A-Za-z0-9])/g],
      literals: ['licen', 'driv', 'dvla'],
      near: ['licen', 'driv', 'dvla'],
    },
    {
      id: 'uk/utr',
      kind: 'UK_UTR',
      what: 'unique taxpayer references, near *utr* or *taxpayer reference*',
      patterns: [alone('[0-9]{5} ?[0-9]{5}')],
      digits: 10,
      alone: true,
      near: ['utr', 'taxpayer reference'],
    },
  ],
}

/** A number with a checksum that many others pass as well: it counts near words alone. */
function national(
  name: string,
  kind: string,
  what: string,
  sources: readonly string[],
  near: readonly string[],
  check: Check,
): Rule {
  return {
    id: `eu/${name}`,
    kind,
    what,
    patterns: sources.map((source) => alone(source, 'i')),
    digits: 9,
    alone: true,
    near,
    check,
  }
}

const BIRTH_NUMBER = '(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}'

export const EU: Pack = {
  name: 'eu',
  version: 1,
  what: 'Germany, France, Spain, Italy, Netherlands, Poland, Sweden, Finland, Denmark, Belgium, Portugal, Ireland; VAT numbers',
  rules: [
    national(
      'de-tax-id',
      'DE_TAX_ID',
      'German tax identification numbers, by mod 11,10 and their repeated digit, near *steuer*, *idnr*, *tin* or *tax id*',
      ['[0-9]{11}', '[0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}'],
      ['steuer', 'idnr', 'tin', 'tax id'],
      checked('mod-11-10', steuerId),
    ),
    {
      id: 'eu/fr-nir',
      kind: 'FR_NIR',
      what: 'French social security numbers, by their key',
      patterns: [alone('[1-478] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}')],
      digits: 15,
      alone: true,
      check: checked('nir', nir),
    },
    {
      id: 'eu/fr-nir-corsica',
      kind: 'FR_NIR',
      what: 'the same of departments 2A and 2B',
      patterns: [alone('[1-478] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?2[AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}')],
      literals: ['2a', '2b'],
      digits: 8,
      check: checked('nir', nir),
    },
    {
      id: 'eu/es-dni',
      kind: 'ES_DNI',
      what: 'Spanish DNI and NIE, by their letter',
      patterns: [
        alone('[0-9]{8}-?[A-HJ-NP-TV-Z]'),
        alone('[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]'),
        alone('[0-9]{2}\\.[0-9]{3}\\.[0-9]{3}-?[A-HJ-NP-TV-Z]'),
      ],
      digits: 7,
      check: checked('dni', dni),
    },
    {
      id: 'eu/it-codice-fiscale',
      kind: 'IT_CODICE_FISCALE',
      what: 'Italian codice fiscale, by its check letter',
      patterns: [
        /(?<=((?<![A-Za-z0-9])[A-Z]{6}))[0-9]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z](?![A-Za-z0-9])/gi,
      ],
      shape: 'fiscal',
      check: checked('codice-fiscale', codiceFiscale),
    },
    national(
      'nl-bsn',
      'NL_BSN',
      'Dutch BSN, by mod 11, near *bsn*, *burgerservice* or *sofi*',
      ['[0-9]{9}', '[0-9]{4}[ .][0-9]{2}[ .][0-9]{3}', '[0-9]{3}[ .][0-9]{3}[ .][0-9]{3}'],
      ['bsn', 'burgerservice', 'sofi'],
      checked('bsn', bsn),
    ),
    national(
      'pl-pesel',
      'PL_PESEL',
      'Polish PESEL, by date and checksum, near *pesel*',
      ['[0-9]{11}'],
      ['pesel'],
      checked('pesel', pesel),
    ),
    {
      id: 'eu/se-personnummer',
      kind: 'SE_PERSONNUMMER',
      what: 'Swedish personnummer with its separator, by date and Luhn; bare near *personnummer*, *personnr* or *pnr*',
      patterns: [alone(BIRTH_NUMBER)],
      digits: 10,
      alone: true,
      check: checked('personnummer', personnummer),
    },
    national(
      'se-personnummer-bare',
      'SE_PERSONNUMMER',
      'the same without separator',
      ['(?:19|20)?[0-9]{10}'],
      ['personnummer', 'personnr', 'person nr', 'pnr'],
      checked('personnummer', personnummer),
    ),
    {
      id: 'eu/fi-hetu',
      kind: 'FI_HETU',
      what: 'Finnish henkilötunnus, by date and check character',
      patterns: [
        /(?<=((?<![A-Za-z0-9]|[0-9][-.])[0-9]{6}))[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y](?![A-Za-z0-9]|[-.][0-9])/g,
      ],
      shape: 'digits',
      check: { name: 'hetu', test: (candidate) => hetu((candidate.slice(0, 6) + candidate.slice(7)).toUpperCase()) },
    },
    national(
      'dk-cpr',
      'DK_CPR',
      'Danish CPR numbers, near *cpr* or *personnummer*',
      ['[0-9]{6}[- ]?[0-9]{4}'],
      ['cpr', 'personnummer'],
      { name: 'date', test: (candidate) => /^(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2])/.test(candidate) },
    ),
    {
      id: 'eu/be-rijksregister',
      kind: 'BE_RIJKSREGISTER',
      what: 'Belgian national numbers as 00.00.00-000.00, by mod 97; bare near *rijksregister*, *registre national* or *insz*',
      patterns: [alone('[0-9]{2}[.][0-9]{2}[.][0-9]{2}[- ][0-9]{3}[.][0-9]{2}')],
      digits: 11,
      alone: true,
      check: checked('mod-97', rijksregister),
    },
    national(
      'be-rijksregister-bare',
      'BE_RIJKSREGISTER',
      'the same without separators',
      ['[0-9]{11}'],
      ['rijksregister', 'registre national', 'insz', 'niss'],
      checked('mod-97', rijksregister),
    ),
    national(
      'pt-nif',
      'PT_NIF',
      'Portuguese NIF, by mod 11, near *nif* or *contribuinte*',
      ['[0-9]{9}', '[0-9]{3} [0-9]{3} [0-9]{3}'],
      ['nif', 'contribuinte'],
      checked('nif', nif),
    ),
    {
      id: 'eu/ie-pps',
      kind: 'IE_PPS',
      what: 'Irish PPS numbers, by their letter, near *pps*',
      patterns: [alone('[0-9]{7}[A-W][A-IW]?', 'i')],
      digits: 7,
      near: ['pps', 'ppsn'],
      check: checked('pps', pps),
    },
    {
      id: 'eu/vat',
      kind: 'VAT_NUMBER',
      what: 'VAT numbers by country prefix, near *vat*, *ust*, *tva*, *iva*, *btw*, *moms* or *nip*',
      patterns: [
        /(?<![A-Za-z0-9])(?:ATU|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI)[ ]?[A-Z0-9]?[0-9]{6,11}[A-Z]?(?:B[0-9]{2})?(?![A-Za-z0-9])/g,
      ],
      shape: 'digits',
      near: ['vat', 'ust-id', 'ustid', 'umsatzsteuer', 'tva', 'iva', 'btw', 'moms', 'nip'],
    },
    {
      id: 'eu/fr-phone',
      kind: 'PHONE',
      what: 'French and Belgian telephone numbers in pairs',
      patterns: [alone('0[1-9](?:[ .-][0-9]{2}){4}'), alone('04[0-9]{2}(?:[ .-][0-9]{2}){3}')],
      digits: 10,
      alone: true,
    },
  ],
}
