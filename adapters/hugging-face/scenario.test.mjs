import { describe, it } from 'node:test'
import { InferenceClient } from '@huggingface/inference'
import { recordHuggingFace } from 'indelible/capture/hugging-face'
import { describeAdapter, MODEL } from 'indelible/testing'
import { versionOf } from '../lib.mjs'
import { playLoop } from '../loop.mjs'
import { ENDPOINT, fakeFetch } from './fake.mjs'

describeAdapter(
  {
    name: 'hugging-face',
    framework: `@huggingface/inference ${versionOf('@huggingface/inference')}`,
    async play(scene, stage) {
      const plain = new InferenceClient('none', { endpointUrl: ENDPOINT, fetch: fakeFetch(scene.turns) })
      const client = recordHuggingFace(plain, { recorder: stage.recorder })
      const messages = [{ role: 'user', content: scene.prompt }]
      await playLoop(scene, stage, async (isStream, results) => {
        for (const { id, result } of results) messages.push({ role: 'tool', tool_call_id: id, content: result })
        if (isStream) {
          for await (const _chunk of client.chatCompletionStream({ model: MODEL, messages }));
          return []
        }
        const { choices } = await client.chatCompletion({ model: MODEL, messages })
        const { message } = choices[0]
        messages.push(message)
        return (message.tool_calls ?? []).map(({ id, function: { name, arguments: text } }) => ({
          id,
          name,
          args: JSON.parse(text),
        }))
      })
    },
    unknownVersion: async ({ recorder }) => {
      // The client's requests say its version; this one's are made to say another.
      const plain = new InferenceClient('none', { endpointUrl: ENDPOINT, fetch: fakeFetch([]) })
      const { chatCompletion } = plain
      const newer = Object.defineProperty(Object.create(plain), 'chatCompletion', {
        value: (params, { fetch }) =>
          chatCompletion(params, {
            fetch: (url, init) =>
              fetch(url, { ...init, headers: { ...init.headers, 'User-Agent': '@huggingface/inference/99.0.0' } }),
          }),
      })
      await recordHuggingFace(newer, { recorder }).chatCompletion({ model: MODEL, messages: [] })
    },
    bypasses: [
      'the client that was recorded keeps its own methods: use the one that `recordHuggingFace` gives',
      'the functions that the package exports beside the client, such as `chatCompletion`',
      'usage of a streamed answer is missing where the provider does not send it',
      'tools are run by your own code: record them with `run.tool`',
    ],
  },
  { describe, it },
)
