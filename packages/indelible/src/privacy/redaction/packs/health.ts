/** `hipaa` and `pci`: what two sets of rules are about, oriented at them; no pattern makes a text de-identified. */
import { CARD_RULE } from '../cards.ts'
import { alone, type Pack } from '../rule.ts'
import { US } from './us.ts'

const MONTH = '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]{0,6}\\.?'
const DATES = [
  '(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12][0-9]|3[01])',
  '(?:0?[1-9]|[12][0-9]|3[01])[-/. ](?:0?[1-9]|[12][0-9]|3[01])[-/. ](?:(?:19|20)[0-9]{2}|[0-9]{2})',
  `(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?[ -](?:of )?${MONTH},?[ -](?:19|20)[0-9]{2}`,
  `${MONTH}[ -](?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?,?[ -](?:19|20)[0-9]{2}`,
].map((source) => new RegExp(`(?<![A-Za-z0-9]|[0-9][-./])(?:${source})(?![A-SU-Za-z0-9]|[-./][0-9])`, 'gi'))

const BIRTH_WORDS = ['birth', 'born', 'dob', 'd.o.b', 'bday', 'geboren', 'naissance', 'nacid', 'nascita']
const CARE_WORDS = [
  'admitted',
  'admission',
  'discharge',
  'deceased',
  'died',
  'death',
  'surgery',
  'procedure date',
  'date of service',
  'dos',
  'visit',
  'encounter',
  'specimen',
]

/** How a word goes on that says whose number it is: `policy number`, `policyNo`, `policy_id`, `policy #`. */
function numberOf(word: string): string[] {
  return ['', ' ', '_', '-'].flatMap((gap) => ['n', 'i', '#'].map((next) => word + gap + next))
}

