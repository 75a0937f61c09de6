/** What keeps entries, and who tries to get around it. */
import { describe, expect, it } from 'vitest'
import { openLogHome } from './retention-kit.ts'

const by = 'compliance'

describe('a hold on a person', () => {
  it('is not undone by erasing the person, of whom no part is left to erase', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(300)
    await record(1, { type: 'x.claim', subjects: ['ann'] })
    await retention.placeHold({ subject: 'ann' }, { by })
    await record(300)
    await days(20)
    await record(1)
    await verify()
    await expect(log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })).rejects.toMatchObject({
      code: 'ERR_HELD',
    })
    await retention.run({ by, trustClock: true })
    expect((await log.store.head())!.minIndex).toBe(256)
  })

  it('is not undone by erasing what it does not cover', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(300)
    await record(1, { type: 'x.claim', subjects: ['ann'] })
    await record(1, { type: 'x.chat', subjects: ['ann'], parts: { text: { value: 'hello' } } })
    await retention.placeHold({ subject: 'ann', type: 'x.claim' }, { by })
    await record(300)
    await days(20)
    await record(1)
    await verify()
    await expect(log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })).rejects.toMatchObject({
      code: 'ERR_HELD',
    })
    await retention.run({ by, trustClock: true })
    expect((await log.store.head())!.minIndex).toBe(256)
  })
})
