/** An agent of a few lines, for adapters of clients: asks a model, calls what that wants called, asks again. */
import { isIndelibleError } from 'indelible'
import { AGENT, USER } from 'indelible/testing'

const HANDOFF = 'transfer_to_'

/**
 * Plays a scene. `ask(isStream, results)` asks the model once, with what the calls of its last answer gave, and resolves with
 * the calls of this one: `{id, name, args}`.
 */
export function playLoop(scene, { recorder, onFailure, tools, policy, approve, signal }, ask) {
  return recorder.run({ agent: AGENT, user: USER, onFailure, policy, approve, signal }, async (run) => {
    let results = []
    for (const _ of scene.turns) {
      signal.throwIfAborted()
      const calls = await ask(scene.name === 'stream', results)
      const settled = await Promise.allSettled(
        calls.map(({ id, name, args }) =>
          name.startsWith(HANDOFF)
            ? run.handoff(name.slice(HANDOFF.length))
            : run.tool(name, args, (given, context) => tools[name](given, context.signal), { call: id }),
        ),
      )
      for (const { reason } of settled) if (isIndelibleError(reason, 'ERR_CAPTURE_BLOCKED')) throw reason
      results = settled.map(({ value, reason }, i) => ({ id: calls[i].id, result: String(value ?? reason?.message) }))
    }
  })
}

/** The calls of a turn of the script, with a handoff as the call of a tool. */
export function callsOf(turn) {
  if ('text' in turn) return []
  return 'calls' in turn ? turn.calls : [{ id: 'call_1', tool: `${HANDOFF}${turn.handoff}`, args: {} }]
}
