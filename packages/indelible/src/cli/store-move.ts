/** Whether a log is in another store too: whole, and not more of it. */
import { isEqual } from '../bytes.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { openStoreAt } from '../store/stores.ts'

/** @throws IndelibleError what opening the stores throws */
export async function isCopied(home: string, to: string): Promise<boolean> {
  const { log } = loadConfig(home, {})
  const [here, there] = [await checkpointAt(home, log, log.store), await checkpointAt(home, log, to)]
  return here !== null && there !== null && here.size === there.size && isEqual(here.root, there.root)
}

async function checkpointAt(home: string, { origin }: Config['log'], url: string) {
  const store = await openStoreAt(url, { home, origin, readOnly: true })
  try {
    const head = await store.head()
    const checkpoint = head && parseCheckpoint(parseNote(head.checkpoint).text)
    return checkpoint && checkpoint.origin === origin && checkpoint.size === head.size ? checkpoint : null
  } finally {
    await store.close()
  }
}
