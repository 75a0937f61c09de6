import { describe, it } from 'node:test'
import { query } from '@anthropic-ai/claude-agent-sdk'
import { recordClaudeAgent } from 'indelible/capture/claude-agent'
import { AGENT, describeAdapter, USER } from 'indelible/testing'
import { versionOf } from '../lib.mjs'
import { fakeClaude } from './fake.mjs'

describeAdapter(
  {
    name: 'claude-agent',
    framework: `@anthropic-ai/claude-agent-sdk ${versionOf('@anthropic-ai/claude-agent-sdk')}`,
    async play(scene, { recorder, onFailure, tools, policy, approve, signal }) {
      const run = { agent: AGENT, user: USER, onFailure, policy, approve }
      const recorded = recordClaudeAgent(query, { recorder, run })
      const abortController = new AbortController()
      signal.addEventListener('abort', () => abortController.abort(signal.reason), { once: true })
      const spawnClaudeCodeProcess = fakeClaude(scene.turns, tools)
      const options = { abortController, spawnClaudeCodeProcess, pathToClaudeCodeExecutable: 'none' }
      for await (const _ of recorded({ prompt: scene.prompt, options }));
    },
    lacks: {
      events: {
        llm: 'the model is asked by another process; its answers are recorded, when it was asked and with what is not known',
      },
    },
    unknownVersion: ({ recorder }) => recordClaudeAgent(query, { recorder, version: '0.4.0' }),
    bypasses: [
      'shown with a stand-in for the Claude Code process that obeys hooks as the real one documents',
      'mode `block` holds tools back, not model calls',
      'a hook of the caller that changes the arguments of a tool: those before it are recorded',
      'settings files of the agent, which may have hooks of their own, and `disableAllHooks`',
      'a process that is started without the recorded `query`, such as the command line',
    ],
  },
  { describe, it },
)
