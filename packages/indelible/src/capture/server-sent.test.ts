import { describe, expect, it } from 'vitest'
import { MessageParts } from './anthropic-message.ts'
import { joinDeltas } from './chat-chunks.ts'
import { ServerSentEvents } from './server-sent.ts'

const encoder = new TextEncoder()

function read(pieces: readonly Uint8Array[]): unknown[] {
  const seen: unknown[] = []
  const events = new ServerSentEvents((data) => seen.push(data))
  for (const piece of pieces) events.push(piece)
  return seen
}

describe('server-sent events', () => {
  const body = encoder.encode(
    ': hello\r\nevent: a\r\ndata: {"text":"Grüße"}\r\n\r\ndata: {"lines":\ndata: 2}\n\nid: 7\ndata:["x"]\r\rdata: [DONE]\n\n',
  )
  const expected = [{ text: 'Grüße' }, { lines: 2 }, ['x']]

  it('are the same wherever the bytes are cut', () => {
    for (let at = 0; at <= body.length; at++) expect(read([body.slice(0, at), body.slice(at)])).toEqual(expected)
    expect(read([...body].map((byte) => Uint8Array.of(byte)))).toEqual(expected)
  })

  it('that never end take no memory for ever', () => {
    const seen: unknown[] = []
    const events = new ServerSentEvents((data) => seen.push(data))
    const piece = encoder.encode('x'.repeat(1024 * 1024))
    events.push(encoder.encode('data: '))
    for (let i = 0; i < 20; i++) events.push(piece)
    events.push(encoder.encode('\n\ndata: {"after":true}\n\n'))
    expect(seen).toEqual([{ after: true }])
  })
})

describe('the events of a message', () => {
  it('may be anything, and add up to what could be understood', () => {
    const parts = new MessageParts()
    for (const event of [
      null,
      7,
      'text',
      [],
      {},
      { type: 'content_block_delta', index: 9, delta: { type: 'text_delta', text: 'of no block' } },
      { type: 'content_block_start', index: '__proto__', content_block: null },
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', name: 'f', input: {} } },
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{"a":' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: 7 } },
      { type: 'content_block_delta', index: 0, delta: { type: 'constructor', text: 'x' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '1}' } },
      { type: 'message_start', message: { model: 7, usage: 'none' } },
      { type: 'message_delta', delta: 'x', usage: { output_tokens: 3 } },
    ]) {
      parts.add(event)
    }
    const { output, usage, model } = parts.answer()
    expect((output as { content: unknown[] }).content).toContainEqual({ type: 'tool_use', name: 'f', input: { a: 1 } })
    expect(usage).toMatchObject({ output_tokens: 3 })
    expect(model).toBeUndefined()
  })

  it('are kept within bounds', () => {
    const parts = new MessageParts()
    parts.add({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
    for (let i = 0; i < 40; i++) {
      parts.add({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(100_000) } })
    }
    expect(parts.isClipped).toBe(true)
    expect(JSON.stringify(parts.answer()).length).toBeLessThan(1024 * 1024 + 1000)
  })
})

describe('chunks of a chat', () => {
  it('may be anything', () => {
    const chunks = [null, 'x', { choices: [] }, { choices: [null] }, { choices: [{ delta: { content: 'yes' } }] }]
    expect(joinDeltas(chunks)).toMatchObject({ content: 'yes' })
    expect(joinDeltas([null, 1, {}])).toBeUndefined()
    expect(joinDeltas([{ choices: [{ delta: { tool_calls: [null, { index: 1 }, 'x'] } }] }])).toMatchObject({
      tool_calls: [{ id: '', name: '', arguments: '' }, expect.anything()],
    })
  })
})
