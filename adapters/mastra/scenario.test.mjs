import { describe, it } from 'node:test'
import { recordMastra } from 'indelible/capture/mastra'
import { AGENT, describeAdapter, USER } from 'indelible/testing'
import { versionOf } from '../lib.mjs'
import { agentWith, scriptedModel, tool } from './agent.mjs'

describeAdapter(
  {
    name: 'mastra',
    framework: `@mastra/core ${versionOf('@mastra/core')}, @mastra/observability ${versionOf('@mastra/observability')}`,
    async play(scene, { recorder, onFailure, tools: given, policy, approve, signal }) {
      const audit = recordMastra({ recorder, run: { user: USER, onFailure, policy, approve } })
      const tools = Object.fromEntries(Object.entries(given).map(([name, run]) => [name, tool(name, run)]))
      const agent = agentWith(audit, { name: AGENT, model: scriptedModel(scene.turns), tools })
      const { fullStream } = await agent.stream(scene.prompt, { abortSignal: signal })
      for await (const _ of fullStream);
    },
    lacks: { scenes: { handoff: 'an agent that is called as a tool answers its caller: it is recorded as a tool' } },
    unknownVersion: ({ recorder }) => recordMastra({ recorder, version: '0.24.9' }),
    bypasses: [
      'tools that did not go through `tools`, such as those of memory, workspaces and MCP: they are recorded, and not held back',
      'mode `block` holds tools back, not model calls',
      'an agent without observability, or one whose spans are sampled or filtered: then only tools are recorded',
      'approvals of Mastra itself: that somebody is asked is recorded, what they said is not; use `approve`',
    ],
  },
  { describe, it },
)