export const HIPAA: Pack = {
  name: 'hipaa',
  version: 1,
  what: 'oriented at the identifiers of 45 CFR 164.514(b)(2) that have a form: those of `us`, dates, ages, ZIP codes, record numbers',
  rules: [
    ...US.rules,
    {
      id: 'hipaa/date-of-birth',
      kind: 'DATE_OF_BIRTH',
      what: 'dates near *birth*, *born* or *dob*',
      patterns: DATES,
      near: BIRTH_WORDS,
    },
    {
      id: 'hipaa/date-of-care',
      kind: 'DATE',
      what: 'dates near *admitted*, *discharge*, *died*, *surgery*, *visit* and the like',
      patterns: DATES,
      near: CARE_WORDS,
    },
    {
      id: 'hipaa/age',
      kind: 'AGE_OVER_89',
      what: 'ages from 90 on',
      patterns: [
        /(?<![A-Za-z0-9.])(?:9[0-9]|1[01][0-9])(?=[ -](?:years?|yrs?)[ -]old|[ -]?y[./]?o\b|[ -]year-old)/gi,
        /(?<=(?:\bage[d]?|years of age)[ :=]{1,3}(?:is |of )?)(?:9[0-9]|1[01][0-9])(?![0-9.])/gi,
      ],
      literals: ['age ', 'age:', 'age=', 'aged ', 'aged:', 'aged=', 'year', 'yr', ' yo', '-yo', 'y/o', 'y.o'],
    },
    {
      id: 'hipaa/age-member',
      kind: 'AGE_OVER_89',
      what: 'the same as the value of a member called *age*',
      patterns: [/^(?:9[0-9]|1[01][0-9])$/g],
      near: ['age'],
    },
    {
      id: 'hipaa/mrn',
      kind: 'MEDICAL_RECORD_NUMBER',
      what: 'record, chart and patient numbers, where they are called so',
      patterns: [
        /(?<![A-Za-z0-9])(?:mrn|medical[ _-]?record(?:[ _-]?(?:number|no|nr|num|id))?|chart[ _-]?(?:number|no|id)|patient[ _-]?(?:number|no|id))(?:["'`]?[ \t]{0,3}(?:is|[:=#.-])[:=#.-]?[ \t]{0,3}["'`#]{0,2}|[ \t]{1,3}#?|(?=[0-9]{4}))((?=[A-Z-]{0,6}[0-9])[A-Z0-9][A-Z0-9-]{3,19})(?![A-Za-z0-9])/gi,
      ],
      literals: ['mrn', 'medical', 'chart', 'patient'],
    },
    {
      id: 'hipaa/plan',
      kind: 'HEALTH_PLAN_ID',
      what: 'member, subscriber, policy and group numbers of health plans, where they are called so',
      patterns: [
        /(?<![A-Za-z0-9])(?:member|subscriber|policy|beneficiary|health[ _-]?plan|insurance)[ _-]?(?:number|no|nr|id|#)(?:["'`]?[ \t]{0,3}(?:is|[:=#.-])[:=#.-]?[ \t]{0,3}["'`#]{0,2}|[ \t]{1,3}#?|(?=[0-9]{4}))((?=[A-Z-]{0,6}[0-9])[A-Z0-9][A-Z0-9-]{4,19})(?![A-Za-z0-9])/gi,
      ],
      literals: ['member', 'subscriber', 'policy', 'beneficiary', 'plan', 'insurance'].flatMap(numberOf),
    },
    {
      id: 'hipaa/zip',
      kind: 'ZIP_CODE',
      what: 'ZIP codes behind a state',
      patterns: [
        /(?<=(?<![A-Za-z])(?:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]),? {1,2})[0-9]{5}(?:-[0-9]{4})?(?![A-Za-z0-9]|[-.][0-9])/g,
      ],
      shape: 'digits',
    },
    {
      id: 'hipaa/zip-called',
      kind: 'ZIP_CODE',
      what: 'ZIP codes that are called so',
      patterns: [
        /(?<=(?<![A-Za-z])(?:zip|postal)(?:[ _-]?code)?["'`]?[ \t]{0,3}(?:is )?[:=#]?[ \t]{0,3}["'`]?)[0-9]{5}(?:-[0-9]{4})?(?![A-Za-z0-9]|[-.][0-9])/gi,
      ],
      literals: ['zip', 'postal'],
    },
    {
      id: 'hipaa/zip-member',
      kind: 'ZIP_CODE',
      what: 'the value of a member called *zip* or *postal code*',
      patterns: [/^[0-9]{5}(?:-[0-9]{4})?$/g],
      near: ['zip', 'postal'],
    },
    {
      id: 'hipaa/device',
      kind: 'DEVICE_ID',
      what: 'serial numbers of devices, where they are called so',
      patterns: [
        /(?<![A-Za-z0-9])(?:serial|device)[ _-]?(?:number|no|nr|id|#)(?:["'`]?[ \t]{0,3}(?:is|[:=#.-])[:=#.-]?[ \t]{0,3}["'`#]{0,2}|[ \t]{1,3}#?|(?=[0-9]{4}))((?=[A-Z-]{0,8}[0-9])[A-Z0-9][A-Z0-9-]{4,29})(?![A-Za-z0-9])/gi,
      ],
      literals: ['serial', 'device'],
    },
  ],
}

export const PCI: Pack = {
  name: 'pci',
  version: 1,
  what: 'payment cards beyond `global`: expiry dates, cardholder data. Codes and track data are dropped in every mode',
  rules: [
    CARD_RULE,
    {
      id: 'pci/expiry',
      kind: 'CARD_EXPIRY',
      what: 'expiry dates of cards, where they are called so',
      patterns: [
        /(?<![A-Za-z])(?:exp(?:iry|ires|iration|\.)?|valid(?: thru| through| until)?|good thru)[ _]?(?:date|dt)?["'`]?[ \t]{0,3}(?:is|on|[:=.]){0,2}[ \t]{0,3}["'`]?((?:0[1-9]|1[0-2])[ ]?[/-][ ]?(?:20)?[2-5][0-9])(?![A-Za-z0-9/-])/gi,
      ],
      literals: ['exp', 'valid', 'thru'],
    },
    {
      id: 'pci/pin',
      kind: 'CARD_PIN',
      what: 'PINs of 4 to 6 digits, where they are called so',
      patterns: [
        /(?<![A-Za-z])pin(?: (?:code|number|no))?["'`]?[ \t]{0,3}(?:is|[:=#]){0,2}[ \t]{0,3}["'`]?([0-9]{4,6})(?![A-Za-z0-9]|[-.][0-9])/gi,
      ],
      literals: ['pin'],
    },
    {
      id: 'pci/masked',
      kind: 'CREDIT_CARD',
      what: 'cards with up to ten digits masked',
      patterns: [alone('[0-9]{4,6}[ -]?[*xX]{2,8}[ -]?[*xX]{0,4}[ -]?[0-9]{4}')],
      literals: ['**', 'xx'],
      near: ['card', 'cc', 'visa', 'mastercard', 'amex', 'maestro', 'ending'],
    },
  ],
}
