/** `indelible init`: makes a log. */
import { join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import type { CreatedLog } from '../log/home.ts'
import { parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'
import { formatPairs, paint } from './output.ts'

interface InitOptions {
  origin?: string
  profile: 'default' | 'fips'
  store?: string
  epochSeconds?: number
  keysDir?: string
  recipient?: string
}

interface Made {
  readonly home: string
  readonly origin: string
  readonly vkey: string
  readonly keys_dir: string
  readonly mac_key?: string
  readonly mac_key_file?: string
  readonly decrypt_command?: string
}

export function addInit(program: Command, context: Context): void {
  program
    .command('init')
    .description('make a log: its keys, its database, and its first entry')
    .option('--origin <name>', 'name of the log, without spaces and plus signs (default: a random one)')
    .addOption(
      new Option('--profile <profile>', 'fips signs with ECDSA P-256 and uses FIPS-approved algorithms only')
        .choices(['default', 'fips'])
        .default('default'),
    )
    .option(
      '--store <url>',
      'where the entries go: sqlite:PATH, file:DIR or postgres://… (default: sqlite:log.db in the home)',
    )
    .option('--epoch-seconds <n>', 'length of an epoch of the HMAC chain (default: 3600)', parsePositive)
    .option('--keys-dir <dir>', 'folder for the keys: best one that is not backed up with the database')
    .option('--recipient <file>', 'encrypt the mac verification key to this RSA public key (PEM) instead of showing it')
    .addHelpText(
      'after',
      examples('indelible init --origin example.com/support-agent', 'indelible init --keys-dir /etc/indelible/keys'),
    )
    .action((options: InitOptions) => init(options, context))
}

async function init({ recipient: pem, keysDir, ...options }: InitOptions, context: Context): Promise<void> {
  const { createLog } = await import('../log/home.ts')
  const { readRecipient, encryptTo, decryptCommand } = await import('./recipient.ts')
  const { writeFileAtomic } = await import('../keys/files.ts')
  const recipient = pem === undefined ? null : readRecipient(pem, options)
  const tell = (log: Made) => context.answer(log, () => describe(log, keysDir === undefined))
  let isShown = false
  // Before the home is in its place: whoever is killed in between has a key without a log, not a log without its key.
  const show = async ({ macVerificationKey, ...made }: CreatedLog, draft: string) => {
    if (recipient) {
      writeFileAtomic(join(draft, 'mac-key.enc'), encryptTo(recipient, macVerificationKey))
      return
    }
    await tell({ ...made, keys_dir: keysPlace(made.home, keysDir), mac_key: macVerificationKey })
    await context.out.sync()
    if (context.out.isClosed) throw new Error('nobody reads the output: no log was made')
    isShown = true
  }
  try {
    const { macVerificationKey: _, ...made } = await createLog({
      ...options,
      ...(keysDir !== undefined && { keysDir }),
      ...context.homeOption,
      show,
    })
    if (!recipient) return
    const secret = { mac_key_file: join(made.home, 'mac-key.enc'), decrypt_command: decryptCommand('mac-key.enc') }
    await tell({ ...made, keys_dir: keysPlace(made.home, keysDir), ...secret })
  } catch (error) {
    if (isShown) context.say('no log was made: the mac verification key above is of none')
    throw error
  }
}

function keysPlace(home: string, keysDir: string | undefined): string {
  return keysDir === undefined ? join(home, 'keys') : resolve(keysDir)
}

function describe(log: Made, keysAreInHome: boolean): string {
  const pairs: [string, string][] = [
    ['origin', log.origin],
    ['vkey', log.vkey],
    ['', 'to hand out: whoever has it can check proofs'],
    ['keys', log.keys_dir],
  ]
  if (keysAreInHome) {
    pairs.push(['', 'leave them out of backups: restored, they bring back keys that were erased'])
    pairs.push(['', 'better: init --keys-dir DIR, a place that is not backed up with the database'])
  }
  return `${paint('bold', `made a log at ${log.home}`)}\n${formatPairs(pairs)}\n${describeMacKey(log)}`
}

function describeMacKey({ mac_key: key, mac_key_file: file, decrypt_command: command }: Made): string {
  if (key === undefined) {
    return `${paint('bold', 'mac verification key, encrypted to the recipient')}
  ${file}
Have it moved off this host. The recipient reads it with:
  ${command}
`
  }
  return `${paint('bold', 'mac verification key, shown this once')}
  ${key}
Keep it off this host, in a password manager for instance, and secret: with it
"indelible verify --mac-key FILE" shows that nobody who took today's keys rewrote earlier entries.
`
}
