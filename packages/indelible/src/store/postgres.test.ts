import { randomBytes } from 'node:crypto'
import { describe, it } from 'vitest'
import { noServer, sharedServer } from '../../test/postgres/shared.ts'
import { describeStore } from '../testing/store-suite.ts'
import { openPostgresStore } from './postgres.ts'

describe.skipIf(noServer)(`on a server${noServer ? `: ${noServer}` : ''}`, () => {
  describeStore(
    'postgres',
    async () => {
      // Many logs in one database: what one test leaves behind must not matter to the next.
      const url = `${await sharedServer()}?partition=4096`
      const options = { origin: `example.com/${randomBytes(6).toString('hex')}`, create: true }
      return {
        open: () => openPostgresStore(url, options),
        elsewhere: {
          module: new URL('./postgres.ts', import.meta.url),
          open: 'openPostgresStore',
          args: [url, options],
        },
        lacks: { files: 'the WAL of a server has older bytes than the log, for as long as the server wants' },
      }
    },
    { describe, it },
  )
})
