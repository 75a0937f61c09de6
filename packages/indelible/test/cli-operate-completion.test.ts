import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { VERSION } from '../src/version.ts'
import { findProgram, Sandbox } from './cli/kit.ts'

/** Lines `words -> what is offered`, as the real shell offers it. */
async function completeInBash(
  box: Sandbox,
  commandLines: readonly (readonly string[])[],
): Promise<Map<string, string[]>> {
  writeFileSync(join(box.work, 'script.bash'), (await box.indelible(['completion', 'bash'])).stdout)
  const quote = (word: string) => `'${word}'`
  const attempts = commandLines.map((words) => `try indelible ${words.map(quote).join(' ')}\n`)
  const program = `
    set -eu
    source ./script.bash
    complete -p indelible
    try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _indelible; echo "\${COMPREPLY[*]-}"; }
    ${attempts.join('')}`
  const { stdout, stderr, code } = await box.run('bash', ['--norc', '-c', program])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [installed, ...offers] = stdout.trimEnd().split('\n')
  expect(installed).toBe('complete -F _indelible indelible')
  return new Map(commandLines.map((words, i) => [words.join(' '), (offers[i] ?? '').split(' ').filter(Boolean)]))
}

describe.concurrent('indelible completion', () => {
  it('completes commands, options, choices and files in bash', async (test) => {
    const box = new Sandbox(test)
    writeFileSync(join(box.work, 'mac.key'), '')
    const expected: [string[], string[]][] = [
      [['ver'], ['verify']],
      [
        ['keys', ''],
        ['show', 'rotate', 'help'],
      ],
      [['keys', 'ro'], ['rotate']],
      [['--home', 'keys', 'config', 'u'], ['unset']],
      [['--json', 'config', 'set', ''], []],
      [['verify', '--mac'], ['--mac-key']],
      [
        ['status', '--'],
        ['--line', '--help', '--version', '--home', '--json'],
      ],
      [['doctor', '--d'], ['--deep']],
      [
        ['init', '--profile', ''],
        ['default', 'fips'],
      ],
      // As bash takes --profile=f apart.
      [['init', '--profile', '=', 'f'], ['fips']],
      [
        ['init', '--profile', '='],
        ['default', 'fips'],
      ],
      [['init', '--profile', 'fips', '--ori'], ['--origin']],
      [
        ['completion', ''],
        ['bash', 'zsh', 'fish'],
      ],
      [['verify', '--mac-key', 'm'], ['mac.key']],
      [['check', 'm'], ['mac.key']],
      [['list', '--limit', ''], []],
      [['--ver'], ['--version']],
    ]
    const offers = await completeInBash(
      box,
      expected.map(([words]) => words),
    )
    expect(Object.fromEntries(offers)).toEqual(
      Object.fromEntries(expected.map(([words, offered]) => [words.join(' '), offered])),
    )
  })

  it('knows every command and every option of the help', async (test) => {
    const box = new Sandbox(test)
    const names = (help: string, pattern: RegExp) => [...help.matchAll(pattern)].map((match) => match[1]!)
    const root = (await box.indelible(['--help'])).stdout
    const commands = names(root, /^ {2}([a-z][a-z-]*)(?: |$)/gm)
    expect(commands).toEqual(expect.arrayContaining(['init', 'config', 'status', 'doctor', 'completion']))
    const helps = await Promise.all(
      ['init', 'record', 'list', 'verify', 'status'].map(async (name) => ({
        name,
        options: names((await box.indelible([name, '--help'])).stdout, /^ {2}(?:-\w, )?(--[a-z-]+)/gm),
      })),
    )
    const offers = await completeInBash(box, [[''], ...helps.map(({ name }) => [name, '--'])])
    expect(offers.get('')).toEqual(commands)
    for (const { name, options } of helps) expect(offers.get(`${name} --`)!.toSorted()).toEqual(options.toSorted())
  })

  it('says in its help how to install it, and which shells there are', async (test) => {
    const box = new Sandbox(test)
    const help = (await box.indelible(['completion', '--help'])).stdout
    expect(help).toContain('$ indelible completion bash > ~/.local/share/bash-completion/completions/indelible\n')
    expect(help).toContain('$ indelible completion zsh > "$fpath[1]/_indelible"\n')
    expect(help).toContain('$ indelible completion fish > ~/.config/fish/completions/indelible.fish\n')
    const refused = await box.indelible(['completion', 'tcsh'])
    expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('bash, zsh, fish') })
    const { shell, script } = JSON.parse((await box.indelible(['completion', 'bash', '--json'])).stdout)
    expect({ shell, script }).toEqual({ shell: 'bash', script: (await box.indelible(['completion', 'bash'])).stdout })
    expect(script).toContain(`version ${VERSION}`)
  })

  it('completes in zsh', async (test) => {
    const zsh = findProgram('/usr/bin/zsh', '/bin/zsh')
    const box = new Sandbox(test)
    const { stdout: script } = await box.indelible(['completion', 'zsh'])
    expect(script).toMatch(/^#compdef indelible\n/)
    test.skip(zsh === undefined, 'no zsh here')
    writeFileSync(join(box.work, 'script.zsh'), script)
    // What the script calls, instead of what draws the menus of an interactive shell.
    const program = `
      compdef() { : }
      compadd() { shift; print -r -- "$@" }
      _describe() { local list=\${@[-1]}; print -r -- "\${(P@)list%%:*}" }
      source ./script.zsh
      try() { words=("$@"); CURRENT=$#; _indelible }
      try indelible init --profile ''
      try indelible keys ''`
    const { stdout } = await box.run(zsh!, ['-f', '-c', program])
    expect(stdout).toBe('default fips\nshow rotate help\n')
  })

  it('completes in fish', async (test) => {
    const fish = findProgram('/usr/bin/fish', '/usr/local/bin/fish')
    const box = new Sandbox(test)
    const { stdout: script } = await box.indelible(['completion', 'fish'])
    expect(script).toContain('complete -c indelible -f\n')
    test.skip(fish === undefined, 'no fish here')
    writeFileSync(join(box.work, 'script.fish'), script)
    const { stdout } = await box.run(fish!, ['-N', '-c', "source script.fish; complete -C 'indelible keys ro'"])
    expect(stdout).toMatch(/^rotate\t.*\n$/)
  })
})
