import { describe, it } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { recordAnthropic } from 'indelible/capture/anthropic'
import { describeAdapter, MODEL } from 'indelible/testing'
import { versionOf } from '../lib.mjs'
import { playLoop } from '../loop.mjs'
import { fakeFetch } from './fake.mjs'

describeAdapter(
  {
    name: 'anthropic',
    framework: `@anthropic-ai/sdk ${versionOf('@anthropic-ai/sdk')}`,
    async play(scene, stage) {
      const plain = new Anthropic({ apiKey: 'none', maxRetries: 0, fetch: fakeFetch(scene.turns) })
      const client = recordAnthropic(plain, { recorder: stage.recorder })
      const messages = [{ role: 'user', content: scene.prompt }]
      await playLoop(scene, stage, async (stream, results) => {
        if (results.length > 0) {
          const content = results.map(({ id, result }) => ({ type: 'tool_result', tool_use_id: id, content: result }))
          messages.push({ role: 'user', content })
        }
        const request = { model: MODEL, max_tokens: 100, messages }
        if (stream) {
          for await (const _event of await client.messages.create({ ...request, stream }));
          return []
        }
        const { content } = await client.messages.create(request)
        messages.push({ role: 'assistant', content })
        return content
          .filter(({ type }) => type === 'tool_use')
          .map(({ id, name, input }) => ({ id, name, args: input }))
      })
    },
    unknownVersion: ({ recorder }) =>
      recordAnthropic(new Anthropic({ apiKey: 'none' }), { recorder, version: '99.0.0' }),
    bypasses: [
      'requests other than `/v1/messages` and `/v1/complete`, such as message batches, token counts and files',
      'the parts of a middleware that answers by itself, or changes the answer: this one is the innermost',
      'a second client that is made with `new`; those that `withOptions` makes are recorded',
      'tools are run by your own code, or by `toolRunner`: record them with `run.tool`',
    ],
  },
  { describe, it },
)
