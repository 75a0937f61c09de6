import { describe, expect, it } from 'vitest'
import type { Json } from '../record/jcs.ts'
import { createRedactor, type Redacted, type RedactionOptions, removeForbidden } from './redactor.ts'

const EVERY = ['us', 'ca', 'uk', 'eu', 'au', 'in', 'br', 'sg', 'pci', 'hipaa']
const redact = (value: Json, options: RedactionOptions = { packs: EVERY }) =>
  createRedactor(options).redact(value) as Redacted
const text = (value: string, options?: RedactionOptions) => redact(value, options).value
const invalid = expect.objectContaining({ code: 'ERR_CONFIG_INVALID' })

describe('a text', () => {
  it('shows the kind of what was in it, and counts', () => {
    expect(redact('mail jane@example.com and joe@example.org, card 4111 1111 1111 1111')).toEqual({
      value: 'mail [EMAIL] and [EMAIL], card [CREDIT_CARD]',
      counts: { CREDIT_CARD: 1, EMAIL: 2 },
    })
  })

  it('stays as it is where nothing is found', () => {
    expect(redact('Flight HAT001 leaves at 06:38 on 2026-11-21.')).toEqual({
      value: 'Flight HAT001 leaves at 06:38 on 2026-11-21.',
      counts: {},
    })
  })

  it('is never replaced in part where two kinds overlap', () => {
    expect(text('my iban is GB59 NAWV 7713 6867 0493 56 thanks')).toBe('my iban is [IBAN] thanks')
    expect(text('DE89370400440532013000')).toBe('[IBAN]')
    expect(text('phone: 4111 1111 1111 1111')).toBe('phone: [CREDIT_CARD]')
    expect(text('NHS number 943 476 5919')).toBe('NHS number [UK_NHS]')
    expect(text("write to 'jane@example.com' now")).toBe("write to '[EMAIL]' now")
    expect(text('https://x.org/?mail=jane@example.com&a=1')).toBe('https://x.org/?mail=[EMAIL]&a=1')
    expect(text('mongodb://jane:p%40ss@db.example.com/x')).toBe('mongodb://[CREDENTIALS]@db.example.com/x')
    expect(text('postgres://jane:pass@example.com:5432/db')).toMatch(
      /^postgres:\/\/\[\w+\](?:@example\.com)?:5432\/db$/,
    )
  })

  it('is read as people read it, however it is written', () => {
    for (const card of [
      '４１１１１１１１１１１１１１１１',
      '٤١١١١١١١١١١١١١١١',
      '4111\u200b1111\u200b1111\u200b1111',
      '4111\u00a01111\u00a01111\u00a01111',
      '4111‑1111‑1111‑1111',
      '4111%201111%201111%201111',
      '4&#49;11111111111111',
      '𝟒𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏',
      '4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1',
    ]) {
      expect(text(`card ${card}.`), card).toBe('card [CREDIT_CARD].')
    }
    expect(text('mail=jane%40example.com&x=1')).toContain('[EMAIL]')
    expect(text('to jane＠example。com'.replace('。', '.'))).toBe('to [EMAIL]')
    expect(text('a broken {"card":"x\\n4111111111111111')).toBe('a broken {"card":"x\\n[CREDIT_CARD]')
  })
})

describe('a value', () => {
  it('is redacted in strings, keys, numbers and JSON within strings', () => {
    const value = {
      'jane@example.com': [1, 4111111111111111, 'ip 48.90.248.226'],
      body: '{"user":{"mail":"jane@example.com"},"id":12345678901234567890}',
      plain: '{"id":12345678901234567890}',
    }
    expect(redact(value)).toEqual({
      value: {
        '[EMAIL]': [1, '[CREDIT_CARD]', 'ip [IP_ADDRESS]'],
        body: '{"user":{"mail":"[EMAIL]"},"id":12345678901234567890}',
        plain: '{"id":12345678901234567890}',
      },
      counts: { CREDIT_CARD: 1, EMAIL: 2, IP_ADDRESS: 1 },
    })
  })

  it('is judged by the names of its members as well', () => {
    expect(redact({ ssn: '460899847', user: { password: 'x', phone: { number: '5403926876' } } }).value).toEqual({
      ssn: '[SSN]',
      user: { password: '[PASSWORD]', phone: { number: '[PHONE]' } },
    })
  })

  it('is redacted where a tag holds a text in another form', () => {
    const base64url = (bytes: string, encoding: BufferEncoding) => Buffer.from(bytes, encoding).toString('base64url')
    expect(redact({ $type: 'string', utf16: base64url('jane@example.com \ud800', 'utf16le') }).value).toEqual({
      $type: 'string',
      utf16: base64url('[EMAIL] \ud800', 'utf16le'),
    })
    expect(redact({ $type: 'bytes', base64url: base64url('mail jane@example.com', 'utf8') }).value).toEqual({
      $type: 'bytes',
      base64url: base64url('mail [EMAIL]', 'utf8'),
    })
    const map = {
      $type: 'map',
      entries: [
        ['password', 'x'],
        ['jane@example.com', 1],
      ],
    }
    expect(redact(map).value).toEqual({
      $type: 'map',
      entries: [
        ['password', '[PASSWORD]'],
        ['[EMAIL]', 1],
      ],
    })
  })

  it('keeps both of two members whose names become one, and members called __proto__', () => {
    expect(redact({ 'a@example.com': 1, 'b@example.com': 2 }).value).toEqual({ '[EMAIL]': 1, '[EMAIL]#2': 2 })
    const value = redact(JSON.parse('{"__proto__":{"password":"x"}}')).value
    expect(JSON.stringify(value)).toBe('{"__proto__":{"password":"[PASSWORD]"}}')
  })

  it('hides nothing behind a second member of one name', () => {
    expect(text('{"a":"4111111111111111","a":"x"}')).not.toContain('4111')
    expect(text('{"a":"\\u006aane@example.com","a":"x"}')).not.toContain('example')
  })

  it('is never refused, however deep its JSON nests', () => {
    const deep = `${'['.repeat(100_000)}"jane@example.com"${']'.repeat(100_000)}`
    expect(redact(deep).counts).toEqual({ EMAIL: 1 })
  })

  it('is left alone by a second pass', () => {
    const once = redact({ password: 'hunter2', a: 'password=hunter2 to jane@example.com, key sk-ant-REDACTED' })
    expect(redact(once.value)).toEqual({ value: once.value, counts: {} })
  })
})

