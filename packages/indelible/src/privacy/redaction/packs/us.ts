/** `us` and `ca`: numbers that persons and firms in the United States and Canada are known by. */
import { aba, dea, ein, itin, npi, sin, ssn } from '../checksums.ts'
import { NANP_BARE_RULE, NANP_RULE } from '../phones.ts'
import { alone, bare, type Check, type Pack, type Rule } from '../rule.ts'

const checked = (name: string, test: (text: string) => boolean): Check => ({
  name,
  test: (candidate) => test(bare(candidate)),
})

export const NPI_RULE: Rule = {
  id: 'us/npi',
  kind: 'NPI',
  what: 'National Provider Identifiers by Luhn, near *npi* or *provider*',
  patterns: [alone('[12][0-9]{9}')],
  digits: 10,
  alone: true,
  near: ['npi', 'provider'],
  check: checked('npi', npi),
}

export const US: Pack = {
  name: 'us',
  version: 1,
  what: 'United States',
  rules: [
    {
      id: 'us/ssn',
      kind: 'SSN',
      what: 'social security numbers as 3-2-4, without the areas, groups and serials that are never given',
      patterns: [alone('[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} |\\.[0-9]{2}\\.)[0-9]{4}')],
      digits: 9,
      alone: true,
      check: checked('ssn', ssn),
    },
    {
      id: 'us/ssn-bare',
      kind: 'SSN',
      what: 'nine bare digits, near *ssn*, *social security* or *taxpayer*',
      patterns: [alone('[0-9]{9}'), alone('[0-9]{3}[ -]{0,2}[0-9]{2}[ -]{0,2}[0-9]{4}')],
      digits: 9,
      alone: true,
      near: ['ssn', 'social security', 'soc sec', 'ss#', 'taxpayer', 'social'],
      check: checked('ssn', ssn),
    },
    {
      id: 'us/itin',
      kind: 'ITIN',
      what: 'individual taxpayer identification numbers, by their ranges',
      patterns: [alone('9[0-9]{2}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}')],
      digits: 9,
      alone: true,
      check: checked('itin', itin),
    },
    {
      id: 'us/itin-bare',
      kind: 'ITIN',
      what: 'the same without separators, near *itin*, *tin* or *taxpayer*',
      patterns: [alone('9[0-9]{8}')],
      digits: 9,
      alone: true,
      near: ['itin', 'tin', 'taxpayer', 'tax id'],
      check: checked('itin', itin),
    },
    {
      id: 'us/ein',
      kind: 'EIN',
      what: 'employer identification numbers by their prefixes, near *ein*, *fein*, *employer id* or *tax id*',
      patterns: [alone('[0-9]{2}-?[0-9]{7}')],
      digits: 9,
      alone: true,
      near: ['ein', 'fein', 'employer id', 'federal id', 'tax id'],
      check: checked('ein', ein),
    },
    {
      id: 'us/routing',
      kind: 'BANK_ROUTING',
      what: 'ABA routing numbers by weights 3-7-1, near *routing*, *aba*, *rtn*, *transit* or *ach*',
      patterns: [alone('[0-9]{9}'), alone('[0-9]{4}-[0-9]{4}-[0-9]')],
      digits: 9,
      alone: true,
      near: ['routing', 'aba', 'rtn', 'transit', 'ach'],
      check: checked('aba', aba),
    },
    {
      id: 'us/account',
      kind: 'BANK_ACCOUNT',
      what: 'account numbers of 8 to 17 digits, near *bank account*, *checking account*, *savings account*, *account number*',
      patterns: [alone('[0-9]{8,17}'), alone('[0-9]{3,6}[ -][0-9]{3,6}(?:[ -][0-9]{2,6})?')],
      digits: 8,
      alone: true,
      isWeak: true,
      near: [
        'bank account',
        'checking account',
        'savings account',
        'account number',
        'account no',
        'acct no',
        'acct number',
      ],
    },
    {
      id: 'us/driver-license',
      kind: 'DRIVER_LICENSE',
      what: 'driver licence numbers, where they are called so',
      patterns: [
        /(?<![A-Za-z])driv(?:er|ing)['’]?s?['’]? (?:license|licence|lic)[^0-9\r\n]{0,24}[^A-Za-z0-9]((?=[A-Z]{0,3}[0-9])[A-Z0-9]{5,14})(?![A-Za-z0-9])/gi,
      ],
      literals: ['driver', 'driving'],
    },
    NANP_RULE,
    NANP_BARE_RULE,
    NPI_RULE,
    {
      id: 'us/dea',
      kind: 'DEA_NUMBER',
      what: 'DEA registrations by their check digit, near *dea*',
      patterns: [/(?<![A-Za-z0-9])[A-HJ-MP-UX][A-Z9][0-9]{7}(?![A-Za-z0-9])/gi],
      literals: ['dea'],
      near: ['dea'],
      check: checked('dea', dea),
    },
    {
      id: 'us/mbi',
      kind: 'MEDICARE_ID',
      what: 'Medicare beneficiary identifiers by their alphabet',
      patterns: [
        /(?<![A-Za-z0-9])[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}(?![A-Za-z0-9])/g,
      ],
      literals: ['medicare', 'mbi', 'beneficiary', 'hic'],
      near: ['medicare', 'mbi', 'beneficiary', 'hic'],
    },
  ],
}

export const CA: Pack = {
  name: 'ca',
  version: 1,
  what: 'Canada',
  rules: [
    {
      id: 'ca/sin',
      kind: 'CA_SIN',
      what: 'social insurance numbers as 3-3-3 by Luhn, near *sin*, *social insurance*, *nas* or *tax*',
      patterns: [alone('[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}'), alone('[0-9]{9}')],
      digits: 9,
      alone: true,
      near: ['sin', 'social insurance', 'assurance sociale', 'nas', 'tax'],
      check: checked('sin', sin),
    },
    NANP_RULE,
    NANP_BARE_RULE,
    {
      id: 'ca/health-card',
      kind: 'CA_HEALTH_CARD',
      what: 'provincial health card numbers of 9 to 12 digits, near *health card*, *ohip*, *ramq*, *phn* or *msp*',
      patterns: [
        alone('[0-9]{4}[ -][0-9]{3}[ -][0-9]{3}(?:[ -]?[A-Z]{2})?'),
        alone('[0-9]{9,12}'),
        /(?<![A-Za-z0-9])[A-Z]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}(?![A-Za-z0-9])/g,
      ],
      digits: 8,
      isWeak: true,
      near: ['health card', 'health number', 'ohip', 'ramq', 'phn', 'msp'],
    },
    {
      id: 'ca/business-number',
      kind: 'CA_BUSINESS_NUMBER',
      what: 'business numbers with their program account, by Luhn',
      patterns: [alone('[0-9]{9} ?(?:RT|RP|RC|RZ|RR) ?[0-9]{4}')],
      digits: 9,
      alone: true,
      check: { name: 'luhn', test: (candidate) => sin(bare(candidate).slice(0, 9)) },
    },
  ],
}
