import { describe, it } from 'node:test'
import { HumanMessage } from '@langchain/core/messages'
import { langChainMiddleware, recordLangChain } from 'indelible/capture/langchain'
import { AGENT, describeAdapter, USER } from 'indelible/testing'
import { versionOf } from '../lib.mjs'
import { planner } from './agent.mjs'
import { ScriptedModel } from './fake.mjs'

const framework = `langchain ${versionOf('langchain')}, @langchain/langgraph ${versionOf('@langchain/langgraph')}`

/** Asks the agent, for a stream in the scene that is about one. */
async function ask(agent, scene, config) {
  const input = { messages: [new HumanMessage(scene.prompt)] }
  if (scene.name !== 'stream') return agent.invoke(input, config)
  for await (const _ of await agent.stream(input, { ...config, streamMode: 'messages' }));
}

describeAdapter(
  {
    name: 'langchain',
    framework,
    play(scene, { recorder, onFailure, tools, policy, approve, signal }) {
      const handler = recordLangChain({ recorder, run: { user: USER, onFailure, policy, approve } })
      const agent = planner(new ScriptedModel(scene.turns), tools)
      return ask(agent, scene, { callbacks: [handler], runName: AGENT, signal })
    },
    unknownVersion: ({ recorder }) => recordLangChain({ recorder, version: '99.0.0' }),
    bypasses: [
      'a call that is not given the handler as a callback, or whose tool calls others without handing its `config` on',
      'who answered an interrupt is known only from the option `approver`',
      'LangChain prints each refusal to the console',
    ],
  },
  { describe, it },
)

describeAdapter(
  {
    name: 'langchain-middleware',
    framework,
    async play(scene, { recorder, onFailure, tools, policy, approve, signal }) {
      const agent = planner(new ScriptedModel(scene.turns), tools, [langChainMiddleware({ recorder })])
      await recorder.run({ agent: AGENT, user: USER, onFailure, policy, approve, signal }, () =>
        ask(agent, scene, { signal }),
      )
    },
    unknownVersion: ({ recorder }) => langChainMiddleware({ recorder, version: '99.0.0' }),
    bypasses: [
      'agents that are not made with `createAgent`, and those that are not given the middleware',
      'a middleware after it that calls a tool by itself',
    ],
  },
  { describe, it },
)
