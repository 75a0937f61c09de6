/** The effective configuration key by key, and which layer each value comes from. */
import { type Config, configKeys, isMapKey, loadConfig, nearestKey, readConfigLayers } from './config.ts'

export type ConfigSource = 'environment' | 'config.json' | 'default'

export interface ConfigValue {
  readonly key: string
  /** `null` if it is not set and has no default. */
  readonly value: unknown
  readonly source: ConfigSource
  /** Name of the environment variable that it stands in. */
  readonly variable?: string
}

/**
 * The effective configuration, flat: `section.key`, and one line for each name in a map, as `privacy.parts.output`. Keys
 * without a value are left out.
 */
export function flattenConfig(config: Config): Map<string, unknown> {
  const flat = new Map<string, unknown>()
  for (const [section, keys] of Object.entries(config)) {
    for (const [name, value] of Object.entries(keys)) {
      const key = `${section}.${name}`
      if (value === undefined) continue
      if (!isMapKey(key)) flat.set(key, value)
      else for (const [inner, one] of Object.entries(value as object)) flat.set(`${key}.${inner}`, one)
    }
  }
  return flat
}

/**
 * Every key with its value and its source, in the order of the schema. A map has a line for each of its names; an empty one
 * has a line of its own.
 *
 * @throws IndelibleError as {@link loadConfig}
 */
export function configValues(home: string, env: NodeJS.ProcessEnv = process.env): ConfigValue[] {
  const { file, variables } = readConfigLayers(home, env)
  const flat = flattenConfig(loadConfig(home, env))
  return configKeys()
    .filter((key) => key.includes('.'))
    .flatMap((key) => {
      const variable = variables.get(key)
      const source: ConfigSource =
        variable !== undefined ? 'environment' : valueAt(file, splitKey(key)) !== undefined ? 'config.json' : 'default'
      const origin = { source, ...(variable !== undefined && { variable }) }
      const names = isMapKey(key) ? [...flat.keys()].filter((name) => name.startsWith(`${key}.`)) : []
      if (names.length > 0) return names.map((name) => ({ key: name, value: flat.get(name), ...origin }))
      return [{ key, value: flat.get(key) ?? (isMapKey(key) ? {} : null), ...origin }]
    })
}

/** `privacy.parts.a.b` as section, key, and the name in a map, which may hold dots. */
export function splitKey(key: string): string[] {
  const [section, name, ...rest] = key.split('.') as [string, ...string[]]
  return [section, name, rest.length > 0 ? rest.join('.') : undefined].filter((part) => part !== undefined)
}

/** Whether `key` is one that a value can be given: neither unknown nor a section. */
export function isSettable(key: string): boolean {
  const [section, name, inner] = splitKey(key)
  const outer = `${section}.${name}`
  return name !== undefined && configKeys().includes(outer) && (inner === undefined || isMapKey(outer))
}

/** What to say of a key that is not there. */
export function unknownKey(key: string): string {
  return `unknown key ${key}; did you mean ${nearestKey(key)}?`
}

/** What stands at `path` in parsed JSON, `undefined` if nothing does. */
export function valueAt(value: unknown, path: readonly string[]): unknown {
  let at = value
  for (const name of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = (at as Record<string, unknown>)[name]
  }
  return at
}

/** A value as it may be shown, and written to where it stays: without the password of a URL. */
export function withoutPassword(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return value
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/:@]*):.*@/i, '$1:***@')
    .replace(/([?&](?:password|secret|token)=)[^&]*/gi, '$1***')
}
