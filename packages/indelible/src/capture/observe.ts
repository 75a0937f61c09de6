/** Any async stream of agent events, recorded as it goes by and passed on unchanged. */
import { currentRun } from './context.ts'
import type { RunOptions } from './members.ts'
import { type MappedEvents, ObservedRun } from './observed-run.ts'
import type { Recorder } from './recorder.ts'
import { Run } from './run.ts'
import { watchIterator } from './stream.ts'

export interface ObserveOptions<T> {
  /** The run that the stream tells of. Default: the current one; with options, one that begins and ends with the stream. */
  readonly run?: Run | RunOptions
  /**
   * What a chunk stands for; `null` for nothing of importance. Default: events of our own, and those of AI SDK, LangChain
   * and Claude that are known by their shape.
   */
  readonly map?: (chunk: T) => MappedEvents
}

/**
 * What a stream tells is reported, not enforced: an action may have happened before its event came by. A consumer that stops
 * reading ends the recording, too.
 */
export function observe<T>(
  recorder: Recorder,
  stream: AsyncIterable<T>,
  options: ObserveOptions<T> = {},
): AsyncIterableIterator<T> {
  const given = options.run ?? currentRun() ?? { agent: 'unknown' }
  const own = given instanceof Run ? null : recorder.run({ assurance: 'reported', ...given })
  const observed = new ObservedRun(own ?? (given as Run), own !== null)
  return watchIterator(stream, {
    chunk: (chunk) => observed.see(chunk, options.map as ((chunk: unknown) => MappedEvents) | undefined),
    done: () => observed.end(),
    left: () => observed.leave(),
    failed: (error) => observed.fail(error),
  })
}
