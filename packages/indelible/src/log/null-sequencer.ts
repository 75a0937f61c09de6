/** In the place of a sequencer where `log.store` is `null:`: places are counted, nothing is written, signed or remembered. */
import { IndelibleError } from '../errors.ts'
import { sealDraft } from '../record/entry.ts'
import { formatTime } from '../record/time.ts'
import { leafHash } from '../tree/hash.ts'
import type { Clock, Item, Place, Sequencing } from './sequencer.ts'

export class NullSequencer implements Sequencing {
  readonly #clock: Clock
  #counted = 0
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async open(): Promise<void> {}

  async append(items: readonly Item[], rotation?: unknown): Promise<Place[]> {
    if (this.#isClosed) throw new IndelibleError('ERR_CLOSED', 'log is closed')
    // A rotation that no entry tells of would leave whoever trusts the old key behind.
    if (rotation !== undefined) throw new IndelibleError('ERR_STORE_READONLY', 'log.store is null: nothing is kept')
    const observed = formatTime(this.#clock())
    return items.map(({ draft }) => ({
      index: this.#counted++,
      leaf: leafHash(sealDraft(draft, observed)),
      checkpoint: '',
      duplicate: false,
      uncompared: false,
    }))
  }

  enqueue(
    items: readonly Item[],
    rotation: unknown,
    resolve: (places: readonly Place[]) => void,
    reject: (error: unknown) => void,
  ): void {
    this.append(items, rotation).then(resolve, reject)
  }

  async audit(): Promise<void> {}

  async notice(): Promise<void> {}

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true
  }
}
