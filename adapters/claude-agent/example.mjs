/** A session of the Claude Agent SDK with a policy, against a stand-in for the Claude Code process. Offline. */
import { query } from '@anthropic-ai/claude-agent-sdk'
import { recordClaudeAgent } from 'indelible/capture/claude-agent'
import { withLog } from '../lib.mjs'
import { fakeClaude } from './fake.mjs'

const turns = [
  {
    calls: [
      { id: 'toolu_1', tool: 'Read', args: { file_path: 'notes.txt' } },
      { id: 'toolu_2', tool: 'Bash', args: { command: 'rm -rf /' } },
    ],
  },
  { text: 'I have read it, and removed nothing.' },
]
const tools = { Read: async () => 'buy milk', Bash: async () => 'gone' }

await withLog('claude-agent', async (log) => {
  const policy = ({ tool }) => (tool === 'Bash' ? { decision: 'deny', id: 'shell', reason: 'no shell here' } : 'allow')
  const recorded = recordClaudeAgent(query, {
    recorder: log.recorder,
    run: { agent: 'assistant', user: 'u-1', policy },
    onFailure: 'block',
  })
  const options = { spawnClaudeCodeProcess: fakeClaude(turns, tools), pathToClaudeCodeExecutable: 'none' }
  for await (const message of recorded({ prompt: 'tidy up', options })) {
    if (message.type === 'result') console.log(message.result)
  }
})
