/** `indelible completion`: a script by which a shell completes our command lines. Made from the commands themselves. */
import { Argument, type Command, type Option } from 'commander'
import type { Shell } from './completion-scripts.ts'
import { type Context, examples } from './context.ts'

export function addCompletion(program: Command, context: Context): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `${examples(
        'indelible completion bash > ~/.local/share/bash-completion/completions/indelible',
        'indelible completion zsh > "$fpath[1]/_indelible"',
        'indelible completion fish > ~/.config/fish/completions/indelible.fish',
        'source <(indelible completion bash)',
      )}\nThe first three last, from the next shell on; bash needs its package bash-completion, zsh compinit. The fourth is for this shell.\n`,
    )
    .action((shell: Shell) => completion(shell, program, context))
}

async function completion(shell: Shell, program: Command, context: Context): Promise<void> {
  const { SCRIPTS } = await import('./completion-scripts.ts')
  const script = SCRIPTS[shell](grammarOf(program))
  await context.answer({ shell, script }, () => script)
}

/** What may stand in a place: one of some words, the name of a file or a folder, or something only the user knows. */
export type Value = readonly string[] | 'file' | 'folder' | 'any'

export interface OptionGrammar {
  /** `--limit`, and `-n` where there is one. */
  readonly names: readonly string[]
  readonly description: string
  /** `null` for a switch. */
  readonly value: Value | null
}

/** A command, or the program itself. */
export interface CommandGrammar {
  /** `/keys/show`; empty for the program. */
  readonly place: string
  readonly name: string
  readonly description: string
  readonly commands: readonly CommandGrammar[]
  /** Its own; those of the program count everywhere. */
  readonly options: readonly OptionGrammar[]
  readonly arguments: readonly Value[]
}

export function grammarOf(command: Command, place = ''): CommandGrammar {
  const help = command.createHelp()
  return {
    place,
    name: command.name(),
    description: help.subcommandDescription(command),
    commands: help.visibleCommands(command).map((one) => grammarOf(one, `${place}/${one.name()}`)),
    options: help.visibleOptions(command).map(optionGrammar),
    arguments: command.registeredArguments.map((one) => one.argChoices ?? valueIn(`<${one.name()}>`)),
  }
}

function optionGrammar({ short, long, description, required, optional, argChoices, flags }: Option): OptionGrammar {
  const names = [long, short].filter((name) => name !== undefined)
  return { names, description, value: required || optional ? (argChoices ?? valueIn(flags)) : null }
}

/** The placeholders of our help say what belongs there: `<file>`, `<dir>`. */
function valueIn(placeholder: string): Value {
  if (/[<[].*file/.test(placeholder)) return 'file'
  return /[<[]dir/.test(placeholder) ? 'folder' : 'any'
}
