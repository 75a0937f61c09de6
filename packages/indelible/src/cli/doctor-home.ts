/** Checks of a home that need no look into its log: modes, places, what was left behind. */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import type { Config } from '../config/config.ts'
import { unreadVariables } from '../config/config.ts'
import type { KeysInspection } from '../keys/file-keys.ts'
import { isOlderThan } from '../keys/files.ts'
import { isGone } from '../keys/process.ts'
import { type Check, failure, ok, warning } from './doctor-check.ts'
import { fileBytes, namesIn, readSpool, readWriters } from './home-facts.ts'
import { count, shellWord } from './output.ts'
import { durationText } from './units.ts'

const DAY_MS = 86_400_000

export function checkNode(version: string = process.versions.node): Check {
  // Older ones do not get this far: see bin/indelible.js.
  return ok('node', `Node ${version}; 22.18 or newer is needed`)
}

export function checkVariables(env: NodeJS.ProcessEnv = process.env): Check[] {
  return unreadVariables(env).map((name) =>
    warning('config', `nothing reads the variable ${name}`, 'write INDELIBLE_SECTION__KEY, with two underscores'),
  )
}

interface ModeRule {
  readonly path: string
  /** Bits that nobody else may have, and what having them means. */
  readonly bits: number
  readonly state: 'warning' | 'failure'
  readonly why: string
}

