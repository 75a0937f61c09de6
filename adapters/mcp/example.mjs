/**
 * An MCP server that is recorded from within, and one that cannot be changed: `@modelcontextprotocol/server-filesystem` as it
 * is published, behind `indelible mcp-proxy`, which does not let it write. Offline.
 */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { recordMcpServer } from 'indelible/capture/mcp'
import { z } from 'zod'
import { withLog } from '../lib.mjs'
import { V2 } from './play.mjs'

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))
const INDELIBLE = path('../../packages/indelible/bin/indelible.js')
const FILESYSTEM = path('../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js')

await withLog('mcp', async (log, home) => {
  const server = recordMcpServer(new V2.McpServer({ name: 'seats', version: '1.0.0' }), { recorder: log.recorder })
  server.registerTool('find_seat', { inputSchema: z.object({ flight: z.string() }) }, ({ flight }) => ({
    content: [{ type: 'text', text: `12A of ${flight}` }],
  }))
  const [ours, theirs] = V2.InMemoryTransport.createLinkedPair()
  const client = new V2.Client({ name: 'desk', version: '2.1' })
  await Promise.all([server.connect(theirs), client.connect(ours)])
  await client.callTool({ name: 'find_seat', arguments: { flight: 'X1' } })
  await client.callTool({ name: 'find_hotel', arguments: {} }).catch(({ message }) => console.log(`desk: ${message}`))
  await client.close()

  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'indelible-files-')))
  writeFileSync(join(folder, 'note.txt'), 'seat 12A\n')
  try {
    const proxy = [INDELIBLE, '--home', home, 'mcp-proxy', '--deny', 'write_*', '--on-failure', 'block']
    const args = [...proxy, '--', process.execPath, FILESYSTEM, folder]
    const files = new V2.Client({ name: 'desk', version: '2.1' })
    await files.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }))
    const { tools } = await files.listTools()
    console.log(`server-filesystem: ${tools.length} tools`)
    const read = await files.callTool({ name: 'read_text_file', arguments: { path: join(folder, 'note.txt') } })
    console.log(`desk: ${read.content[0].text.trim()}`)
    const write = { name: 'write_file', arguments: { path: join(folder, 'note.txt'), content: 'seat 1A' } }
    await files.callTool(write).catch(({ message }) => console.log(`desk: ${message}`))
    await files.callTool({ name: 'read_text_file', arguments: { path: '/etc/passwd' } })
    await files.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
})
