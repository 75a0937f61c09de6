/** Whether what a store, its backups and its replicas may still hold of erased parts can be read by anybody. */
import type { LogStore } from '../store/store.ts'
import type { ErasureTarget } from './erasure.ts'

/**
 * Each part was stored encrypted from the beginning, under several keys perhaps, one of which is destroyed: whatever copy of the
 * store is left, where nobody can look, is ciphertext that no key opens. To be asked before the parts are deleted.
 */
export async function areShredded(
  store: LogStore,
  targets: readonly ErasureTarget[],
  isForgotten: ((key: string) => boolean) | undefined,
): Promise<boolean> {
  if (!store.sealedUnder || !isForgotten) return false
  for (const { index, parts } of targets) {
    const sealed = await store.sealedUnder(index)
    for (const name of parts) if (!(sealed.get(name) ?? []).some(isForgotten)) return false
  }
  return true
}
