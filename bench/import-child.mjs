/**
 * What an import costs, alone or with the first log opened: for `npm run bench -- capture`. Prints JSON. Imports nothing itself, so
 * that nothing is loaded before the clock runs; processor time, because on a machine that is busy with other things a wall clock
 * says anything.
 */
const [, , module, home] = process.argv
const start = process.cpuUsage()
const { openLog } = await import(module)
const log = home === undefined ? null : await openLog({ home })
const { user, system } = process.cpuUsage(start)
await log?.close()
console.log(JSON.stringify({ ms: (user + system) / 1000 }))