/** Modes of everything that others must not read, or not write. */
export function checkPermissions({
  home,
  keys,
  files,
  pins,
}: Record<'home' | 'keys' | 'pins', string> & { readonly files: readonly string[] }): Check[] {
  if (process.platform === 'win32')
    return [ok('permissions', 'not checked on Windows: its access lists are yours to set')]
  const secret = [keys, ...namesIn(keys).map((name) => join(keys, name))]
  const own = ['', 'config.json', 'applied-config.json', 'index.db', 'index.db-wal', 'spool', 'writers']
  const readable = [...own.map((name) => join(home, name)), ...files]
  const shared = [join(home, 'log.vkey'), pins]
  const rules: ModeRule[] = [
    ...secret.map((path) => rule(path, 0o077, 'failure', 'others may use the keys')),
    ...[...readable, ...shared].map((path) => rule(path, 0o022, 'failure', 'others may write it')),
    ...readable.map((path) => rule(path, 0o055, 'warning', 'others may read it')),
  ]
  const found = new Map<string, Check>()
  for (const { path, bits, state, why } of rules) {
    const mode = (statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o777
    if ((mode & bits) === 0 || found.has(path)) continue
    const text = `${path} has mode ${mode.toString(8).padStart(3, '0')}: ${why}`
    // All at once: what others may write, they may mostly read as well.
    const action = `chmod ${shared.includes(path) ? 'go-w' : 'go='} ${shellWord(path)}`
    const rotate = secret.includes(path) ? ', and rotate the key if others had access' : ''
    found.set(path, { check: 'permissions', state, message: text, action: action + rotate })
  }
  return found.size > 0 ? [...found.values()] : [ok('permissions', 'nobody else can read the log or use its keys')]
}

function rule(path: string, bits: number, state: ModeRule['state'], why: string): ModeRule {
  return { path, bits, state, why }
}

/** Whoever backs up the tree of the database must not get the keys with it. */
export function checkKeysFolder(home: string, keysDir: string, folder: string | null): Check {
  // Of a server, nothing but the configuration is in the home.
  const trees = (folder === null ? [] : [home, folder]).filter(existsSync).map((path) => realpathSync(path))
  const keys = realpathSync(keysDir)
  const tree = trees.find((path) => keys === path || keys.startsWith(path + sep))
  if (tree === undefined) {
    return ok('keys_folder', `${keysDir} is not with the database; keep it out of the backups that have the database`)
  }
  return warning(
    'keys_folder',
    `${keysDir} is in the same tree as the database: restored from a backup, it brings back keys that were erased`,
    'leave it out of backups; better, with nothing writing the log, move it elsewhere and run indelible config set keys.dir DIR',
  )
}

/** A folder that was copied or restored would be a second writer with the same keys. */
export function checkPlace(config: Config, { origin, isInPlace }: KeysInspection): Check {
  if (origin !== config.log.origin) {
    return failure(
      'place',
      `keys are of ${origin}, the configuration says ${config.log.origin}`,
      'put the right keys folder in its place',
    )
  }
  if (isInPlace) return ok('place', 'the home is where it was made')
  return failure(
    'place',
    'the keys folder was copied, restored or moved to another host: nothing can be recorded',
    'make sure that nothing else writes this log, then run indelible record --adopt',
  )
}

/** @param since when the key came into use, ms since 1970 */
export function checkSigningKey(since: number, now: number): Check {
  const age = now - since
  if (age <= 365 * DAY_MS) return ok('signing_key', `in use for ${durationText(Math.max(age, 0))}`)
  return warning('signing_key', `in use for ${durationText(age)}, more than a year`, 'indelible keys rotate')
}

export function checkWriters(home: string): Check {
  const { alive, killed, elsewhere } = readWriters(home)
  if (killed > 0) {
    return warning(
      'writers',
      `${count(killed, 'process', 'processes')} that had the log open ended without closing it: events that were not acknowledged may be missing`,
      'find out what was killed; whoever opens the log next states it there (unclean_shutdown)',
    )
  }
  const others = elsewhere > 0 ? `, ${elsewhere} more of another host or container` : ''
  return ok('writers', `${count(alive, 'process has', 'processes have')} the log open${others}`)
}

export function checkSpool(home: string): Check {
  const waiting = readSpool(home)
  if (waiting === 0) return ok('spool', 'no events wait for the log')
  return warning('spool', `${count(waiting, 'file')} in ${join(home, 'spool')}`, 'see that the log can be written')
}

/** After this, what another host's or container's process has left counts as left behind, ms. */
const FOREIGN_MS = 10 * 60_000

/**
 * Half-written files and locks in `folders`, and drafts of an init beside `places`, whose processes are gone. Drafts and
 * half-written files may hold keys.
 */
export function checkLeftovers(folders: readonly string[], places: readonly string[]): Check[] {
  const drafts = places.flatMap((place) => leftIn(dirname(place), draftToken(basename(place))))
  const files = folders.flatMap((folder) => [...leftIn(folder, temporaryToken), ...leftIn(folder, lockToken(folder))])
  const checks = [
    ...drafts.map((path) =>
      warning('leftovers', `${path} is of an init that was killed, and holds keys`, `rm -r ${shellWord(path)}`),
    ),
    ...files.map((path) => warning('leftovers', `${path} is of a process that was killed`, `rm ${shellWord(path)}`)),
  ]
  return checks.length > 0
    ? checks
    : [ok('leftovers', 'no drafts, temporary files or locks of processes that are gone')]
}

function leftIn(folder: string, tokenOf: (name: string) => string | undefined): string[] {
  return namesIn(folder)
    .map((name) => ({ path: join(folder, name), token: tokenOf(name) }))
    .filter(({ path, token }) => token !== undefined && (isGone(token) ?? isOlderThan(path, FOREIGN_MS)))
    .map(({ path }) => path)
}

function draftToken(place: string): (name: string) => string | undefined {
  return (name) => (name.startsWith(`${place}.init-`) ? /\.init-([0-9a-f-]+)-[0-9a-f]{8}$/.exec(name)?.[1] : undefined)
}

function temporaryToken(name: string): string | undefined {
  return /\.([0-9a-f-]+)\.[0-9a-f]{8}\.tmp$/.exec(name)?.[1]
}

/** The owner stands in the lock. */
function lockToken(folder: string): (name: string) => string | undefined {
  return (name) => {
    const path = join(folder, name)
    if (!/(^|\.)lock(\.break)?$/.test(name) || fileBytes(path) > 200) return undefined
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined // released meanwhile
    }
  }
}
