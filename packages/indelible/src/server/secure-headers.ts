/** Headers by which a browser is told to do nothing with what it gets. */
import { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import { REFERENCE_STYLE } from './routes/reference.ts'

/** For every answer of the app. */
export const SECURE_HEADERS = secureHeaders({
  contentSecurityPolicy: { defaultSrc: ["'none'"], styleSrc: [REFERENCE_STYLE] },
  xFrameOptions: 'DENY',
})

/** What {@link SECURE_HEADERS} sets, for what answers without the app: names and values in turns. */
export async function secureHeaderLines(): Promise<string[]> {
  const app = new Hono().use(SECURE_HEADERS).get('/', (c) => c.body(null))
  return [...(await app.request('/')).headers].flat()
}
