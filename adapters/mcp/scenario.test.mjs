import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createMcpHandler } from '@modelcontextprotocol/server'
import { currentRun } from 'indelible/capture'
import { recordMcpClient, recordMcpServer, recordMcpTransport } from 'indelible/capture/mcp'
import { describeAdapter, TestStage } from 'indelible/testing'
import { versionOf } from '../lib.mjs'
import { playProxied, playSession, V1, V2 } from './play.mjs'

const sdk = versionOf('@modelcontextprotocol/sdk')
const server = versionOf('@modelcontextprotocol/server')

const lacks = {
  scenes: {
    handoff: 'the protocol has none',
    stream: 'answers of models are the client’s',
  },
  events: { llm: 'models are asked by the client, but for `sampling/createMessage`', usage: 'the protocol has none' },
}
const bypasses = ['what a server does without being asked over the protocol']

const harnesses = [
  {
    name: 'mcp',
    framework: `@modelcontextprotocol/sdk ${sdk}`,
    play: (scene, stage) => playSession(V1, sdk, scene, stage),
    unknownVersion: ({ recorder }) =>
      recordMcpServer(new V1.McpServer({ name: 's', version: '1' }), { recorder, version: '99.0.0' }),
    bypasses,
  },
  {
    name: 'mcp-v2',
    framework: `@modelcontextprotocol/server ${server}`,
    play: (scene, stage) => playSession(V2, server, scene, stage),
    unknownVersion: ({ recorder }) =>
      recordMcpServer(new V2.McpServer({ name: 's', version: '1' }), { recorder, version: '99.0.0' }),
    bypasses,
  },
  {
    name: 'mcp-proxy',
    framework: `stdio, @modelcontextprotocol/sdk ${sdk}`,
    play: (scene, stage) => playProxied(scene, stage),
    bypasses: [
      ...bypasses,
      'a client that starts the server itself: the proxy has to be its only command for it',
      'a message longer than `--max-message` passes unread where nothing may be refused; where something may, it is',
    ],
  },
]
for (const harness of harnesses) describeAdapter({ ...harness, lacks }, { describe, it })

/** Entries as type, tool and outcome. */
async function linesOf(stage) {
  const all = await stage.records()
  return all.map(({ record: { type, tool, outcome } }) => [type, tool?.name, outcome].filter(Boolean).join(' '))
}

for (const [name, kit] of Object.entries({ v1: V1, v2: V2 })) {
  describe(`a session of ${name} without policy`, () => {
    const serverAt = (stage, tool) => {
      const made = new kit.McpServer({ name: 'travel', version: '1' })
      made.registerTool('look', { description: 'd' }, tool)
      return recordMcpServer(made, { recorder: stage.recorder })
    }
    const answer = { content: [{ type: 'text', text: 'x' }] }

    it('records calls that never reach a tool, and who calls', async () => {
      const stage = await TestStage.open('continue')
      const made = serverAt(stage, () => answer)
      const client = new kit.Client({ name: 'desk', version: '2' })
      const [ours, theirs] = kit.InMemoryTransport.createLinkedPair()
      await Promise.all([made.connect(theirs), client.connect(ours)])
      await client.callTool({ name: 'look' })
      await client.callTool({ name: 'nope' }).catch(() => {})
      await client.close()
      assert.deepEqual(await linesOf(stage), [
        'run.start pending',
        'x.mcp.initialize success',
        'tool.start look pending',
        'tool.end look success',
        'tool.start nope pending',
        'tool.error nope failure',
        'run.end success',
      ])
      const [{ record }] = await stage.records()
      assert.deepEqual([record.actor.id, record.actor.version], ['desk', '2'])
      await stage.close()
    })

    it('has what a tool does in its run', async () => {
      const stage = await TestStage.open('continue')
      const made = serverAt(stage, async () => {
        await currentRun().tool('inner', {}, () => 'x')
        return answer
      })
      const client = new kit.Client({ name: 'desk', version: '2' })
      const [ours, theirs] = kit.InMemoryTransport.createLinkedPair()
      await Promise.all([made.connect(theirs), client.connect(ours)])
      await client.callTool({ name: 'look' })
      await client.close()
      const records = (await stage.records()).map(({ record }) => record)
      assert.equal(new Set(records.map(({ run }) => run.id)).size, 1)
      assert.ok(records.some(({ tool }) => tool?.name === 'inner'))
      await stage.close()
    })

    it('is recorded at the client as well, and held back there in mode block', async () => {
      const stage = await TestStage.open('block')
      let ran = 0
      const made = new kit.McpServer({ name: 'travel', version: '1' })
      made.registerTool('look', { description: 'd' }, () => {
        ran++
        return answer
      })
      const client = recordMcpClient(new kit.Client({ name: 'desk', version: '2' }), { recorder: stage.recorder })
      const [ours, theirs] = kit.InMemoryTransport.createLinkedPair()
      await Promise.all([made.connect(theirs), client.connect(ours)])
      await client.callTool({ name: 'look' })
      stage.fail(({ type }) => type === 'tool.start')
      await assert.rejects(client.callTool({ name: 'look' }), /could not be recorded/)
      assert.equal(ran, 1)
      stage.recover()
      await client.close()
      const lines = await linesOf(stage)
      assert.equal(lines.filter((line) => line === 'tool.end look success').length, 1)
      assert.ok(lines.includes('policy.evaluated look denied'))
      await stage.close()
    })
  })
}

for (const [revision, mode] of [
  ['2025-11-25', 'legacy'],
  ['2026-07-28', { pin: '2026-07-28' }],
]) {
  describe(`a v2 server over HTTP, revision ${revision}`, () => {
    it('is recorded, and held back in mode block', async () => {
      const stage = await TestStage.open('block')
      let ran = 0
      const handler = createMcpHandler(() => {
        const made = new V2.McpServer({ name: 'travel', version: '1' })
        made.registerTool('look', { description: 'd' }, () => {
          ran++
          return { content: [{ type: 'text', text: 'x' }] }
        })
        return recordMcpServer(made, { recorder: stage.recorder, run: { user: 'u-1' } })
      })
      const fetch = async (url, init) => handler.fetch(new Request(url, init))
      const client = new V2.Client({ name: 'desk', version: '2' }, { versionNegotiation: { mode } })
      await client.connect(new StreamableHTTPClientTransport(new URL('http://localhost/mcp'), { fetch }))
      assert.equal(client.getNegotiatedProtocolVersion(), revision)
      await client.callTool({ name: 'look' })
      stage.fail(() => true)
      await assert.rejects(client.callTool({ name: 'look' }), /could not be recorded/)
      assert.equal(ran, 1)
      stage.recover()
      await client.close()
      const records = (await stage.records()).map(({ record }) => record)
      assert.equal(records.filter(({ type }) => type === 'tool.end').length, 1)
      const met = records.find(({ type }) => /^x\.mcp\.(initialize|server_discover)$/.test(type))
      assert.deepEqual([met.attributes.protocol, met.attributes.server], [revision, 'travel'])
      await stage.close()
    })
  })
}

describe('what is no transport and no server', () => {
  it('is refused', async () => {
    const stage = await TestStage.open('continue')
    const options = { recorder: stage.recorder }
    const refused = { code: 'ERR_CAPTURE_UNSUPPORTED' }
    assert.throws(() => recordMcpServer({}, options), refused)
    assert.throws(() => recordMcpClient({}, options), refused)
    assert.throws(() => recordMcpTransport({ start() {}, close() {} }, options), refused)
    await stage.close()
  })
})
