/** `indelible doctor`: whether a log is kept as it should be, and what to do where it is not. Does not verify it. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'
import type { Check } from './doctor-check.ts'
import { FINDINGS, OK } from './exit.ts'
import { count, paint, printable } from './output.ts'

export function addDoctor(program: Command, context: Context): void {
  program
    .command('doctor')
    .description('check modes, keys, disk, clock, index and leftovers, and say what to do; does not verify the log')
    .option('--deep', 'also have SQLite check its files, which reads all of them')
    .addHelpText('after', examples('indelible doctor', 'indelible doctor --deep --json | jq .failures'))
    .action((options: { deep?: boolean }) => doctor(options, context))
}

const NOT_CHECKED =
  'the log itself: whether anything in it was altered, left out or cut off is for indelible verify to say'

interface Diagnosis {
  readonly failures: number
  readonly warnings: number
  readonly checks: readonly Check[]
  readonly not_checked: readonly string[]
}

async function doctor({ deep = false }: { deep?: boolean }, context: Context): Promise<void> {
  const { resolveHome } = await import('../log/home-paths.ts')
  const { examine } = await import('./doctor-run.ts')
  const checks = await examine(resolveHome(context.home), { deep })
  const countOf = (wanted: Check['state']) => checks.filter(({ state }) => state === wanted).length
  const diagnosis: Diagnosis = {
    failures: countOf('failure'),
    warnings: countOf('warning'),
    checks,
    not_checked: [NOT_CHECKED],
  }
  context.exitCode = diagnosis.failures > 0 ? FINDINGS : OK
  await context.answer(diagnosis, () => describe(diagnosis))
}

const STYLES = { ok: 'green', warning: 'yellow', failure: 'red' } as const

function describe({ checks, failures, warnings, not_checked }: Diagnosis): string {
  const width = Math.max(...checks.map(({ check }) => check.length))
  const lines = checks.map(({ check, state, message, action }) => {
    const indent = ' '.repeat('failure'.length + width + 4)
    const line = `${paint(STYLES[state], state.padEnd('failure'.length))}  ${check.padEnd(width)}  ${printable(message)}\n`
    return action === undefined ? line : `${line}${indent}${paint('bold', 'to do:')} ${printable(action)}\n`
  })
  const sum = `${count(failures, 'failure')}, ${count(warnings, 'warning')}`
  return `${lines.join('')}${paint('bold', sum)}\nnot checked: ${not_checked.join('; ')}\n`
}
