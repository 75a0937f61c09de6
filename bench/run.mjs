/** `npm run bench [-- SUITE] [--entries N]`: a suite is a file beside this one that exports `describe` and `run`. */
import { parseArgs } from 'node:util'

const suites = ['log', 'capture', 'privacy', 'stores', 'retention', 'server']
const { values, positionals } = parseArgs({ allowPositionals: true, options: { entries: { type: 'string' } } })
const [name = 'log'] = positionals
if (!suites.includes(name)) {
  console.error(`no suite ${name}; there are: ${suites.join(', ')}`)
  process.exit(2)
}
const suite = await import(`./${name}.mjs`)
console.log(`${name}: ${suite.describe}\nNode ${process.version}, ${process.arch}\n`)
await suite.run({ ...(values.entries && { entries: Number(values.entries) }) })
