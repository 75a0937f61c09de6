/** A step of a run, such as one turn of an agent. */
import type { Run } from './run.ts'

export async function recordStep<T>(run: Run, name: string, fn: () => T): Promise<Awaited<T>> {
  const call = run.calls.nextId('step')
  void run.stepStart(name, call)
  try {
    const result = await run.within(fn)
    void run.stepEnd(call)
    return result
  } catch (error) {
    void run.stepError(call, error)
    throw error
  }
}
