/**
 * A small agent at work, recorded; then somebody tampers with the record. `npm run demo`
 *
 * The agent's decisions are scripted so that it needs no model, everything else is real: files, a shell, a policy, a
 * person's approval, a log on SQLite. Nothing leaves this machine.
 */
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createLog, openLog, Pins, verifyHome } from 'indelible'
import { checkProof, parseMacVerificationKey, parseVkey } from 'indelible/verify'

const colour = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code) => (text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
const [bold, dim, red, green] = [1, 2, 31, 32].map(paint)
const heading = (text) => console.log(`\n${bold(text)}`)

const folder = mkdtempSync(join(tmpdir(), 'indelible-demo-'))
const home = join(folder, 'home')
const workspace = join(folder, 'workspace')
// The auditor's memory, on the auditor's side.
const pins = new Pins(join(folder, 'auditor'))

/** The agent: a list of what it decides to do. */
const plan = [
  {
    tool: 'write_file',
    args: { path: 'report.txt', text: 'Refund of order 1042 for jane.doe@example.com: approved.' },
  },
  { tool: 'read_file', args: { path: 'report.txt' } },
  { tool: 'shell', args: { command: 'wc', arguments: ['-c', 'report.txt'] } },
  { tool: 'read_file', args: { path: 'missing.txt' } },
  { tool: 'shell', args: { command: 'rm', arguments: ['-rf', '/'] } },
  { tool: 'send_refund', args: { order: 1042, amount: 129.9 }, needsApproval: true },
]

const tools = {
  write_file: ({ path, text }) => writeFileSync(join(workspace, path), text),
  read_file: ({ path }) => readFileSync(join(workspace, path), 'utf8'),
  shell: ({ command, arguments: args }) => execFileSync(command, args, { cwd: workspace, encoding: 'utf8' }),
  send_refund: ({ order, amount }) => ({ order, amount, state: 'sent' }),
}

const isAllowed = ({ tool, args }) => tool !== 'shell' || ['wc', 'ls', 'cat'].includes(args.command)

async function runAgent(log) {
  const run = { id: randomUUID() }
  const agent = { type: 'agent', id: 'refund-agent', version: '1.3', on_behalf_of: 'customer-7' }
  const record = async (event) => {
    const { index } = await log.record({ run, actor: agent, ...event })
    const what = [event.type, event.tool?.name, event.outcome && event.outcome !== 'success' ? event.outcome : '']
    console.log(dim(`  ${String(index).padStart(2)}  ${what.filter(Boolean).join(' · ')}`))
  }

  await record({ type: 'run.start', outcome: 'pending', model: { provider: 'scripted', name: 'plan-1' } })
  for (const [i, step] of plan.entries()) {
    const call = `call-${i}`
    const tool = { name: step.tool }
    const input = { value: step.args }
    await record({ type: 'llm.response', outcome: 'success', parts: { output: { value: { call, ...step } } } })
    if (!isAllowed(step)) {
      const policy = { id: 'shell-allowlist', version: '4', decision: 'deny', reason: 'command is not on the list' }
      await record({ type: 'policy.evaluated', outcome: 'denied', call, tool, policy, parts: { input } })
      continue
    }
    if (step.needsApproval) {
      await record({ type: 'approval.requested', outcome: 'pending', call, tool, parts: { input } })
      const approver = { type: 'user', id: 'supervisor-2' }
      await record({ type: 'approval.decided', outcome: 'approved', call, tool, actor: approver })
    }
    await record({ type: 'tool.start', outcome: 'pending', call, tool, parts: { input } })
    try {
      const output = tools[step.tool](step.args)
      await record({ type: 'tool.end', outcome: 'success', call, tool, parts: { output: { value: output } } })
    } catch (error) {
      const details = { type: error.code ?? error.name, message: error.message }
      await record({ type: 'tool.error', outcome: 'failure', call, tool, error: details })
    }
  }
  await record({ type: 'run.end', outcome: 'success', attributes: { steps: plan.length } })
}

/** Attacks on a copy of the database, by somebody with every right to it. */
const attacks = [
  [
    'one entry edited: "denied" becomes "success"',
    (db) => {
      const row = db.prepare(`SELECT idx, entry FROM entries WHERE entry LIKE '%"outcome":"denied"%'`).get()
      const entry = Buffer.from(row.entry).toString().replace('"outcome":"denied"', '"outcome":"success"')
      db.prepare('UPDATE entries SET entry = ? WHERE idx = ?').run(Buffer.from(entry), row.idx)
    },
  ],
  ['one entry deleted', (db) => db.exec('DELETE FROM entries WHERE idx = 9')],
  [
    'two entries swapped',
    (db) =>
      db.exec(
        'UPDATE entries SET idx = -1 WHERE idx = 5; UPDATE entries SET idx = 5 WHERE idx = 6; UPDATE entries SET idx = 6 WHERE idx = -1',
      ),
  ],
  ['the last five entries cut off', (db) => db.exec('DELETE FROM entries WHERE idx >= (SELECT size - 5 FROM head)')],
]

async function attack(what, macKey, tamper) {
  const copy = join(folder, 'copy')
  cpSync(home, copy, { recursive: true })
  tamper(copy)
  const report = await verifyHome({ home: copy, pins, macKey })
  const [finding] = report.findings
  const caught = report.verdict === 'failed'
  console.log(
    `  ${caught ? green('caught') : red('NOT CAUGHT')}  ${what}\n          ${dim(`${finding?.code}: ${finding?.message}`)}`,
  )
  if (!caught) process.exitCode = 1
  rmSync(copy, { recursive: true })
}

try {
  execFileSync('mkdir', [workspace])
  heading('1. A log is made')
  const { origin, vkey, macVerificationKey } = await createLog({ home, pins })
  console.log(`  origin  ${origin}\n  vkey    ${vkey}`)
  const early = join(folder, 'early.db')
  copyFileSync(join(home, 'log.db'), early)

  heading('2. An agent works; every step is recorded')
  const log = await openLog({ home })
  await runAgent(log)

  heading('3. One entry is proven to a stranger')
  const { index, entry, proof } = await log.prove(1)
  await log.close()
  const checked = checkProof(proof, entry, { origin, keys: [parseVkey(vkey)] })
  console.log(
    `  the stranger has ${entry.length} bytes of entry, ${proof.length} of proof, and the vkey: no log, no network`,
  )
  console.log(
    `  ${green('proven')}  entry ${index} of ${checked.checkpoint.size}: ${checked.record.type} by ${checked.record.actor.id}`,
  )

  heading('4. The auditor verifies the log')
  const macKey = parseMacVerificationKey(macVerificationKey)
  const report = await verifyHome({ home, pins, macKey })
  console.log(`  ${green(report.verdict)}  ${report.size} entries, root ${report.root}`)
  const leaked = readFileSync(join(home, 'log.db')).includes('jane.doe@example.com')
  console.log(
    `  the customer's address is ${leaked ? red('IN') : 'not in'} the database: parts are kept as fingerprints`,
  )
  for (const open of report.not_checked) console.log(dim(`  not established: ${open}`))

  heading('5. Somebody with full rights to the database tampers with a copy')
  for (const [what, tamper] of attacks) {
    await attack(what, macKey, (copy) => {
      const db = new DatabaseSync(join(copy, 'log.db'))
      const triggers = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`).all()
      for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
      tamper(db)
      db.close()
    })
  }
  await attack('the whole database rolled back to an older copy of itself', macKey, (copy) =>
    copyFileSync(early, join(copy, 'log.db')),
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
