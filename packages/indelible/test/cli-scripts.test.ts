import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'vitest'
import { Sandbox } from './cli/kit.ts'
import { runScript } from './cli/script.ts'

const folder = new URL('cli/', import.meta.url)

describe('the command line does what the script says:', () => {
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.script'))) {
    it.concurrent(name, async () => runScript(new Sandbox(), readFileSync(new URL(name, folder), 'utf8')))
  }
})
