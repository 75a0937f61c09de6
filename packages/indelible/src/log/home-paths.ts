/** Where a home is, and what of it the configuration may put elsewhere. Light: most commands need this and not the log. */
import { isAbsolute, join, resolve } from 'node:path'
import type { Config } from '../config/config.ts'

/** Default home, relative to the working directory. */
const DEFAULT_HOME = '.indelible'

/** The folder of a log: `home`, else `$INDELIBLE_HOME`, else `./.indelible`. */
export function resolveHome(home?: string): string {
  return resolve(home ?? process.env.INDELIBLE_HOME ?? DEFAULT_HOME)
}

/** The folder of a log's keys, which need not be in its home. */
export function keysDirectory(home: string, config: Config): string {
  return isAbsolute(config.keys.dir) ? config.keys.dir : join(home, config.keys.dir)
}
