/** Changing one key of `config.json`. What else stands in the file stays; what would make it unreadable is refused. */
import { existsSync, realpathSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { type Config, parseConfig, parseConfigText, readConfigLayers } from '../config/config.ts'
import { flattenConfig, isSettable, splitKey, unknownKey, valueAt } from '../config/sources.ts'
import { IndelibleError } from '../errors.ts'
import { withFileLock, writeFileAtomic } from '../keys/files.ts'

export interface ConfigEdit {
  readonly path: string
  /** What the file and the defaults make of the key, before and after; `null` is no value. */
  readonly before: unknown
  readonly after: unknown
  readonly wasInFile: boolean
  /** What is still wrong with the file, after a key was taken out of it. */
  readonly fault: string | null
}

/** Keys that belong to a log from its beginning, and why. */
const FIXED: Readonly<Record<string, string>> = {
  'log.origin':
    'it is the name of this log, and its checkpoints and proofs are signed under it. For another name make another log: indelible init --origin NAME',
  'log.profile':
    'it says with what this log was signed from its first entry on. For another profile make another log: indelible init --profile PROFILE',
  'log.store':
    'it says where the entries of this log are. With nothing writing the log, bring all of it there with indelible copy --to URL, then repeat; another log is made with indelible init',
  'keys.dir':
    'the keys of this log are not there. With nothing writing the log, move the folder there first, then repeat',
}

/**
 * @param text JSON, or else text
 * @throws IndelibleError `ERR_CONFIG_INVALID` for an unknown key, naming the nearest, for a bad value, saying what was
 * expected, and for a key that a log keeps for life
 */
export async function setConfigKey(home: string, key: string, text: string): Promise<ConfigEdit> {
  if (!isSettable(key)) throw invalid(isSection(key) ? `${key} is a section: set one of its keys` : unknownKey(key))
  const value = parseConfigText(key, text)
  const isMoved = key === 'log.store' && (await hasCopy(home, text))
  return edit(home, key, (file) => withValue(file, splitKey(key), value), isMoved)
}

/**
 * Takes a key out of the file, whatever it is: that is how an unknown one is got rid of.
 * @throws IndelibleError `ERR_CONFIG_INVALID` for an unknown key that the file does not have, and for one that a log keeps
 * for life
 */
export function unsetConfigKey(home: string, key: string): Promise<ConfigEdit> {
  return edit(home, key, (file) => {
    const path = splitKey(key)
    if (valueAt(file, path) === undefined && !isSettable(key)) throw invalid(unknownKey(key))
    return withoutValue(file, path)
  })
}

async function edit(home: string, key: string, change: (file: object) => object, isMoved = false): Promise<ConfigEdit> {
  const { path } = readConfigLayers(home, {})
  return withFileLock(`${path}.lock`, async () => {
    const { file } = readConfigLayers(home, {})
    if (!isObject(file)) throw invalid(`${path}: expected an object`)
    const next = change(file)
    if (!isMoved) refuseFixed(home, key, file, next)
    const where = (at: string) => (at === key || at.startsWith(`${key}.`) ? 'config set' : path)
    const before = tryParse(file, where)
    const after = tryParse(next, where)
    const isInFile = valueAt(next, splitKey(key)) !== undefined
    // Taking out is no worse than it was: of several bad keys each has to go alone.
    if (after instanceof IndelibleError && (isInFile || !(before instanceof IndelibleError))) throw after
    if (isInFile && REDACTION_KEY.test(key)) await checkRedaction(home, after as Config)
    // Through a link, not over it.
    writeFileAtomic(realpathSync(path), `${JSON.stringify(next, null, 2)}\n`)
    return {
      path,
      before: effective(before, file, key),
      after: effective(after, next, key),
      wasInFile: valueAt(file, splitKey(key)) !== undefined,
      fault: after instanceof IndelibleError ? after.message : null,
    }
  })
}

/** Keys that the redactor is made of: whether it can be made is known only once it is. */
const REDACTION_KEY = /^privacy\.(packs|patterns|fields|recognizer)(\.|$)/

/** @throws IndelibleError `ERR_CONFIG_INVALID` with the reason */
async function checkRedaction(home: string, config: Config): Promise<void> {
  const { configuredRedactor } = await import('../log/privacy-home.ts')
  await configuredRedactor(home, config)
}

function refuseFixed(home: string, key: string, file: object, next: object): void {
  for (const [fixed, reason] of Object.entries(FIXED)) {
    if (fixed !== key && !fixed.startsWith(`${key}.`)) continue
    const [before, after] = [file, next].map((one) => valueAt(one, splitKey(fixed)) ?? defaults().get(fixed))
    if (before === after || (fixed === 'keys.dir' && hasMoved(home, before, after))) continue
    throw invalid(`${fixed} cannot change: ${reason}`)
  }
}

/** Whether the store at `url` has all of the log. */
async function hasCopy(home: string, url: string): Promise<boolean> {
  const { isCopied } = await import('./store-move.ts')
  try {
    return await isCopied(home, url)
  } catch (error) {
    if (error instanceof IndelibleError) return false
    throw error
  }
}

/** Whether the keys folder is in its new place already, and no longer in the old one. */
function hasMoved(home: string, before: unknown, after: unknown): boolean {
  const holdsKeys = (dir: unknown) =>
    typeof dir === 'string' && existsSync(join(isAbsolute(dir) ? dir : join(home, dir), 'state.json'))
  return holdsKeys(after) && !holdsKeys(before)
}

function tryParse(value: unknown, where: (key: string) => string): Config | IndelibleError {
  try {
    return parseConfig(value, where)
  } catch (error) {
    if (error instanceof IndelibleError) return error
    throw error
  }
}

function effective(config: Config | IndelibleError, file: object, key: string): unknown {
  const raw = valueAt(file, splitKey(key)) ?? null
  return config instanceof IndelibleError ? raw : (flattenConfig(config).get(key) ?? raw)
}

function defaults(): Map<string, unknown> {
  const flat = flattenConfig(parseConfig({ log: { origin: 'any' } }, (key) => key))
  flat.delete('log.origin')
  return flat
}

function isSection(key: string): boolean {
  return Object.keys(parseConfig({ log: { origin: 'any' } }, (at) => at)).includes(key)
}

function withValue(object: object, [name, ...rest]: readonly string[], value: unknown): object {
  const inner = valueAt(object, [name!])
  return { ...object, [name!]: rest.length === 0 ? value : withValue(isObject(inner) ? inner : {}, rest, value) }
}

/** An object that this leaves empty goes as well. */
function withoutValue(object: object, [name, ...rest]: readonly string[]): object {
  const { [name!]: inner, ...others } = object as Record<string, unknown>
  if (rest.length === 0 || !isObject(inner)) return rest.length === 0 ? others : object
  const left = withoutValue(inner, rest)
  return Object.keys(left).length === 0 ? others : { ...object, [name!]: left }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(message: string): IndelibleError {
  return new IndelibleError('ERR_CONFIG_INVALID', message)
}
