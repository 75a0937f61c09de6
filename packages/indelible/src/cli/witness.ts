/** `indelible witness`: a witness for the logs of others (C2SP tlog-witness), to run where their operators have no say. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { WitnessState } from '../anchor/witness-state.ts'
import { parseIndex, parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'
import { Interrupt } from './interrupt.ts'
import { formatPairs, printable } from './output.ts'
import { formatTable } from './table.ts'

const DEFAULT_FOLDER = '.indelible-witness'

interface FolderOption {
  dir: string
}

export function addWitness(program: Command, context: Context): void {
  const witness = program
    .command('witness')
    .description(
      'cosign the checkpoints of logs that have only grown; independent only if others than their operators run it',
    )
    .addHelpText(
      'after',
      examples(
        'indelible witness init --name witness.example/w1',
        'indelible witness add log.vkey',
        'indelible witness run --port 8787',
      ),
    )
  const command = (name: string, description: string) =>
    witness
      .command(name)
      .description(description)
      .option('--dir <dir>', 'folder of the witness, with its key and its memory', DEFAULT_FOLDER)
  command('init', 'make the folder and a key of its own; prints the vkey to hand out')
    .requiredOption('--name <name>', 'name of the key: a URL without its scheme, by custom')
    .addHelpText('after', examples('indelible witness init --name witness.example/w1'))
    .action((options: FolderOption & { name: string }) => init(options, context))
  command('add', 'cosign for a log from now on, or for a further key of it')
    .argument('<vkey|file>', 'of the log')
    .option('--origin <origin>', "first line of its checkpoints (default: the key's name)")
    .addHelpText('after', examples('indelible witness add log.vkey'))
    .action((vkey: string, options: FolderOption & { origin?: string }) => add(vkey, options, context))
  command('remove', 'cosign no more for a log; what was cosigned is not forgotten')
    .argument('<origin>')
    .addHelpText('after', examples('indelible witness remove example.com/log'))
    .action((origin: string, options: FolderOption) => remove(origin, options, context))
  command('list', 'print the logs, and how far each was cosigned')
    .addHelpText('after', examples('indelible witness list --json'))
    .action((options: FolderOption) => list(options, context))
  command('run', 'listen for checkpoints until stopped; put TLS in front of it')
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <port>', 'where to listen; 0 for any that is free', parseIndex, 8787)
    .option('--per-minute <n>', 'requests that one client may make in a minute', parsePositive, 60)
    .addHelpText('after', examples('indelible witness run', 'indelible witness run --host 0.0.0.0 --port 8787'))
    .action((options: FolderOption & RunOptions) => run(options, context))
}

async function open({ dir }: FolderOption): Promise<WitnessState> {
  const { openWitness } = await import('../anchor/witness-home.ts')
  return openWitness(resolve(dir))
}

async function init({ dir, name }: FolderOption & { name: string }, context: Context): Promise<void> {
  const { createWitness } = await import('../anchor/witness-home.ts')
  const folder = resolve(dir)
  const vkey = createWitness(folder, name)
  await context.answer({ vkey, folder }, () => {
    const pairs = formatPairs([
      ['vkey', vkey],
      ['', 'to hand out: policies name it on a witness line'],
      ['folder', folder],
      ['', 'never restore it from a backup: a witness that forgets cosigns a second history'],
    ])
    return `made a witness\n${pairs}`
  })
}

async function add(vkeyOrFile: string, options: FolderOption & { origin?: string }, context: Context): Promise<void> {
  const { readVkeys } = await import('./files.ts')
  const { origin, keys } = readVkeys(vkeyOrFile)
  using state = await open(options)
  for (const key of keys) state.addLog(key, options.origin ?? origin)
  const added = { origin: options.origin ?? origin, keys: keys.length }
  await context.answer(added, () => `cosigns for ${printable(added.origin)} from now on\n`)
}

async function remove(origin: string, options: FolderOption, context: Context): Promise<void> {
  using state = await open(options)
  if (!state.removeLog(origin)) throw new UsageError(`there is no log ${origin}`)
  await context.answer({ removed: origin }, () => `cosigns no more for ${printable(origin)}\n`)
}

async function list(options: FolderOption, context: Context): Promise<void> {
  using state = await open(options)
  const logs = state.logs()
  if (context.isJson) {
    for (const log of logs) await context.out.json(log)
    return
  }
  await context.out.write(
    formatTable(logs, [
      { title: 'log', value: (one) => one.origin },
      { title: 'keys', value: (one) => String(one.vkeys.length) },
      { title: 'cosigned', value: (one) => (one.size === null ? 'nothing yet' : `${one.size} entries`) },
    ]),
  )
}

interface RunOptions {
  host: string
  port: number
  perMinute: number
}

async function run(options: FolderOption & RunOptions, context: Context): Promise<void> {
  const { listenWitness } = await import('../anchor/witness-listen.ts')
  const { formatVkey } = await import('../note/signed-note.ts')
  const { host, port, perMinute } = options
  using state = await open(options)
  const stopped = Promise.withResolvers<void>()
  using interrupt = new Interrupt(stopped.resolve)
  const listening = await listenWitness(state, { host, port, perMinute })
  await context.answer({ url: listening.url, vkey: formatVkey(state.key), logs: state.logs().length }, () => {
    return `witness at ${listening.url}\n${formatPairs([['vkey', formatVkey(state.key)]])}`
  })
  await context.out.flush()
  await stopped.promise
  await listening.close()
  context.exitCode = interrupt.exitCode ?? 0
}
