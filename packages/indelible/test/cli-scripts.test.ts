import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'vitest'
import { Sandbox } from './cli/kit.ts'
import { runScript } from './cli/script.ts'

const folder = new URL('cli/', import.meta.url)

describe.concurrent('the command line does what the script says:', () => {
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.script'))) {
    it(name, (test) => runScript(new Sandbox(test), readFileSync(new URL(name, folder), 'utf8')))
  }
})
