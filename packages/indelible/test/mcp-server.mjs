/** A small MCP server for tests. Notes each line that reaches it in the file `SEEN`; what a tool does, its name says. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const { SEEN } = process.env
if (SEEN) writeFileSync(SEEN, '')
process.stderr.write('server is up\n')
process.on('SIGTERM', () => process.exit(9))

const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)
const content = (text) => ({ content: [{ type: 'text', text }] })

const TOOLS = {
  echo: ({ text }) => content(text),
  fail: () => ({ ...content('no such file'), isError: true }),
  crash: () => process.exit(7),
  die: () => process.kill(process.pid, 'SIGKILL'),
  slow: ({ text }) => new Promise((resolve) => setTimeout(resolve, 60, content(text))),
  hang: () => null,
  huge: ({ bytes }) => content('x'.repeat(bytes)),
  garbage: ({ text }) => {
    process.stdout.write('this is no json\r\n\n{"jsonrpc":"2.0","id":"nobody asked","result":{}}\n')
    return content(text)
  },
  ask: () => {
    const params = { messages: [{ role: 'user', content: { type: 'text', text: 'which?' } }], maxTokens: 9 }
    send({ jsonrpc: '2.0', id: 1, method: 'sampling/createMessage', params })
    return content('asked')
  },
}

async function answer({ id, method, params }) {
  if (id === undefined || method === undefined) return undefined
  const head = { jsonrpc: '2.0', id }
  if (method === 'initialize') {
    const serverInfo = { name: 'test-server', version: '3.1' }
    return { ...head, result: { protocolVersion: params.protocolVersion, capabilities: {}, serverInfo } }
  }
  if (method !== 'tools/call') return { ...head, result: { of: method } }
  const tool = TOOLS[params.name]
  if (!tool) return { ...head, error: { code: -32602, message: 'unknown tool' } }
  const result = await tool(params.arguments ?? {})
  return result ? { ...head, result } : undefined
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  if (SEEN) appendFileSync(SEEN, `${line}\n`)
  let message
  try {
    message = JSON.parse(line)
  } catch {
    return
  }
  if (!Array.isArray(message)) {
    const one = await answer(message)
    if (one) send(one)
    return
  }
  const answers = (await Promise.all(message.map(answer))).filter((one) => one !== undefined)
  if (answers.length > 0) send(answers)
})
