/**
 * Completion scripts for three shells, of one shape: walk the words before the cursor to find which command it is in, then
 * offer what that command takes. Words of ours are letters, digits and hyphens; descriptions are quoted.
 */
import { VERSION } from '../version.ts'
import type { CommandGrammar, OptionGrammar, Value } from './completion.ts'

export type Shell = 'bash' | 'zsh' | 'fish'

export const SCRIPTS: Readonly<Record<Shell, (program: CommandGrammar) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
}

function* everywhere(command: CommandGrammar): Generator<CommandGrammar> {
  yield command
  for (const inner of command.commands) yield* everywhere(inner)
}

/**
 * Options with a value, by what that is: patterns of `case` for the place and the name, as `'/init --profile'`. Those of the
 * program count in every place.
 */
function valued(program: CommandGrammar): Map<Value, string[]> {
  const patterns = new Map<string, { value: Value; patterns: string[] }>()
  for (const { place, options } of everywhere(program)) {
    for (const { names, value } of options) {
      if (value === null) continue
      const group = patterns.get(String(value)) ?? { value, patterns: [] }
      patterns.set(String(value), group)
      for (const name of names) group.patterns.push(place === '' ? `*' ${name}'` : `'${place} ${name}'`)
    }
  }
  return new Map(Array.from(patterns.values(), ({ value, patterns }) => [value, patterns]))
}

/** Places of all commands, as alternatives of a `case`. */
function places(program: CommandGrammar): string[] {
  return [...everywhere(program)].map(({ place }) => place).filter((place) => place !== '')
}

/** Options that count in a command: the program's too. */
function optionsIn(command: CommandGrammar, program: CommandGrammar): OptionGrammar[] {
  const own = new Set(command.options.flatMap(({ names }) => names))
  return [...command.options, ...program.options.filter(({ names }) => !names.some((name) => own.has(name)))]
}

/** Words that a command takes as arguments, and whether files are among them. */
function wordsIn({ arguments: values }: CommandGrammar): { words: string[]; takesFiles: boolean } {
  return { words: values.flatMap((value) => (Array.isArray(value) ? value : [])), takesFiles: values.includes('file') }
}

function posixQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function head(comment: string): string {
  return `${comment}\n# Made by indelible completion, version ${VERSION}; indelible completion --help says how to install it.\n`
}

/** The part of bash and zsh that finds the command which the cursor is in. */
function walk(program: CommandGrammar, first: number, last: string, word: string): string {
  return `  for ((i = ${first}; i < ${last}; i++)); do
    word=${word}
    if [[ $word == '=' ]]; then continue; fi
    if [[ -n $skip ]]; then skip=''; continue; fi
    case "$at $word" in
      ${[...valued(program).values()].flat().join('|')}) skip=1; continue ;;
    esac
    case "$at/$word" in
      ${places(program).join('|')}) at="$at/$word" ;;
    esac
  done`
}

function bashScript(program: CommandGrammar): string {
  const offer = (value: Value) => {
    if (value === 'file') return '_indelible_offer -f; '
    if (value === 'folder') return '_indelible_offer -d; '
    return value === 'any' ? '' : `_indelible_offer -W '${value.join(' ')}'; `
  }
  const values = Array.from(
    valued(program),
    ([value, patterns]) => `    ${patterns.join('|')}) ${offer(value)}return ;;\n`,
  )
  const commands = [...everywhere(program)].map((command) => {
    const options = optionsIn(command, program).flatMap(({ names }) => names)
    const { words, takesFiles } = wordsIn(command)
    const all = [...command.commands.map(({ name }) => name), ...words]
    const files = takesFiles ? ' files=1' : ''
    return `    '${command.place}') options='${options.join(' ')}' words='${all.join(' ')}'${files} ;;\n`
  })
  return `${head('# bash completion for indelible')}
_indelible_offer() {
  local one
  if [[ $1 != -W ]]; then compopt -o filenames 2> /dev/null || :; fi
  while IFS= read -r one; do COMPREPLY+=("$one"); done < <(compgen "$@" -- "$cur")
}

_indelible() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} at='' skip='' options='' words='' files='' word i
  COMPREPLY=()
  # bash makes "=" a word of its own.
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
${walk(program, 1, 'COMP_CWORD', `\${COMP_WORDS[i]}`)}
  case "$at $prev" in
${values.join('')}  esac
  case "$at" in
${commands.join('')}  esac
  if [[ $cur == -* ]]; then _indelible_offer -W "$options"; return; fi
  _indelible_offer -W "$words"
  if [[ -n $files ]]; then _indelible_offer -f; fi
}

complete -F _indelible indelible
`
}

