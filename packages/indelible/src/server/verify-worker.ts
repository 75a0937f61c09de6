/** Verifies one log in a thread of its own, so that requests do not wait for it. */
import { parentPort, workerData } from 'node:worker_threads'
import { isIndelibleError } from '../errors.ts'
import { verifyHome } from '../log/verify-home.ts'

/** What the thread tells: codes and counts only. */
export interface VerifyNews {
  readonly verdict: 'verified' | 'failed' | 'incomplete' | 'error'
  readonly size: number
  readonly codes: readonly string[]
}

let news: VerifyNews
try {
  const { verdict, size, findings } = await verifyHome({ home: (workerData as { home: string }).home })
  news = { verdict, size, codes: [...new Set(findings.map(({ code }) => code))] }
} catch (error) {
  news = { verdict: 'error', size: 0, codes: [isIndelibleError(error) ? error.code : (error as Error).name] }
}
parentPort!.postMessage(news)
