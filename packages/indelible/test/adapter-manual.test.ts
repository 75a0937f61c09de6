import { fileURLToPath } from 'node:url'
import { describe, it } from 'vitest'
import { isIndelibleError } from '../src/errors.ts'
import { AGENT, MODEL, TURN_USAGE, type Turn, USER } from '../src/testing/adapter-script.ts'
import { describeAdapter } from '../src/testing/adapter-suite.ts'

/** What the scripted model answers: text as a stream. */
function answer(turn: Turn) {
  if (!('text' in turn)) return { ...turn, usage: TURN_USAGE }
  return (async function* () {
    for (const delta of turn.chunks) yield { delta }
    yield { usage: TURN_USAGE }
  })()
}

describeAdapter(
  {
    name: 'manual',
    framework: 'log.run',
    async play(scene, { recorder, tools, ...hooks }) {
      const { onFailure, policy, approve, signal } = hooks
      const options = { agent: AGENT, user: USER, model: MODEL, onFailure, policy, approve, signal }
      await recorder.run(options, async (run) => {
        for (const turn of scene.turns) {
          signal.throwIfAborted()
          const answered = await run.llm({ input: scene.prompt }, () => answer(turn))
          if (Symbol.asyncIterator in answered) for await (const _ of answered);
          else if ('handoff' in answered) await run.handoff(answered.handoff)
          else if ('calls' in answered) {
            const results = await Promise.allSettled(
              answered.calls.map(({ id, tool, args }) =>
                run.tool(tool, args, (given, context) => tools[tool](given, context.signal), { call: id }),
              ),
            )
            const refused = results.find(
              (one) => one.status === 'rejected' && isIndelibleError(one.reason, 'ERR_CAPTURE_BLOCKED'),
            )
            if (refused) throw (refused as PromiseRejectedResult).reason
          }
        }
      })
    },
  },
  // Its row is of the table that `npm run adapters` writes for the others.
  { describe, it, results: fileURLToPath(new URL('../../../adapters/results', import.meta.url)) },
)
