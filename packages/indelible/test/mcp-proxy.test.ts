import { describe, expect, it } from 'vitest'
import { ProxyClient, request } from './mcp-kit.ts'

const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'desk', version: '2.0' } },
}
const deny = { policy: ({ tool }: { tool: string }) => (tool === 'fail' ? ('deny' as const) : ('allow' as const)) }

describe.concurrent('a proxy before an MCP server', () => {
  it('passes lines on as they came, and records what they are', async () => {
    const client = await ProxyClient.start()
    const spaced =
      '{ "jsonrpc":"2.0",  "id":"a", "method":"tools/call","params":{"name":"echo","arguments":{"text":"\\u00e9"}}}\r\n'
    client.send(INITIALIZE, { method: 'notifications/initialized' })
    client.write(spaced)
    client.call('b', 'fail')
    client.send({ id: 2, method: 'tools/list' }, { id: 3, method: 'resources/read', params: { uri: 'file:///x' } })
    client.send({ id: 4, method: 'prompts/get', params: { name: 'p' } }, { id: 5, method: 'ping' })
    await client.lines(7)
    const { end, lines, records, all } = await client.end()
    expect(end).toEqual({ code: 0, signal: null })
    expect(client.seen).toContain(spaced.replace(/\r\n$/, ''))
    expect([lines[0], lines.at(-1)]).toEqual(['run.start pending', 'run.end success'])
    expect(lines.slice(1, -1).toSorted()).toEqual([
      'tool.end echo success',
      'tool.error fail failure',
      'tool.start echo pending',
      'tool.start fail pending',
      'x.mcp.initialize success',
      'x.mcp.prompts_get pending',
      'x.mcp.prompts_get success',
      'x.mcp.resources_read pending',
      'x.mcp.resources_read success',
      'x.mcp.tools_list success',
    ])
    const find = (type: string) => records.find((record) => record.type === type)!
    expect(find('run.start').actor).toMatchObject({ type: 'agent', id: 'desk', version: '2.0' })
    expect(find('x.mcp.initialize').attributes).toMatchObject({ server: 'test-server', protocol: '2025-11-25' })
    expect(find('tool.error').error).toMatchObject({ type: 'McpToolError' })
    expect(all.find(({ record }) => record.type === 'tool.start')!.parts.input).toEqual({ text: 'é' })
  })

  it('answers what policy denies, and the server does not see it', async () => {
    const client = await ProxyClient.start(deny)
    client.call(1, 'fail')
    client.call(2, 'echo', { text: 'x' })
    const answers = await client.answers(2)
    expect(answers.find(({ id }) => id === 1)!.error).toMatchObject({
      code: -32000,
      data: { code: 'ERR_ACTION_DENIED' },
    })
    const { lines } = await client.end()
    expect(client.seen.map((line) => JSON.parse(line).id)).toEqual([2])
    expect(lines).toContain('policy.evaluated fail denied')
    expect(lines).not.toContain('tool.start fail pending')
  })

  it('holds everything that acts in mode block, while nothing can be recorded', async () => {
    const client = await ProxyClient.start({ onFailure: 'block' })
    client.send(INITIALIZE)
    await client.lines(1)
    client.stage.fail(() => true)
    client.call(1, 'echo')
    client.send({ id: 2, method: 'resources/read', params: { uri: 'x' } }, { id: 3, method: 'tasks/new', params: {} })
    const answers = await client.answers(4)
    expect(answers.slice(1).map(({ error }) => error?.data?.code)).toEqual(Array(3).fill('ERR_CAPTURE_BLOCKED'))
    client.stage.recover()
    client.call(4, 'echo', { text: 'back' })
    expect((await client.answers(5)).at(-1)!.result!.content![0]!.text).toBe('back')
    const { records } = await client.end()
    expect(client.seen.map((line) => JSON.parse(line).id)).toEqual([0, 4])
    expect(records.find(({ type }) => type === 'tool.start')!.assurance).toBe('enforced')
  })

  it('gives no answer in mode block whose entry cannot be kept', async () => {
    const client = await ProxyClient.start({ onFailure: 'block' })
    client.stage.fail(({ type }) => type === 'tool.end')
    client.call(1, 'echo', { text: 'secret' })
    const [answer] = await client.answers(1)
    expect(answer!.error?.data?.code).toBe('ERR_CAPTURE_BLOCKED')
    client.stage.recover()
    await client.end()
    expect(client.text).not.toContain('secret')
  })

  it('pairs answers that come out of order, and ids that are used twice', async () => {
    const client = await ProxyClient.start()
    client.call(1, 'slow', { text: 'late' })
    client.call('1', 'echo', { text: 'early' })
    client.call(7, 'slow', { text: 'first of two' })
    client.call(7, 'slow', { text: 'second of two' })
    const answers = await client.answers(4)
    expect(answers[0]!.id).toBe('1')
    const { records, all } = await client.end()
    const outputs = all
      .filter(({ record }) => record.type === 'tool.end')
      .map(({ record, parts }) => [record.call, parts.output])
    expect(new Set(outputs.map(([call]) => call)).size).toBe(4)
    expect(JSON.stringify(outputs.find(([call]) => call === 'tool-1'))).toContain('late')
    expect(records.filter(({ attributes }) => attributes?.unpaired)).toEqual([])
  })

  it('records a cancelled call as aborted, and one that is held back never reaches the server', async () => {
    const decided = Promise.withResolvers<'allow'>()
    const asked = Promise.withResolvers<void>()
    const policy = ({ tool }: { tool: string }) => {
      if (tool !== 'slow') return 'allow' as const
      asked.resolve()
      return decided.promise
    }
    const client = await ProxyClient.start({ policy })
    client.call(1, 'hang')
    client.call(2, 'slow', { text: 'never' })
    await asked.promise
    for (const requestId of [1, 2, 3])
      client.send({ method: 'notifications/cancelled', params: { requestId, reason: 'enough' } })
    client.call(4, 'echo', { text: 'after' })
    await client.lines(1)
    decided.resolve('allow')
    const { lines, records } = await client.end()
    expect(client.seen.map((line) => JSON.parse(line)).map(({ id, params }) => id ?? params.requestId)).toEqual([
      1, 1, 3, 4,
    ])
    expect(lines).toContain('tool.error hang failure')
    expect(records.find(({ type, tool }) => type === 'tool.error' && tool!.name === 'hang')).toMatchObject({
      attributes: { aborted: true },
      error: { type: 'AbortError' },
    })
    expect(lines).toContain('x.mcp.cancelled unknown')
  })

  it('passes what is no JSON in both directions, and records that', async () => {
    const client = await ProxyClient.start()
    client.write('not json\n\n[]\n"text"\n')
    client.call(1, 'garbage', { text: 'still here' })
    const lines = await client.lines(4)
    expect(lines.slice(0, 2)).toEqual(['this is no json\r', ''])
    const ended = await client.end()
    expect(client.seen.slice(0, 4)).toEqual(['not json', '', '[]', '"text"'])
    expect(ended.lines.filter((line) => line.startsWith('x.mcp'))).toEqual([
      'x.mcp.malformed unknown',
      'x.mcp.invalid unknown',
      'x.mcp.malformed unknown',
      'x.mcp.response unknown',
    ])
  })

  it.each([
    ['duplicate keys', '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"fail"}}'],
    ['keys of another case', '{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"ping","params":{"name":"fail"}}'],
    ['a key that folds to another', '{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{}}'],
    ['two names', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","Name":"fail"}}'],
    ['a carriage return', '[1,\r{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fail"}}\r]'],
    ['no JSON', '{"jsonrpc":"2.0","id":1,'],
    ['a lone surrogate', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fail\\ud800"}}'],
  ])('does not pass on what a server may read in another way: %s', async (_, line) => {
    const client = await ProxyClient.start(deny)
    client.write(`${line}\n`)
    const [answer] = await client.answers(1)
    expect(answer).toMatchObject({ id: null, error: { code: -32700 } })
    const { lines } = await client.end()
    expect(client.seen).toEqual([])
    expect(lines).toContain('x.mcp.malformed denied')
  })

  it('refuses a call without a name, and one without an id, where policy decides', async () => {
    const client = await ProxyClient.start(deny)
    client.call(1, 17)
    client.send({ method: 'tools/call', params: { name: 'fail' } })
    client.write('"text"\n')
    const answers = await client.answers(2)
    expect(answers.map(({ error }) => error!.code).toSorted()).toEqual([-32602, -32600].toSorted())
    const { lines } = await client.end()
    expect(client.seen).toEqual([])
    expect(lines).toContain('x.mcp.tools_call denied')
  })

  it('takes batches apart where a part is denied, and passes the others as they are', async () => {
    const client = await ProxyClient.start(deny)
    const whole = `[${JSON.stringify(request(1, 'echo', { text: 'a' }))}, ${JSON.stringify(request(2, 'echo', { text: 'b' }))}]`
    client.write(`${whole}\n`)
    await client.lines(1)
    client.write(`${JSON.stringify([request(3, 'fail'), request(4, 'echo', { text: 'c' })])}\n`)
    const lines = await client.lines(3)
    expect(client.seen).toEqual([whole, JSON.stringify([request(4, 'echo', { text: 'c' })])])
    const ids = lines.map((line) => JSON.parse(line).map(({ id }: { id: number }) => id))
    expect(ids.flat().toSorted()).toEqual([1, 2, 3, 4])
    expect((await client.end()).lines.filter((line) => line.startsWith('tool.end'))).toHaveLength(3)
  })

  it('passes huge messages, and those that are too long to be read', async () => {
    const client = await ProxyClient.start({ maxLineBytes: 1024 * 1024 })
    client.call(1, 'huge', { bytes: 900_000 })
    client.call(2, 'huge', { bytes: 5_000_000 })
    client.call(3, 'echo', { text: 'y'.repeat(3_000_000) })
    const lines = await client.lines(3)
    expect(lines.map((line) => JSON.parse(line).id)).toEqual([1, 2, 3])
    const { records } = await client.end()
    const long = records.filter(({ type }) => type === 'x.mcp.oversized').map(({ attributes }) => attributes!.from)
    expect(long.toSorted()).toEqual(['client', 'server', 'server'])
    expect(records.filter(({ type }) => type === 'tool.end')).toHaveLength(1)
  })

  it('refuses what is too long to be read, where requests may be refused', async () => {
    const client = await ProxyClient.start({ ...deny, maxLineBytes: 1000 })
    client.call(1, 'fail', { text: 'y'.repeat(100_000) })
    client.call(2, 'echo', { text: 'short' })
    const answers = await client.answers(2)
    expect(answers.map(({ id, error }) => [id, error?.code])).toEqual([
      [null, -32600],
      [2, undefined],
    ])
    expect((await client.end()).lines).toContain('x.mcp.oversized denied')
    expect(client.seen).toHaveLength(1)
  })

  it('records a model that the server asks', async () => {
    const client = await ProxyClient.start({ onFailure: 'block' })
    client.call(1, 'ask')
    await client.lines(2)
    client.send({ id: 1, result: { model: 'm-1', role: 'assistant', content: { type: 'text', text: 'this' } } })
    const { records } = await client.end()
    expect(records.find(({ type }) => type === 'llm.request')!.assurance).toBe('enforced')
    expect(records.find(({ type }) => type === 'llm.response')!.model).toMatchObject({ name: 'm-1' })
  })

  it('says how the server ended, and what was not answered', async () => {
    const client = await ProxyClient.start()
    client.call(1, 'hang')
    client.call(2, 'crash')
    expect(await client.proxy.ended).toEqual({ code: 7, signal: null })
    const { lines, records } = await client.end()
    expect(lines.slice(-3)).toEqual(['tool.error hang failure', 'tool.error crash failure', 'run.error failure'])
    expect(records.at(-1)!.attributes).toMatchObject({ exit_code: 7 })
    expect(records.at(-1)!.error).toMatchObject({ type: 'ServerEnded' })
  })

  it('tells a server that was killed from one that ended', async () => {
    const client = await ProxyClient.start()
    client.call(1, 'die')
    expect(await client.proxy.ended).toEqual({ code: null, signal: 'SIGKILL' })
    expect((await client.end()).lines.at(-1)).toBe('run.error failure')
  })

  it('lets the server end when the client has gone', async () => {
    const client = await ProxyClient.start()
    client.call(1, 'echo', { text: 'a' })
    await client.lines(1)
    client.output.destroy()
    expect(await client.proxy.ended).toEqual({ code: 0, signal: null })
    expect((await client.end()).lines.at(-1)).toBe('run.end success')
  })

  it('passes bytes that are no text only where nothing is refused, and a last line without its end', async () => {
    const bytes = Buffer.from([0x7b, 0xff, 0x7d, 0x0a])
    const [open, strict] = [await ProxyClient.start(), await ProxyClient.start(deny)]
    for (const client of [open, strict]) {
      client.input.write(bytes)
      client.write(JSON.stringify(request(1, 'echo', { text: 'last' })))
      client.input.end()
    }
    expect(await open.proxy.ended).toMatchObject({ code: 0 })
    expect(await strict.proxy.ended).toMatchObject({ code: 0 })
    await Promise.all([open.end(), strict.end()])
    expect(open.seen).toHaveLength(2)
    expect(strict.seen).toEqual([JSON.stringify(request(1, 'echo', { text: 'last' }))])
  })

  it('rejects what no run can begin with, and leaves no server behind', async () => {
    for (const options of [{ agent: '' }, { run: { user: 'u'.repeat(300) } }]) {
      await expect(ProxyClient.start(options)).rejects.toMatchObject({ code: 'ERR_EVENT_INVALID' })
    }
    const client = await ProxyClient.start({ run: { tenant: 't'.repeat(300) } })
    client.call(1, 'echo')
    await expect(client.proxy.ended).rejects.toMatchObject({ code: 'ERR_EVENT_INVALID' })
    await client.stage.close()
  })

  it('rejects if there is no such server', async () => {
    const client = await ProxyClient.start({ command: '/no/such/server' })
    await expect(client.proxy.ended).rejects.toMatchObject({ code: 'ENOENT' })
    await client.stage.close()
  })
})
