#!/usr/bin/env node
// Runs on any Node that knows import(): nothing newer than ES2015 here besides it, so that an old one gets to say what is needed.

const NEEDED = [22, 18]

const found = process.versions.node.split('.').map(Number)
if (found[0] < NEEDED[0] || (found[0] === NEEDED[0] && found[1] < NEEDED[1])) {
  const needed = NEEDED.join('.')
  console.error(`indelible needs Node ${needed} or newer; this is Node ${process.versions.node} (${process.execPath}).`)
  console.error('Install a newer one from https://nodejs.org/ or with nvm: nvm install 24')
  console.error('For one run without installing it: npx --package node@24 --package indelible -- indelible --help')
  process.exitCode = 2
} else {
  import('../dist/cli/main.js')
    .then((cli) => cli.main(process.argv))
    .catch((error) => {
      console.error(`indelible cannot start: ${error.message}`)
      if (process.env.DEBUG) console.error(error.stack)
      process.exitCode = 3
    })
}
