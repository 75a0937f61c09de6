/**
 * The order of what one request tells. Children end before their parents, and are sent so; in the log, things stand in the order of
 * their times. Clocks are coarse: what is of one time is ordered by which span is within which.
 */
import type { AgentEvent } from '../../record/schema.ts'

/** A span, or a log record, and its events. */
export interface Told {
  /** Position in the request. */
  readonly item: number
  /** First what begins it. */
  readonly events: readonly AgentEvent[]
  /** Trace and span; `null` of what is no span. */
  readonly key: string | null
  readonly parentKey: string | null
}

export interface OrderedEvent {
  readonly item: number
  readonly event: AgentEvent
}

export function inOrder(told: readonly Told[]): OrderedEvent[] {
  const keys = new Set(told.flatMap(({ key }) => key ?? []))
  const children = new Map<string, Told[]>()
  const roots: Told[] = []
  for (const one of told) {
    const { parentKey, key } = one
    if (parentKey === null || parentKey === key || !keys.has(parentKey)) roots.push(one)
    else children.set(parentKey, [...(children.get(parentKey) ?? []), one])
  }
  const nested: OrderedEvent[] = []
  const seen = new Set<Told>()
  // What senders call parents may go round in a circle: those are roots as well, at the end. A stack, since nesting is theirs.
  for (const root of [...roots.toSorted(byBegin), ...told]) {
    const stack: (Told | OrderedEvent)[] = [root]
    for (let top = stack.pop(); top; top = stack.pop()) {
      if ('event' in top) {
        nested.push(top)
        continue
      }
      if (seen.has(top)) continue
      seen.add(top)
      const { item, events, key } = top
      const [begin, ...rest] = events.map((event) => ({ item, event }))
      if (begin) nested.push(begin)
      stack.push(...rest.toReversed())
      if (key !== null) stack.push(...(children.get(key) ?? []).toSorted(byBegin).toReversed())
    }
  }
  // Stable: of one time, the nesting decides.
  return nested.sort((a, b) => compare(a.event.time!, b.event.time!))
}

function byBegin(a: Told, b: Told): number {
  return compare(a.events[0]?.time ?? '', b.events[0]?.time ?? '')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