function zshScript(program: CommandGrammar): string {
  const offer = (value: Value) => {
    if (value === 'file') return '_files; '
    if (value === 'folder') return '_files -/; '
    return value === 'any' ? '' : `compadd -- ${value.join(' ')}; `
  }
  const values = Array.from(
    valued(program),
    ([value, patterns]) => `    ${patterns.join('|')}) ${offer(value)}return ;;\n`,
  )
  const described = (name: string, description: string) => posixQuote(`${name}:${description}`)
  const commands = [...everywhere(program)].map((command) => {
    const { words, takesFiles } = wordsIn(command)
    const options = optionsIn(command, program).flatMap(({ names, description }) =>
      names.map((name) => described(name, description)),
    )
    const all = [...command.commands.map(({ name, description }) => described(name, description)), ...words]
    const files = takesFiles ? '\n      files=1' : ''
    return `    '${command.place}')\n      options=(${options.join(' ')})\n      inner=(${all.join(' ')})${files} ;;\n`
  })
  return `${head('#compdef indelible')}
_indelible() {
  local at='' skip='' files='' word i
  local -a options inner
${walk(program, 2, 'CURRENT', `\${words[i]}`)}
  case "$at \${words[CURRENT-1]}" in
${values.join('')}  esac
  case "$at" in
${commands.join('')}  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe -o option options; return; fi
  (( \${#inner} )) && _describe command inner
  [[ -n $files ]] && _files
}

if [[ "\${funcstack[1]}" == _indelible ]]; then _indelible "$@"; else compdef _indelible indelible; fi
`
}

function fishScript(program: CommandGrammar): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const offer = (value: Value | null) => {
    if (value === null) return ''
    if (value === 'file') return ' -r -F'
    if (value === 'folder') return " -x -a '(__fish_complete_directories)'"
    return value === 'any' ? ' -x' : ` -x -a '${value.join(' ')}'`
  }
  const named = (name: string) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)
  const lines = [...everywhere(program)].flatMap((command) => {
    const where = `complete -c indelible -n '__indelible_at "${command.place}"'`
    const { words, takesFiles } = wordsIn(command)
    return [
      ...command.commands.map(({ name, description }) => `${where} -a ${name} -d ${quote(description)}`),
      ...words.map((word) => `${where} -a ${word}`),
      ...(takesFiles ? [`${where} -F`] : []),
      ...optionsIn(command, program).map(
        ({ names, description, value }) =>
          `${where} ${names.map(named).join(' ')}${offer(value)} -d ${quote(description)}`,
      ),
    ]
  })
  return `${head('# fish completion for indelible')}
function __indelible_at
    set -l at ''
    set -l skip ''
    for word in (commandline -opc)[2..-1]
        if test -n "$skip"
            set skip ''
            continue
        end
        switch "$at $word"
            case ${[...valued(program).values()]
              .flat()
              .map((pattern) => pattern.replace(/^\*'/, "'*"))
              .join(' ')}
                set skip 1
                continue
        end
        switch "$at/$word"
            case ${places(program).join(' ')}
                set at "$at/$word"
        end
    end
    test "$at" = "$argv[1]"
end

complete -c indelible -f
${lines.join('\n')}
`
}
