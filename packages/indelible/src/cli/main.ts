/**
 * The command line. Exit codes: 0 verified or done, 1 findings, 2 usage, 3 could not tell. Answers go to stdout, everything
 * else to stderr. With `--json` every answer is JSON, and an error is the object `{"error": {code, message}}`, also on stdout.
 */
import { Command, CommanderError } from 'commander'
import { VERSION } from '../version.ts'
import { addAnchor } from './anchor.ts'
import { addApprovals } from './approvals.ts'
import { addArchive } from './archive.ts'
import { addCheck } from './check.ts'
import { addCheckpoint } from './checkpoint.ts'
import { addCompletion } from './completion.ts'
import { addConfig } from './config-command.ts'
import { type CommandModule, Context, examples } from './context.ts'
import { addCopy } from './copy.ts'
import { addDataset } from './dataset.ts'
import { addDecisions } from './decide.ts'
import { addDoctor } from './doctor.ts'
import { addErase } from './erase.ts'
import { describeFailure, type ExitCode, type Failure, OK, USAGE } from './exit.ts'
import { addExport } from './export.ts'
import { addFingerprint } from './fingerprint.ts'
import { addHold } from './hold.ts'
import { addIdentity } from './identity.ts'
import { addImport } from './import-command.ts'
import { addIndex } from './index-command.ts'
import { addInit } from './init.ts'
import { addKeys } from './keys.ts'
import { addLineage } from './lineage.ts'
import { addList } from './list.ts'
import { addMcpProxy } from './mcp-proxy.ts'
import { addModel } from './model.ts'
import { printable } from './output.ts'
import { addPrivacy } from './privacy.ts'
import { addProve } from './prove.ts'
import { addRecord } from './record.ts'
import { addRedact } from './redact.ts'
import { addRetention } from './retention.ts'
import { addServe } from './serve.ts'
import { addShow } from './show.ts'
import { addStatus } from './status.ts'
import { addStore } from './store-command.ts'
import { addSubject } from './subject.ts'
import { addTail } from './tail.ts'
import { addVerify } from './verify.ts'
import { addWaivers } from './waivers.ts'
import { addWitness } from './witness.ts'

/** In the order of the help. */
const COMMANDS: readonly CommandModule[] = [
  addInit,
  addRecord,
  addList,
  addShow,
  addTail,
  addMcpProxy,
  addImport,
  addExport,
  addErase,
  addSubject,
  addVerify,
  addProve,
  addCheck,
  addCheckpoint,
  addDecisions,
  addWaivers,
  addDataset,
  addModel,
  addLineage,
  addApprovals,
  addIdentity,
  addAnchor,
  addWitness,
  addRetention,
  addHold,
  addServe,
  addKeys,
  addIndex,
  addCopy,
  addArchive,
  addPrivacy,
  addFingerprint,
  addRedact,
  addConfig,
  addStatus,
  addStore,
  addDoctor,
  addCompletion,
]

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
  for (const add of COMMANDS) add(program, context)
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
