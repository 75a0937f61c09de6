/** A thread of {@link VerifyThreads}: reads windows from a store of its own, says which of their entries are settled. */
import { parentPort, workerData } from 'node:worker_threads'
import type { LogStore } from '../store/store.ts'
import { openStoreAt } from '../store/stores.ts'
import { checkWindow } from '../verify/window-check.ts'
import type { VerifyThreadStart, WindowAnswer, WindowQuestion } from './verify-threads.ts'

const { home, config, hasVault } = workerData as VerifyThreadStart
const port = parentPort!
const store = await open()

port.on('message', ({ start, end }: WindowQuestion) => {
  checkWindow(store, config.log.origin, start, end).then(answer, () => answer(null))
})

async function open(): Promise<LogStore> {
  const bare = await openStoreAt(config.log.store, { home, origin: config.log.origin, readOnly: true })
  if (!hasVault) return bare
  const { openVaultToRead, protectPayloads } = await import('./vault-home.ts')
  return protectPayloads(bare, openVaultToRead(home, config), config)
}

function answer(checked: WindowAnswer): void {
  if (checked === null) {
    port.postMessage(null)
    return
  }
  const buffers = [checked.settled, checked.leaves, checked.macs, checked.epochs, checked.ids, checked.timeOf]
  port.postMessage(
    checked,
    buffers.map(({ buffer }) => buffer as ArrayBuffer),
  )
}
