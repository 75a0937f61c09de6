/** Whether erasures wait for something. */
import { join } from 'node:path'
import { FileJournal } from '../log/erasure-journal.ts'
import { type Check, warning } from './doctor-check.ts'
import { count } from './output.ts'
import { durationText } from './units.ts'

/** Nothing to say where none is pending. */
export function checkErasures(home: string, nowMs: number): Check[] {
  const pending = new FileJournal(join(home, 'erasures')).list()
  if (pending.length === 0) return []
  const oldestMs = Math.min(...pending.map(({ since_ms: sinceMs }) => sinceMs))
  const age = durationText(Math.max(0, nowMs - oldestMs))
  const message = `${count(pending.length, 'erasure')} pending, the oldest for ${age}: bytes may still be in files`
  return [warning('erasures', message, 'indelible erase --resume; it says what is in the way')]
}
