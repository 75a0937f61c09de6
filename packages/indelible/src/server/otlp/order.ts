/**
 * The order of what one request tells. Children end before their parents, and are sent so; in the log, what is within a span stands
 * between its beginning and its end, and the rest in the order of its times. Nesting goes before time: clocks of SDKs are coarse,
 * and a child may seem to begin before its parent.
 */
import type { AgentEvent } from '../../record/schema.ts'

/** A span, or a log record, and its events. */
export interface Told {
  /** Position in the request. */
  readonly item: number
  /** One, or its beginning and its end. */
  readonly events: readonly AgentEvent[]
  /** Trace and span; `null` of what is no span. */
  readonly key: string | null
  readonly parentKey: string | null
}

export interface OrderedEvent {
  readonly item: number
  readonly event: AgentEvent
}

/** A span between times that contain those of all that is within it. */
interface Placed {
  readonly told: Told
  readonly parent: Placed | null
  readonly begin: string
  end: string
}

export function inOrder(told: readonly Told[]): OrderedEvent[] {
  const keys = new Set(told.flatMap(({ key }) => key ?? []))
  const children = new Map<string, Told[]>()
  const roots: Told[] = []
  for (const one of told) {
    const { parentKey, key } = one
    const known = parentKey === null ? undefined : children.get(parentKey)
    if (parentKey === null || parentKey === key || !keys.has(parentKey)) roots.push(one)
    else if (known) known.push(one)
    else children.set(parentKey, [one])
  }
  const placed = new Map<Told, Placed>()
  const nested: { readonly at: Placed; readonly event: AgentEvent; readonly isEnd: boolean }[] = []
  // What senders call parents may go round in a circle: those are roots as well, at the end. A stack, since nesting is theirs.
  for (const root of [...roots.toSorted(byBegin), ...told]) {
    const stack: { readonly told: Told; readonly parent: Placed | null; readonly isEnd: boolean }[] = []
    stack.push({ told: root, parent: null, isEnd: false })
    for (let top = stack.pop(); top; top = stack.pop()) {
      const { told: one, parent, isEnd } = top
      if (isEnd) {
        nested.push({ at: placed.get(one)!, event: one.events.at(-1)!, isEnd })
        continue
      }
      if (placed.has(one)) continue
      const begin = later(one.events[0]!.time!, parent?.begin ?? '')
      const at = { told: one, parent, begin, end: later(one.events.at(-1)!.time!, begin) }
      placed.set(one, at)
      nested.push({ at, event: one.events[0]!, isEnd: false })
      if (one.events.length > 1) stack.push({ told: one, parent, isEnd: true })
      const within = (one.key !== null && children.get(one.key)) || []
      for (const child of within.toSorted(byBegin).toReversed()) stack.push({ told: child, parent: at, isEnd: false })
    }
  }
  // Children come after their parents here: backwards, each has its own last end when it is its parent's turn.
  for (const { parent, end } of [...placed.values()].reverse()) if (parent) parent.end = later(parent.end, end)
  // Stable: of one time, the nesting decides.
  const timeOf = ({ at, isEnd }: (typeof nested)[number]) => (isEnd ? at.end : at.begin)
  nested.sort((a, b) => compare(timeOf(a), timeOf(b)))
  return nested.map(({ at, event }) => ({ item: at.told.item, event }))
}

function byBegin(a: Told, b: Told): number {
  return compare(a.events[0]!.time!, b.events[0]!.time!)
}

function later(a: string, b: string): string {
  return a < b ? b : a
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
