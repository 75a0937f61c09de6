/**
 * The command line. Exit codes: 0 verified or done, 1 findings, 2 usage, 3 could not tell. Answers go to stdout, everything
 * else to stderr. With `--json` every answer is JSON, and an error is the object `{"error": {code, message}}`, also on stdout.
 */
import { Command, CommanderError } from 'commander'
import { VERSION } from '../version.ts'
import { neededBy } from './commands.ts'
import { Context, examples } from './context.ts'
import { describeFailure, type ExitCode, type Failure, OK, USAGE } from './exit.ts'
import { printable } from './output.ts'

/** Runs one command line, `argv` as in `process.argv`, and sets the exit code of the process. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('indelible')
  const context = new Context(program)
  program
    .description('Tamper-evident audit log for AI agents.')
    .version(VERSION, '-V, --version', 'print the version')
    .option('--home <dir>', 'folder of the log (default: $INDELIBLE_HOME, else ./.indelible)')
    .option('--json', 'answer in JSON, one object per line')
    .helpOption('-h, --help', 'print help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .addHelpText('after', examples('indelible init', 'indelible record < events.ndjson', 'indelible verify'))
  const modules = await Promise.all(neededBy(argv.slice(2)).map(({ load }) => load()))
  for (const add of modules) add(program, context)
  try {
    process.exitCode = await run(program, context, argv)
  } catch (error) {
    process.exitCode = await fail(error, context)
  }
}

async function run(program: Command, context: Context, argv: readonly string[]): Promise<ExitCode> {
  try {
    await program.parseAsync(argv)
    await context.out.flush()
    return context.exitCode
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return OK
    return report({ exitCode: USAGE, code: 'ERR_USAGE', message: messageOf(error) }, context)
  }
}

function messageOf({ code, message }: CommanderError): string {
  // The help is on stderr already.
  if (code === 'commander.help') return 'expected a command'
  return message.replace(/^error: /, '').replace(/\n\(Did you mean (.*)\?\)$/s, '; did you mean $1?')
}

async function fail(error: unknown, context: Context): Promise<ExitCode> {
  const exitCode = await report(describeFailure(error), context)
  if (process.env.DEBUG) console.error(error)
  return exitCode
}

async function report({ exitCode, ...error }: Failure, context: Context): Promise<ExitCode> {
  context.say(`error: ${printable(error.message)} (${error.code})`)
  if (context.isJson) await context.out.json({ error }).catch(() => {})
  return exitCode
}
