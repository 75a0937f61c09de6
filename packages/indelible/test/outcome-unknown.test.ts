/** The ids of an outcome that is not known, on their way over HTTP. */
import { expect, it, onTestFinished, vi } from 'vitest'
import { openClient, type ServerError } from '../src/client/index.ts'
import { OutcomeUnknownError } from '../src/errors.ts'
import { Log } from '../src/log/log.ts'
import { server, toolEnd } from './server-kit.ts'

it('a server says which ids to repeat, one for each event', async () => {
  const { json } = await server()
  const record = Log.prototype.record
  let call = 0
  const spy = vi.spyOn(Log.prototype, 'record').mockImplementation(async function (this: Log, event, options) {
    if (++call === 2) throw new OutcomeUnknownError(['made-up'])
    return record.call(this, event, options)
  })
  onTestFinished(() => spy.mockRestore())
  const good = { ...toolEnd(), id: '01890000-0000-7000-8000-000000000001' }
  const several = await json('/v1/events', { body: [good, toolEnd(), { type: 'nothing' }] })
  expect(several).toMatchObject({
    status: 503,
    body: { code: 'ERR_OUTCOME_UNKNOWN', ids: [good.id, 'made-up', null] },
  })
  call = 1
  expect(await json('/v1/events', { body: toolEnd() })).toMatchObject({ status: 503, body: { ids: ['made-up'] } })
})

it('a client has them from the server', async () => {
  const { url, operator } = await server()
  const spy = vi.spyOn(Log.prototype, 'recordMany').mockImplementation(async (events) => {
    throw new OutcomeUnknownError(events.map(({ id }) => id!))
  })
  onTestFinished(() => spy.mockRestore())
  const client = await openClient({ url, key: operator, tenant: 'default', retries: 0 })
  onTestFinished(() => client.close())
  const id = '01890000-0000-7000-8000-000000000002'
  const error = (await client.recordMany([{ ...toolEnd(), id } as never]).catch((thrown) => thrown)) as ServerError
  expect(error).toMatchObject({ code: 'ERR_OUTCOME_UNKNOWN', status: 503, ids: [id] })
})
