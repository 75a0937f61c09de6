/** `au`, `in`, `br`, `sg`: numbers that persons and firms there are known by. */
import { aadhaar, abn, cnpj, cpf, medicare, nric, tfn } from '../checksums.ts'
import { notAnOrder, PHONE_WORDS } from '../phones.ts'
import { alone, bare, type Check, type Pack } from '../rule.ts'

const checked = (name: string, test: (text: string) => boolean): Check => ({
  name,
  test: (candidate) => test(bare(candidate)),
})

export const AU: Pack = {
  name: 'au',
  version: 1,
  what: 'Australia',
  rules: [
    {
      id: 'au/tfn',
      kind: 'AU_TFN',
      what: 'tax file numbers by mod 11, near *tfn* or *tax file*',
      patterns: [alone('[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}')],
      digits: 9,
      alone: true,
      near: ['tfn', 'tax file'],
      check: checked('tfn', tfn),
    },
    {
      id: 'au/abn',
      kind: 'AU_ABN',
      what: 'business numbers by mod 89: as 2-3-3-3, bare near *abn* or *business number*',
      patterns: [alone('[0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}')],
      digits: 11,
      alone: true,
      check: checked('abn', abn),
    },
    {
      id: 'au/abn-bare',
      kind: 'AU_ABN',
      what: 'the same without spaces',
      patterns: [alone('[0-9]{11}')],
      digits: 11,
      alone: true,
      near: ['abn', 'business number'],
      check: checked('abn', abn),
    },
    {
      id: 'au/medicare',
      kind: 'AU_MEDICARE',
      what: 'Medicare cards by their check digit: as 4-5-1 or bare, near *medicare*',
      patterns: [alone('[2-6][0-9]{3}[ -]?[0-9]{5}[ -]?[0-9](?:[ /-]?[0-9])?')],
      digits: 10,
      alone: true,
      near: ['medicare'],
      check: checked('medicare', medicare),
    },
    {
      id: 'au/phone',
      kind: 'PHONE',
      what: 'mobiles as 04xx xxx xxx, landlines as (0x) xxxx xxxx',
      patterns: [
        alone('04[0-9]{2} ?[0-9]{3} ?[0-9]{3}'),
        alone('\\(0[2378]\\) ?[0-9]{4} ?[0-9]{4}'),
        alone('0[2378] [0-9]{4} [0-9]{4}'),
      ],
      digits: 10,
      alone: true,
      check: notAnOrder,
    },
  ],
}

export const IN: Pack = {
  name: 'in',
  version: 1,
  what: 'India',
  rules: [
    {
      id: 'in/aadhaar',
      kind: 'IN_AADHAAR',
      what: 'Aadhaar numbers as 4-4-4 by Verhoeff',
      patterns: [alone('(?<![A-Za-z0-9]-)[2-9][0-9]{3}(?: [0-9]{4} |-[0-9]{4}-)[0-9]{4}(?!-[A-Za-z0-9])')],
      digits: 12,
      alone: true,
      check: checked('verhoeff', aadhaar),
    },
    {
      id: 'in/aadhaar-bare',
      kind: 'IN_AADHAAR',
      what: 'the same without separators, near *aadhaar*, *aadhar* or *uid*',
      patterns: [alone('[2-9][0-9]{11}')],
      digits: 12,
      alone: true,
      near: ['aadhaar', 'aadhar', 'adhaar', 'uidai', 'uid'],
      check: checked('verhoeff', aadhaar),
    },
    {
      id: 'in/pan',
      kind: 'IN_PAN',
      what: 'permanent account numbers by the letter of their holder; in small letters near *pan*',
      patterns: [/(?<![A-Za-z0-9])[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z](?![A-Za-z0-9])/g],
      literals: ['pan', 'permanent account', 'tax'],
      near: ['pan', 'permanent account', 'income tax', 'tax'],
    },
    {
      id: 'in/gstin',
      kind: 'IN_GSTIN',
      what: 'GST identification numbers',
      patterns: [/(?<![A-Za-z0-9])[0-3][0-9][A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z](?![A-Za-z0-9])/g],
      literals: ['gst'],
      near: ['gst', 'gstin'],
    },
    {
      id: 'in/phone',
      kind: 'PHONE',
      what: 'mobiles as 5-5; ten bare digits near a word such as *phone*',
      patterns: [alone('(?:0|91[ -]?)?[6-9][0-9]{4}[ -]?[0-9]{5}')],
      digits: 10,
      alone: true,
      near: PHONE_WORDS,
    },
    {
      id: 'in/voter',
      kind: 'IN_VOTER_ID',
      what: 'voter identity cards, near *voter*, *epic* or *election*',
      patterns: [alone('[A-Z]{3}[0-9]{7}')],
      digits: 7,
      near: ['voter', 'epic', 'election'],
    },
  ],
}

