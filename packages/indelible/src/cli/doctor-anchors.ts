/** Checks of who vouches for a log: whether each anchor has what its schedule asks for, and what to do where it has not. */
import type { AnchorStatus } from '../anchor/state.ts'
import { type AnchorsConfig, durationSeconds } from '../config/anchors-section.ts'
import { type Check, failure, ok, warning } from './doctor-check.ts'
import { count, shellWord } from './output.ts'
import { agoText } from './units.ts'

const CHECK = 'anchors'
const VERIFY = 'run indelible verify'

/** What an anchor says of a log that does not continue what it has seen. */
const MISBEHAVIOUR: ReadonlySet<string> = new Set(['ERR_ROLLED_BACK', 'ERR_SPLIT_VIEW', 'ERR_STORE_CORRUPT'])

/** Asks again, by the clock or by the number of entries, that may go by before an anchor is late: one of them may fail. */
const TURNS = 2

/** One check for each anchor. Those that are not required are told of and not complained about. */
export function checkAnchors(anchors: AnchorsConfig, status: readonly AnchorStatus[], now: number): Check[] {
  if (status.length === 0) {
    return [ok(CHECK, 'none are configured: only pins and receipts that others keep show a log that was cut off')]
  }
  return status.map((one) => checkAnchor(anchors, one, now))
}

function checkAnchor(anchors: AnchorsConfig, one: AnchorStatus, now: number): Check {
  const { name, kind, required, size, behind, received, error } = one
  const what = `${name} (${kind})`
  const again = `indelible anchor now ${shellWord(name)}`
  const said = error === null ? '' : `; the last attempt failed: ${error.message} (${error.code})`
  if (behind < 0) {
    const message = `${what} vouches for ${count(size!, 'entry', 'entries')}, ${-behind} more than the log has: its end is gone`
    return failure(CHECK, message, VERIFY)
  }
  if (error !== null && MISBEHAVIOUR.has(error.code)) return failure(CHECK, `${what}${said}`, VERIFY)
  const complain = required ? warning : (check: string, message: string) => ok(check, message)
  if (received === null) {
    const action =
      error === null
        ? `${again}; then have it done on its schedule: by indelible serve, openLog({ anchor: true }), or indelible anchor now --due from cron`
        : `${remedy(error.code)}, then ${again}`
    return complain(CHECK, `${what} has never vouched for anything${said || ': it was not asked yet'}`, action)
  }
  const config = anchors.list.find((anchor) => anchor.name === name)!
  const every = config.every ?? anchors.every
  const age = now - Date.parse(received)
  const state = `${what} vouched for ${count(size!, 'entry', 'entries')} ${agoText(age)}`
  const isOld = age > TURNS * durationSeconds(every) * 1000
  const isFar = config.every_entries !== undefined && behind > TURNS * config.every_entries
  if (isOld || isFar) {
    const due = isOld ? `every ${every}` : `every ${count(config.every_entries!, 'entry', 'entries')}`
    const action =
      error === null
        ? `see that what anchors is running (indelible serve, openLog({ anchor: true }), or cron); ${again}`
        : `${remedy(error.code)}, then ${again}`
    return complain(CHECK, `${state}, ${behind} behind; it is to be asked ${due}${said}`, action)
  }
  // What does not mend itself is worth a word before it is late.
  if (error !== null && error.code !== 'ERR_ANCHOR_FAILED') {
    return complain(CHECK, `${state}, ${behind} behind${said}`, `${remedy(error.code)}, then ${again}`)
  }
  return ok(CHECK, `${state}, ${behind} behind`)
}

function remedy(code: string): string {
  if (code === 'ERR_ANCHOR_FAILED') return 'see whether it can be reached from here'
  if (code === 'ERR_ANCHOR_REFUSED') return 'do what the message says: it refuses, and will again'
  return 'mend what the message says'
}
