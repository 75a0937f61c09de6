/**
 * Configuration: flags over environment over `config.json` over defaults. One schema; a key that it does not know is an
 * error that names the nearest one.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { IndelibleError } from '../errors.ts'
import { once } from '../once.ts'
import { parseJson } from '../record/jcs.ts'
import { anchorsSection } from './anchors-section.ts'
import { auditSection } from './audit-section.ts'
import { captureSection } from './capture-section.ts'
import { privacySection } from './privacy-section.ts'
import { retentionSection } from './retention-section.ts'
import { serverSection } from './server-section.ts'

/** Made when a configuration is read: whoever imports us need not have one. */
const configSchema = once(() =>
  z.strictObject({
    log: z.strictObject({
      origin: z.string().min(1).max(255),
      /** URL of the store, such as `sqlite:PATH`; a path is relative to the home. */
      store: z.string().default('sqlite:log.db'),
      profile: z.enum(['default', 'fips']).default('default'),
      /** Most entries of one commit. */
      max_batch: z.number().int().min(1).max(100_000).default(1000),
      /** Most bytes that wait in memory for a commit. */
      max_pending_bytes: z.number().int().min(1_048_576).default(268_435_456),
    }),
    keys: z
      .strictObject({
        /** Where the keys folder is, relative to the home. */
        dir: z.string().default('keys'),
        /** A lasting name of this host, where host names change with each start. */
        host: z.string().optional(),
      })
      .prefault({}),
    privacy: privacySection(),
    anchors: anchorsSection(),
    audit: auditSection(),
    capture: captureSection(),
    retention: retentionSection(),
    server: serverSection(),
  }),
)
export type Config = z.infer<ReturnType<typeof configSchema>>

/** Environment variables that are no configuration keys. */
const OTHER_VARIABLES = new Set(['INDELIBLE_HOME', 'INDELIBLE_IDENTITY_TOKEN', 'INDELIBLE_OWNER'])

const CONFIG_VARIABLE = /^INDELIBLE_([A-Z]+)__([A-Z_]+)$/

/** Variables that look like ours and that nobody reads, such as one with a single underscore. */
export function unreadVariables(env: NodeJS.ProcessEnv = process.env): string[] {
  const ours = Object.keys(env).filter((name) => name.startsWith('INDELIBLE_') && !OTHER_VARIABLES.has(name))
  return ours.filter((name) => !CONFIG_VARIABLE.test(name))
}

/** What `config.json` holds, and what the environment puts over it, before the schema has judged either. */
export interface ConfigLayers {
  /** Of `config.json`. */
  readonly path: string
  readonly file: unknown
  readonly merged: unknown
  /** Which key, and which section, stands in which environment variable. */
  readonly variables: ReadonlyMap<string, string>
}

/** @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID` if the file is not JSON */
export function readConfigLayers(home: string, env: NodeJS.ProcessEnv = process.env): ConfigLayers {
  const path = join(home, 'config.json')
  if (!existsSync(path)) {
    throw new IndelibleError('ERR_HOME_NOT_FOUND', `no log at ${home}: run indelible init, or point --home at one`)
  }
  let file: unknown
  try {
    file = parseJson(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new IndelibleError('ERR_CONFIG_INVALID', `${path} is not JSON`, { cause })
  }
  const variables = new Map<string, string>()
  return { path, file, merged: overlay(file, env, variables), variables }
}

/**
 * The configuration of the home at `home`.
 * @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID` naming the key and, for an unknown one, the nearest known
 */
export function loadConfig(home: string, env: NodeJS.ProcessEnv = process.env): Config {
  const { path, merged, variables } = readConfigLayers(home, env)
  // A variable holds a key with all that is in it.
  return parseConfig(merged, (key) => variables.get(key.split('.').slice(0, 2).join('.')) ?? path)
}

/**
 * @param where says in a message where a key stands, or a section
 * @throws IndelibleError `ERR_CONFIG_INVALID`
 */
export function parseConfig(value: unknown, where: (key: string) => string): Config {
  const parsed = configSchema().safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue!.path.join('.')
  if (issue!.code === 'unrecognized_keys') {
    const key = [path, issue!.keys[0]].filter(Boolean).join('.')
    const message = `${where(key)}: unknown key ${key}; did you mean ${nearestKey(key)}?`
    throw new IndelibleError('ERR_CONFIG_INVALID', message)
  }
  // What is wrong with a name in a map is one level deeper.
  const { message } = (issue!.code === 'invalid_key' && issue!.issues[0]) || issue!
  throw new IndelibleError('ERR_CONFIG_INVALID', `${where(path)}: ${path || 'configuration'}: ${message}`)
}

/** `INDELIBLE_SECTION__KEY` over the file. `variables` learns which key, and which section, stands in which variable. */
function overlay(file: unknown, env: NodeJS.ProcessEnv, variables: Map<string, string>): unknown {
  if (typeof file !== 'object' || file === null) return file
  const merged: Record<string, unknown> = { ...(file as Record<string, unknown>) }
  for (const [name, text] of Object.entries(env)) {
    const match = CONFIG_VARIABLE.exec(name)
    if (!match || text === undefined) continue
    const [section, key] = [match[1]!.toLowerCase(), match[2]!.toLowerCase()]
    merged[section] = { ...(merged[section] as object | undefined), [key]: parseConfigText(`${section}.${key}`, text) }
    variables.set(section, name).set(`${section}.${key}`, name)
  }
  return merged
}

/** The value of `key` as a variable or a command line gives it: JSON, or else text. */
export function parseConfigText(key: string, text: string): unknown {
  // A host may be called 1234, and a store true.
  if (isString(keySchema(key))) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Every key there is, as `section.key`. */
export function configKeys(): string[] {
  return Object.keys(configSchema().shape).flatMap((section) => [
    section,
    ...Object.keys(sectionShape(section)!).map((key) => `${section}.${key}`),
  ])
}

function sectionShape(section: string): Readonly<Record<string, z.ZodType>> | undefined {
  const shape: Readonly<Record<string, z.ZodType>> = configSchema().shape
  return Object.hasOwn(shape, section) ? (bare(shape[section]!) as z.ZodObject).shape : undefined
}

function keySchema(key: string): z.ZodType | undefined {
  const [section, name] = key.split('.') as [string, string?]
  const shape = sectionShape(section)
  return shape && name !== undefined && Object.hasOwn(shape, name) ? shape[name] : undefined
}

/** Whether `key` holds values by name, be the names the user's choice or ours. */
export function isMapKey(key: string): boolean {
  const schema = keySchema(key)
  return schema !== undefined && (bare(schema) instanceof z.ZodRecord || bare(schema) instanceof z.ZodObject)
}

function isString(schema: z.ZodType | undefined): boolean {
  return schema !== undefined && bare(schema) instanceof z.ZodString
}

/** A schema without its default. */
function bare(schema: z.ZodType): z.ZodType {
  return 'innerType' in schema.def ? bare(schema.def.innerType as z.ZodType) : schema
}

/** The known key whose spelling is nearest. */
export function nearestKey(key: string): string {
  const sorted = configKeys().map((known) => ({ known, far: distance(key, known) }))
  return sorted.sort((a, b) => a.far - b.far)[0]!.known
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + same))
    }
    row = next
  }
  return row[b.length]!
}
