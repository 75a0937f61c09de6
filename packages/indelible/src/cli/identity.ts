/** `indelible identity`: keys of people, and whom the log knows. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import type { IdentityRegister } from '../decision/register.ts'
import { type Context, examples } from './context.ts'
import { formatPairs } from './output.ts'

export function addIdentity(program: Command, context: Context): void {
  const identity = program
    .command('identity')
    .description('make the key of a person, and say whom the log knows')
    .addHelpText('after', examples('indelible identity new alice@example.org', 'indelible identity add alice.vkey'))
  identity
    .command('new')
    .description('make a key for a person on this machine; the log learns of it with identity add')
    .argument('<name>', 'such as alice@example.org')
    .addOption(new Option('--profile <profile>', 'fips: ECDSA P-256').choices(['default', 'fips']).default('default'))
    .option('--dir <folder>', 'where the key goes (default: the user configuration folder)')
    .option('--vkey <file>', 'also write the public half to this file')
    .addHelpText('after', examples('indelible identity new alice@example.org --vkey alice.vkey'))
    .action((name: string, options: NewOptions) => makeKey(name, options, context))
  identity
    .command('add')
    .description('register a person by the public half of a key')
    .argument('<vkey>', 'vkey, or a file that holds it')
    .addHelpText('after', examples('indelible identity add alice.vkey'))
    .action((vkey: string) =>
      withRegister(context, async (register) => {
        const text = existsSync(vkey) ? readFileSync(vkey, 'utf8').trim() : vkey
        const receipt = await register.add({ vkey: text })
        const name = text.slice(0, text.indexOf('+'))
        await context.answer(receipt, () => `registered ${name} with entry ${receipt.index}\n`)
      }),
    )
  identity
    .command('token')
    .description('register a person who has no key, and print the token that he shows instead, once')
    .argument('<name>', 'such as alice@example.org')
    .addHelpText('after', examples('indelible identity token carol@example.org'))
    .action((name: string) =>
      withRegister(context, async (register) => {
        const { newIdentityToken } = await import('../keys/identities.ts')
        const token = newIdentityToken()
        const receipt = await register.add({ name, token })
        await context.answer({ ...receipt, name, token }, () =>
          formatPairs(
            [
              ['token', token],
              ['', 'shown this once: who has it decides in this name'],
            ],
            '',
          ),
        )
      }),
    )
  identity
    .command('revoke')
    .description('from now on this person decides nothing; what was decided before stands')
    .argument('<name>')
    .addHelpText('after', examples('indelible identity revoke alice@example.org'))
    .action((name: string) =>
      withRegister(context, async (register) => {
        const receipt = await register.revoke(name)
        await context.answer(receipt, () => `revoked ${name} with entry ${receipt.index}\n`)
      }),
    )
  identity
    .command('list')
    .description('whom the log knows')
    .addHelpText('after', examples('indelible identity list'))
    .action(() => withRegister(context, (register) => list(register, context)))
}

interface NewOptions {
  readonly profile: 'default' | 'fips'
  readonly dir?: string
  readonly vkey?: string
}

async function makeKey(name: string, { profile, dir, vkey: vkeyFile }: NewOptions, context: Context): Promise<void> {
  const { createIdentity } = await import('../keys/identities.ts')
  const { vkey, file } = createIdentity(name, { profile, ...(dir !== undefined && { directory: dir }) })
  if (vkeyFile !== undefined) writeFileSync(vkeyFile, `${vkey}\n`)
  await context.answer({ name, vkey, file }, () => {
    const pairs: [string, string][] = [
      ['vkey', vkey],
      ['', 'to register with a log: indelible identity add'],
      ['key', file],
      ['', 'as secret as your signature'],
    ]
    return formatPairs(pairs, '')
  })
}

async function withRegister(context: Context, work: (register: IdentityRegister) => Promise<void>): Promise<void> {
  const { openLog } = await import('../log/home.ts')
  const { openQuery } = await import('../query/home-query.ts')
  const { IdentityRegister } = await import('../decision/register.ts')
  await using log = await openLog(context.homeOption)
  await using query = await openQuery(context.homeOption)
  await work(new IdentityRegister(log, query))
}

async function list(register: IdentityRegister, context: Context): Promise<void> {
  const { formatVkey } = await import('../note/signed-note.ts')
  const identities = [...(await register.all()).values()].map(({ name, key, since, revoked }) => ({
    name,
    shows: key ? 'key' : 'token',
    vkey: key && formatVkey(key),
    since,
    revoked,
  }))
  const { answerRows } = await import('./table.ts')
  await answerRows(context, identities, 'the log knows nobody: indelible identity add', [
    { title: 'name', value: ({ name }) => name },
    { title: 'shows', value: ({ shows }) => shows },
    { title: 'since entry', value: ({ since }) => String(since), rank: 1 },
    {
      title: 'state',
      value: ({ revoked }) => (revoked === null ? 'active' : `revoked with entry ${revoked}`),
      style: ({ revoked }) => (revoked === null ? null : 'red'),
    },
  ])
}
