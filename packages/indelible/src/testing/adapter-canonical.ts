/**
 * Entries as lines that can be compared between frameworks. What frameworks lawfully differ in is taken out: steps, policies
 * that said yes, the runs of sub-agents, the order in which tools that run at once begin and end, and ids.
 */
import type { ReadRecord } from '../record/entry.ts'
import { type EventKind, kindOf } from './adapter-script.ts'

/** One line for each entry that counts: type, actor, tool, outcome, and the number of its call. */
export function canonicalLines(records: readonly ReadRecord[], unseen: ReadonlySet<EventKind> = new Set()): string[] {
  const counted = answersBeforeTools(records.filter((record) => counts(record, unseen)))
  const numbers = new Map<string, number>()
  const lines: string[] = []
  for (const block of blocks(counted)) {
    for (const { type, actor, tool, outcome, call, resource } of block) {
      const isTool = tool !== undefined && call !== undefined
      if (isTool && !numbers.has(call)) numbers.set(call, numbers.size + 1)
      const words = [
        type,
        actor.type === 'agent' ? 'agent' : `${actor.type}:${actor.id}`,
        isTool ? tool.name : type === 'handoff' ? `→${resource?.id}` : '',
        outcome,
        isTool ? `#${numbers.get(call)}` : '',
      ]
      lines.push(words.filter((word) => word !== '').join(' '))
    }
  }
  return lines
}

/** What is left of expected lines where some kinds cannot be seen. */
export function visibleLines(expected: readonly string[], unseen: ReadonlySet<EventKind>): string[] {
  return expected.filter((line) => !unseen.has(kindOf(line.slice(0, line.indexOf(' ')))!))
}

function counts({ type, outcome, run }: ReadRecord, unseen: ReadonlySet<EventKind>): boolean {
  const kind = kindOf(type)
  if (kind === null || unseen.has(kind)) return false
  if (type === 'policy.evaluated' && outcome !== 'denied') return false
  return !(type.startsWith('run.') && run?.parent !== undefined)
}

/** A framework that streams may call a tool before the model's answer is through. */
function answersBeforeTools(records: readonly ReadRecord[]): ReadRecord[] {
  const ordered: ReadRecord[] = []
  for (const record of records) {
    const asked = record.type === 'llm.response' ? ordered.findLastIndex(({ type }) => type === 'llm.request') : -1
    if (asked === -1) ordered.push(record)
    else ordered.splice(asked + 1, 0, record)
  }
  return ordered
}

/** Entries of tools that follow one another, those of each tool together and in their order. */
function* blocks(records: readonly ReadRecord[]): Generator<readonly ReadRecord[]> {
  let tools: ReadRecord[] = []
  for (const record of records) {
    if (record.tool !== undefined) {
      tools.push(record)
      continue
    }
    yield byTool(tools)
    tools = []
    yield [record]
  }
  yield byTool(tools)
}

function byTool(records: readonly ReadRecord[]): ReadRecord[] {
  return records.toSorted((a, b) => (a.tool!.name < b.tool!.name ? -1 : a.tool!.name > b.tool!.name ? 1 : 0))
}
