import { describe, it } from 'node:test'
import { isIndelibleError } from 'indelible'
import { recordOpenAi } from 'indelible/capture/openai'
import { AGENT, describeAdapter, MODEL, USER } from 'indelible/testing'
import OpenAI from 'openai'
import { versionOf } from '../lib.mjs'
import { fakeFetch } from './fake.mjs'

describeAdapter(
  {
    name: 'openai',
    framework: `openai ${versionOf('openai')}`,
    async play(scene, { recorder, onFailure, tools, policy, approve, signal }) {
      const client = recordOpenAi(new OpenAI({ apiKey: 'none', maxRetries: 0, fetch: fakeFetch(scene.turns) }), {
        recorder,
      })
      await recorder.run({ agent: AGENT, user: USER, onFailure, policy, approve, signal }, async (run) => {
        const messages = [{ role: 'user', content: scene.prompt }]
        for (const _ of scene.turns) {
          signal.throwIfAborted()
          if (scene.name === 'stream') {
            const stream_options = { include_usage: true }
            const stream = await client.chat.completions.create({
              model: MODEL,
              messages,
              stream: true,
              stream_options,
            })
            for await (const _chunk of stream);
            continue
          }
          const { choices } = await client.chat.completions.create({ model: MODEL, messages })
          const { message } = choices[0]
          messages.push(message)
          const results = await Promise.allSettled(
            (message.tool_calls ?? []).map(async ({ id, function: { name, arguments: text } }) => {
              if (name.startsWith('transfer_to_')) return run.handoff(name.slice('transfer_to_'.length))
              return run.tool(name, JSON.parse(text), (args, context) => tools[name](args, context.signal), {
                call: id,
              })
            }),
          )
          for (const { reason } of results) if (isIndelibleError(reason, 'ERR_CAPTURE_BLOCKED')) throw reason
        }
      })
    },
    unknownVersion: ({ recorder }) => recordOpenAi(new OpenAI({ apiKey: 'none' }), { recorder, version: '99.0.0' }),
    bypasses: [
      'resources other than `chat.completions`, `responses` and `embeddings`, and `client.post`',
      'a streamed answer that is read by `tee()` or `toReadableStream()`: its end is not seen, and the call stays open',
      'usage of a streamed chat answer is missing without `stream_options: { include_usage: true }`',
      'tools are run by your own code: record them with `run.tool`',
    ],
  },
  { describe, it },
)
