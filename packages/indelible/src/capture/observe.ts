/** Any async stream of agent events, recorded as it goes by and passed on unchanged. */
import type { AgentEvent } from '../record/schema.ts'
import { currentRun } from './context.ts'
import type { RunOptions } from './members.ts'
import { ObservedRun } from './observed-run.ts'
import type { Recorder } from './recorder.ts'
import { Run } from './run.ts'

export interface ObserveOptions<T> {
  /** The run that the stream tells of. Default: the current one; with options, one that begins and ends with the stream. */
  readonly run?: Run | RunOptions
  /**
   * What a chunk stands for; `null` for nothing of importance. Default: events of our own, and those of AI SDK, LangChain
   * and Claude that are known by their shape.
   */
  readonly map?: (chunk: T) => Partial<AgentEvent> | readonly Partial<AgentEvent>[] | null
}

/**
 * What a stream tells is reported, not enforced: an action may have happened before its event came by. A consumer that stops
 * reading ends the recording, too.
 */
export async function* observe<T>(
  recorder: Recorder,
  stream: AsyncIterable<T>,
  options: ObserveOptions<T> = {},
): AsyncGenerator<T, void, undefined> {
  const given = options.run ?? currentRun() ?? { agent: 'unknown' }
  const own = given instanceof Run ? null : recorder.run({ assurance: 'reported', ...given })
  const observed = new ObservedRun(own ?? (given as Run), own !== null)
  let isOver = false
  try {
    for await (const chunk of stream) {
      observed.see(chunk, options.map as ((chunk: unknown) => ReturnType<NonNullable<typeof options.map>>) | undefined)
      yield chunk
    }
    isOver = true
    observed.end()
  } catch (error) {
    isOver = true
    observed.fail(error)
    throw error
  } finally {
    if (!isOver) observed.leave()
  }
}
