/** A clean end on SIGTERM, for hosts that ask for it. */

/** What has to be brought to an end: a log, or a recorder. */
interface Closable {
  flush(): Promise<void>
  close(): Promise<void>
}

/**
 * On one of `signals`, brings what waits to the log and closes it; then the process ends by that signal, as it would have.
 * A host that listens to the signal itself keeps it: then everything is only flushed, and how and when the process ends is the
 * host's. A second signal while closing ends the process at once.
 *
 * @returns what takes the handlers away again
 */
export function closeOnSignal(log: Closable, signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT']): () => void {
  const handlers = new Map<NodeJS.Signals, () => void>()
  const remove = () => {
    for (const [signal, handler] of handlers) process.off(signal, handler)
    handlers.clear()
  }
  for (const signal of signals) {
    const handler = async () => {
      const isHosts = process.listenerCount(signal) > 1
      if (!isHosts) remove()
      try {
        await (isHosts ? log.flush() : log.close())
      } finally {
        // Without a listener the signal does what it does by default.
        if (!isHosts) process.kill(process.pid, signal)
      }
    }
    const listener = () => void handler().catch(() => {})
    handlers.set(signal, listener)
    process.on(signal, listener)
  }
  return remove
}