export const BR: Pack = {
  name: 'br',
  version: 1,
  what: 'Brazil',
  rules: [
    {
      id: 'br/cpf',
      kind: 'BR_CPF',
      what: 'CPF as 000.000.000-00, by its two check digits',
      patterns: [alone('[0-9]{3}\\.[0-9]{3}\\.[0-9]{3}[-/.][0-9]{2}')],
      digits: 11,
      alone: true,
      check: checked('cpf', cpf),
    },
    {
      id: 'br/cpf-bare',
      kind: 'BR_CPF',
      what: 'the same without separators, near *cpf* or *contribuinte*',
      patterns: [alone('[0-9]{11}'), alone('[0-9]{9}-[0-9]{2}')],
      digits: 11,
      alone: true,
      near: ['cpf', 'contribuinte', 'cadastro'],
      check: checked('cpf', cpf),
    },
    {
      id: 'br/cnpj',
      kind: 'BR_CNPJ',
      what: 'CNPJ as 00.000.000/0000-00, also with letters, by its two check digits',
      patterns: [/(?<=((?<![A-Za-z0-9])[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}))\/[0-9A-Z]{4}-[0-9]{2}(?![A-Za-z0-9])/g],
      literals: ['/'],
      check: checked('cnpj', cnpj),
    },
    {
      id: 'br/cnpj-bare',
      kind: 'BR_CNPJ',
      what: 'the same without separators, near *cnpj*',
      patterns: [alone('[0-9]{14}')],
      digits: 14,
      alone: true,
      near: ['cnpj'],
      check: checked('cnpj', cnpj),
    },
    {
      id: 'br/phone',
      kind: 'PHONE',
      what: 'telephone numbers with an area code in brackets',
      patterns: [alone('\\([1-9][0-9]\\) ?(?:9[ .]?)?[0-9]{4}[ .-]?[0-9]{4}')],
      digits: 10,
      alone: true,
    },
  ],
}

export const SG: Pack = {
  name: 'sg',
  version: 1,
  what: 'Singapore',
  rules: [
    {
      id: 'sg/nric',
      kind: 'SG_NRIC',
      what: 'NRIC and FIN, by their check letter',
      patterns: [alone('[STFGM][0-9]{7}[A-Z]')],
      digits: 7,
      check: checked('nric', nric),
    },
    {
      id: 'sg/nric-small',
      kind: 'SG_NRIC',
      what: 'the same in small letters, near *nric*',
      patterns: [alone('[stfgm][0-9]{7}[a-z]')],
      digits: 7,
      near: ['nric'],
      check: checked('nric', nric),
    },
    {
      id: 'sg/phone',
      kind: 'PHONE',
      what: 'telephone numbers of eight digits, near a word such as *phone*',
      patterns: [alone('[3689][0-9]{3}[ -]?[0-9]{4}')],
      digits: 8,
      alone: true,
      near: PHONE_WORDS,
    },
    {
      id: 'sg/uen',
      kind: 'SG_UEN',
      what: 'entity numbers, near *uen*',
      patterns: [alone('(?:[0-9]{8,9}[A-Z]|[TSR][0-9]{2}[A-Z]{2}[0-9]{4}[A-Z])')],
      literals: ['uen'],
      near: ['uen'],
    },
  ],
}
