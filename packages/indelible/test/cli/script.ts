/**
 * Scripts with expected output:
 *
 *     # a comment
 *     $ a command, run by bash
 *     the lines it prints on stdout and stderr, where [..] stands for anything within a line
 *     [exit 2]
 *
 * `[...]` alone stands for any lines. No `[exit …]` means 0.
 */
import { expect } from 'vitest'
import type { Sandbox } from './kit.ts'

interface Step {
  readonly line: number
  readonly command: string
  readonly expected: string[]
  exitCode: number
}

function parseScript(text: string): Step[] {
  const steps: Step[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const exit = /^\[exit (\d+)\]$/.exec(line)
    if (line.startsWith('# ')) continue
    else if (line.startsWith('$ ')) steps.push({ line: i + 1, command: line.slice(2), expected: [], exitCode: 0 })
    else if (exit) steps.at(-1)!.exitCode = Number(exit[1])
    else steps.at(-1)?.expected.push(line)
  }
  for (const { expected } of steps) while (expected.at(-1) === '') expected.pop()
  return steps
}

export async function runScript(sandbox: Sandbox, text: string): Promise<void> {
  for (const step of parseScript(text)) {
    const { stdout, code } = await sandbox.run('bash', ['-c', `exec 2>&1; ${step.command}`])
    const found = stdout.split('\n')
    while (found.at(-1) === '') found.pop()
    const actual = code === 0 ? found : [...found, `[exit ${code}]`]
    const expected = step.exitCode === 0 ? step.expected : [...step.expected, `[exit ${step.exitCode}]`]
    if (matchLines(expected, actual)) continue
    // For a readable difference.
    expect(actual, `line ${step.line}: ${step.command}`).toEqual(expected)
  }
}

function matchLines(expected: readonly string[], actual: readonly string[]): boolean {
  const [pattern, ...rest] = expected
  if (pattern === undefined) return actual.length === 0
  if (pattern === '[...]') {
    return Array.from({ length: actual.length + 1 }, (_, skip) => skip).some((skip) =>
      matchLines(rest, actual.slice(skip)),
    )
  }
  return actual.length > 0 && toRegExp(pattern).test(actual[0]!) && matchLines(rest, actual.slice(1))
}

function toRegExp(pattern: string): RegExp {
  return new RegExp(`^${pattern.split('[..]').map(escapeRegExp).join('.*')}$`)
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
