/** For an application that embeds us: a recorder that is there whether or not anybody wants runs recorded. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Recorder } from '../capture/recorder.ts'
import { loadConfig } from '../config/config.ts'
import type { OpenLogOptions } from './home.ts'
import { resolveHome } from './home-paths.ts'

export interface OpenedRecorder {
  readonly recorder: Recorder
  /** Closes the recorder and its log. */
  close(): Promise<void>
}

/**
 * The recorder of a home. With `embedded`, nothing is recorded, and no home is needed, until the operator switches it on: by
 * `capture.enabled` in the home's configuration, or `INDELIBLE_CAPTURE__ENABLED=true`. `INDELIBLE_CAPTURE__ENABLED=false`
 * switches it off wherever it is on.
 *
 * @throws IndelibleError as `openLog`, if it is switched on
 */
export async function openRecorder(options: OpenLogOptions = {}): Promise<OpenedRecorder> {
  if (!isOn(options)) return { recorder: new Recorder(null), close: async () => {} }
  // Where nothing is recorded, no log is loaded either.
  const { openLog } = await import('./home.ts')
  const log = await openLog(options)
  return { recorder: log.recorder, close: () => log.close() }
}

function isOn({ home, embedded = false }: OpenLogOptions): boolean {
  const variable = process.env.INDELIBLE_CAPTURE__ENABLED
  if (variable === 'false') return false
  if (!embedded || variable === 'true') return true
  const directory = resolveHome(home)
  return existsSync(join(directory, 'config.json')) && loadConfig(directory).capture.enabled === true
}
