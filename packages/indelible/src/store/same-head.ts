/** Whether a log is where a batch goes on from. */
import { isEqual } from '../bytes.ts'
import type { Head } from './store.ts'

/** Whether two heads are equal in all that a batch is built on; a purge moves `minIndex` alone. */
export function isSameHead(a: Head | null, b: Head): boolean {
  return (
    a !== null &&
    a.size === b.size &&
    a.epoch === b.epoch &&
    a.observed === b.observed &&
    a.checkpoint === b.checkpoint &&
    a.published === b.published &&
    isEqual(a.mac, b.mac) &&
    a.frontier.length === b.frontier.length &&
    a.frontier.every((hash, i) => isEqual(hash, b.frontier[i]!))
  )
}
