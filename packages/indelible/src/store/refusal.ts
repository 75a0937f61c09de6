/** What the caller of an append throws is no error of the store. */
import type { Locked } from './store.ts'

/** Carries what `seal` threw past the place where errors of the back-end get their codes: it may look like one. */
export class Refusal {
  readonly reason: unknown

  constructor(reason: unknown) {
    this.reason = reason
  }
}

/** Calls `seal`. Rejects with a {@link Refusal} if it throws. */
export async function callSeal<T>(seal: (locked: Locked) => T, locked: Locked): Promise<Awaited<T>> {
  try {
    return await seal(locked)
  } catch (reason) {
    throw new Refusal(reason)
  }
}
