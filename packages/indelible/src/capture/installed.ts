/** Versions of frameworks that do not say theirs. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'

/**
 * Version of a package as it is installed for the program that runs: beside its main script, or else beside the working
 * directory. `undefined` if it is found beside neither, such as in a bundle: then the caller has to say the version.
 */
export function installedVersion(name: string): string | undefined {
  for (const place of [dirname(process.argv[1] ?? ''), process.cwd()]) {
    for (const folder of createRequire(join(resolve(place), 'x.js')).resolve.paths(name) ?? []) {
      const version = versionIn(join(folder, name, 'package.json'))
      if (version !== undefined) return version
    }
  }
  return undefined
}

function versionIn(path: string): string | undefined {
  try {
    const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    // Not there, or no package: the next place is asked.
    return undefined
  }
}
