/** Holds and floors come before a request for erasure: what they keep is not erased. */
import type { Config } from '../config/config.ts'
import type { ErasureTarget } from '../log/erasure.ts'
import { findRecord } from '../log/find-row.ts'
import type { Log } from '../log/log.ts'
import { openQuery } from '../query/home-query.ts'
import type { ReadRecord } from '../record/entry.ts'
import { HoldRegister } from './holds.ts'
import { assertAboveFloor } from './plan.ts'

/** @throws IndelibleError `ERR_HELD` naming the entry, and the hold or the floor */
export async function refuseHeldErasure(
  home: string,
  config: Config,
  log: Log,
  targets: readonly ErasureTarget[],
): Promise<void> {
  const nowMs = Date.now()
  await using query = await openQuery({ home })
  const entries = async function* (): AsyncGenerator<{ index: number; record: ReadRecord }> {
    for (const { index } of targets) {
      const record = await findRecord(log.store, index)
      assertAboveFloor(config.retention, index, record, nowMs)
      yield { index, record }
    }
  }
  const read = entries()
  await new HoldRegister(log, query).assertNotHeld(read)
  // Without a hold nobody has read them: floors count all the same.
  for await (const _ of read);
}
