/** Plays scenes with the packages of both major versions: a server with the script's tools, and a client in the part of the agent. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import * as v2Client from '@modelcontextprotocol/client'
import * as v1Client from '@modelcontextprotocol/sdk/client/index.js'
import * as v1Memory from '@modelcontextprotocol/sdk/inMemory.js'
import * as v1Server from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import * as v2Server from '@modelcontextprotocol/server'
import { recordMcpServer, runMcpProxy } from 'indelible/capture/mcp'
import { AGENT, USER } from 'indelible/testing'
import { z } from 'zod'

export const V1 = {
  McpServer: v1Server.McpServer,
  Client: v1Client.Client,
  InMemoryTransport: v1Memory.InMemoryTransport,
}
export const V2 = {
  McpServer: v2Server.McpServer,
  Client: v2Client.Client,
  InMemoryTransport: v2Server.InMemoryTransport,
}

/** A server whose tools are those of the stage. */
export function serverOf({ McpServer }, tools) {
  const server = new McpServer({ name: 'travel', version: '1.2.0' })
  for (const [name, run] of Object.entries(tools)) {
    const inputSchema = z.looseObject({})
    server.registerTool(name, { description: name, inputSchema }, async (args, extra) => {
      const text = await run(args, extra.signal ?? extra.mcpReq?.signal)
      return { content: [{ type: 'text', text }] }
    })
  }
  return server
}

/** One session: each turn's calls at once, then the client goes. */
export async function playSession(sdk, version, scene, { recorder, onFailure, tools, policy, approve, signal }) {
  const server = serverOf(sdk, tools)
  recordMcpServer(server, { recorder, version, agent: AGENT, run: { user: USER, signal }, onFailure, policy, approve })
  const client = new sdk.Client({ name: 'tests', version: '1' })
  const [ours, theirs] = sdk.InMemoryTransport.createLinkedPair()
  await Promise.all([server.connect(theirs), client.connect(ours)])
  try {
    await playTurns(client, sdk, scene, signal)
  } finally {
    await client.close()
    await server.close()
  }
}

/** A server process that hands its standard input and output to us, so that the stage's own tools answer. */
const PIPE = `const s = require('node:net').connect(process.argv[1]); process.stdin.pipe(s); s.pipe(process.stdout)`

/** The same session with a server behind a pipe, and the proxy before it. */
export async function playProxied(scene, { recorder, onFailure, tools, policy, approve, signal }) {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-mcp-'))
  const path = join(folder, 'server.sock')
  const server = serverOf(V1, tools)
  const listener = createServer((socket) => void server.connect(new StdioServerTransport(socket, socket)))
  await new Promise((resolve) => listener.listen(path, resolve))
  const [input, output] = [new PassThrough(), new PassThrough()]
  const command = { command: process.execPath, args: ['-e', PIPE, path], input, output }
  const more = { agent: AGENT, run: { user: USER, signal }, onFailure, policy, approve }
  const proxy = runMcpProxy({ recorder, ...command, ...more })
  const client = new V1.Client({ name: 'tests', version: '1' })
  try {
    // The client's end of the proxy's two streams.
    await client.connect(new StdioServerTransport(output, input))
    await playTurns(client, V1, scene, signal)
  } finally {
    input.end()
    await proxy.ended
    await client.close()
    listener.close()
    rmSync(folder, { recursive: true })
  }
}

/** What the model of each turn asks for, at once. */
async function playTurns(client, sdk, scene, signal) {
  for (const { calls = [] } of scene.turns) {
    if (signal.aborted) break
    const schema = sdk === V1 ? [undefined] : []
    await Promise.allSettled(
      calls.map(({ tool, args }) => client.callTool({ name: tool, arguments: args }, ...schema, { signal })),
    )
  }
}
