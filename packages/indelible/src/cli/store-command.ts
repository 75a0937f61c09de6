/** `indelible store`: what a database needs before a log can be in it. */
import type { Command } from 'commander'
import { type Context, examples } from './context.ts'
import { UsageError } from './exit.ts'

interface SetupOptions {
  readonly writer?: string
  readonly reader?: string
  readonly origin?: string
  readonly tenant?: string
}

export function addStore(program: Command, context: Context): void {
  const store = program
    .command('store')
    .description('prepare a database for logs')
    .addHelpText('after', examples('indelible store setup postgres://owner@db.example.com/audit'))
  store
    .command('setup')
    .description('make the tables in a Postgres database or bring them up to date, and let roles use them')
    .argument('<url>', 'of the database, as the role that owns the tables or is to own them')
    .option('--writer <role>', 'let this role append and read')
    .option('--reader <role>', 'let this role read')
    .option('--origin <origin>', 'only this log; default all, those to come included')
    .option('--tenant <tenant>', 'of a reader: only the entries of this tenant')
    .addHelpText(
      'after',
      examples(
        'indelible store setup postgres://owner@db.example.com/audit --writer audit_writer',
        'indelible store setup postgres://owner@db.example.com/audit --reader clinic_7 --tenant clinic-7',
      ),
    )
    .action((url: string, options: SetupOptions) => setup(url, options, context))
}

async function setup(url: string, { writer, reader, origin, tenant }: SetupOptions, context: Context): Promise<void> {
  if (tenant !== undefined && reader === undefined) throw new UsageError('--tenant is of a reader: give --reader ROLE')
  if (!/^postgres(ql)?:/.test(url)) throw new UsageError('expected a URL that begins with postgres:')
  const { POSTGRES_SCHEMA_VERSION, setupPostgres } = await import('../store/postgres-schema.ts')
  const of = origin === undefined ? {} : { origin }
  await setupPostgres(url, {
    grants: [
      ...(writer === undefined ? [] : [{ role: writer, rights: 'write' as const, ...of }]),
      ...(reader === undefined
        ? []
        : [{ role: reader, rights: 'read' as const, ...of, ...(tenant !== undefined && { tenant }) }]),
    ],
  })
  const granted = [writer, reader].filter((role) => role !== undefined)
  await context.answer({ version: POSTGRES_SCHEMA_VERSION, granted }, () => {
    const roles = granted.length > 0 ? `; ${granted.join(' and ')} may use it` : ''
    return `tables have version ${POSTGRES_SCHEMA_VERSION}${roles}\n`
  })
}