describe('what may be kept in no mode', () => {
  it('is removed: verification codes and track data', () => {
    expect(removeForbidden({ cvv: 123, note: 'CVC: 4321', swipe: '%B4111111111111111^DOE/JANE^2512101123?' })).toEqual({
      value: { cvv: '[CVV]', note: 'CVC: [CVV]', swipe: '[TRACK_DATA]' },
      counts: { CVV: 2, TRACK_DATA: 1 },
    })
  })
})

describe('a configuration', () => {
  it('is refused with the reason where it asks for what there is not', () => {
    expect(() => createRedactor({ packs: ['uss'] })).toThrow(invalid)
    expect(() => createRedactor({ patterns: [{ kind: 'X', pattern: '(?=a)b' }] })).toThrow(invalid)
    expect(() => createRedactor({ patterns: [{ kind: 'lower', pattern: 'a' }] })).toThrow(invalid)
    expect(() => createRedactor({ patterns: [{ kind: 'X', pattern: 'a*' }] })).toThrow(invalid)
    expect(() => createRedactor({ fields: { '*.password': 'drop', 'user.password': 'keep' } })).toThrow(invalid)
    expect(() => createRedactor({ fields: { 'user..x': 'drop' } })).toThrow(invalid)
    expect(() => createRedactor({ fields: { user: 'mask' } })).toThrow(invalid)
  })

  it('may hold patterns and fields of its own', () => {
    const options: RedactionOptions = {
      patterns: [{ kind: 'EMPLOYEE', pattern: '(?i)emp-[0-9]{6}' }],
      fields: { '*.order_id': 'keep', '*.note': 'drop', 'customer.name': 'CUSTOMER' },
    }
    const value = {
      customer: { name: 'Jane', note: 'secret', order_id: 'jane@example.com' },
      order_id: 'jane@example.com',
      by: 'EMP-123456',
    }
    expect(redact(value, options)).toEqual({
      value: {
        customer: { name: '[CUSTOMER]', order_id: 'jane@example.com' },
        order_id: 'jane@example.com',
        by: '[EMPLOYEE]',
      },
      counts: { CUSTOMER: 1, DROPPED: 1, EMPLOYEE: 1 },
    })
  })

  it('has a version that tells rules apart', () => {
    const version = (options: RedactionOptions) => createRedactor(options).version
    expect(version({ packs: ['us', 'eu'] })).toBe(version({ packs: ['eu', 'us', 'global'] }))
    expect(version({ packs: ['us'] })).not.toBe(version({ packs: [] }))
    expect(version({ fields: { a: 'drop' } })).not.toBe(version({ fields: { a: 'keep' } }))
  })
})

describe('a recognizer', () => {
  it('adds what patterns do not find', async () => {
    const redactor = createRedactor({
      recognizer: async (texts) =>
        texts.map((one) => {
          const start = one.indexOf('Jane Doe')
          return start < 0 ? [] : [{ kind: 'PERSON', start, end: start + 8 }]
        }),
    })
    expect(await redactor.redact({ a: ['Jane Doe, jane@example.com'], b: '{"c":"Jane Doe"}' })).toEqual({
      value: { a: ['[PERSON], [EMAIL]'], b: '{"c":"[PERSON]"}' },
      counts: { EMAIL: 1, PERSON: 2 },
    })
  })

  it('that throws, hangs or answers nonsense costs the value, not the event', async () => {
    const broken = [
      () => {
        throw new Error('x')
      },
      () => Promise.reject(new Error('x')),
      () => new Promise<never>(() => {}),
      () => 'nonsense' as never,
      () => [],
      () => [[{ kind: 'PERSON', start: 0, end: 99 }]],
    ]
    for (const recognizer of broken) {
      const redactor = createRedactor({ recognizer, recognizerTimeoutMs: 20 })
      expect(await redactor.redact('jane')).toEqual({ value: null, counts: {}, failed: true })
    }
  })
})
