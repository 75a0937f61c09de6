/** `npm run bench [-- SUITE] [--entries N] [--only PART] [--listeners N] [--overload-seconds N]`: a suite is a file beside this one that exports `describe` and `run`. */
import { parseArgs } from 'node:util'

const suites = ['log', 'capture', 'privacy', 'stores', 'retention', 'server']
const text = { type: 'string' }
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { entries: text, only: text, listeners: text, 'overload-seconds': text },
})
const [name = 'log'] = positionals
if (!suites.includes(name)) {
  console.error(`no suite ${name}; there are: ${suites.join(', ')}`)
  process.exit(2)
}
const suite = await import(`./${name}.mjs`)
console.log(`${name}: ${suite.describe}\nNode ${process.version}, ${process.arch}\n`)
await suite.run({
  ...(values.entries && { entries: Number(values.entries) }),
  ...(values.only && { only: values.only }),
  ...(values.listeners && { listeners: Number(values.listeners) }),
  ...(values['overload-seconds'] && { overloadSeconds: Number(values['overload-seconds']) }),
})
