/**
 * Appends what a spool holds, in order. A segment is removed once all of it is in the log; after a crash in between it is
 * replayed again, and the log knows the events by their ids. Each segment is stated as a gap: for a while, the log did not
 * have what had happened.
 */
import { isIndelibleError } from '../errors.ts'
import type { AgentEvent } from '../record/schema.ts'
import { OF_THE_EVENT } from './delivery-errors.ts'
import type { Losses } from './losses.ts'
import type { EventDraft, Sink } from './sink.ts'
import type { Spool, SpoolSegment } from './spool.ts'

/** Most events of one append. */
const MAX_BATCH = 1000

/** What a segment turned out to hold. */
interface Replayed {
  events: number
  from: string | null
  to: string | null
}

export class Replay {
  readonly #sink: Sink
  readonly #spool: Spool
  readonly #losses: Losses
  /** Files that were named as foreign already. */
  readonly #named = new Set<string>()
  #foreign: string[] = []

  constructor(sink: Sink, spool: Spool, losses: Losses) {
    this.#sink = sink
    this.#spool = spool
    this.#losses = losses
  }

  /** Finds what processes that are gone have left. */
  takeOver(): void {
    for (const name of this.#spool.takeOver().foreign) {
      if (this.#named.has(name)) continue
      this.#named.add(name)
      this.#foreign.push(name)
    }
  }

  /** Whether there is anything to append, or to tell. */
  get hasWork(): boolean {
    return this.#spool.hasBacklog || this.#foreign.length > 0
  }

  /**
   * Appends all there is. Throws what the sink throws; what was appended until then is not appended again.
   * @param relieve called between batches, so that the caller can make room
   */
  async run(relieve: () => Promise<void>): Promise<void> {
    if (this.#foreign.length > 0) {
      await this.#sink.recordGap({ cause: 'spool_foreign', files: this.#foreign.length })
      this.#foreign = []
    }
    for (let next = this.#spool.oldest(); next !== null; next = this.#spool.oldest()) {
      await this.#replaySegment(next, relieve)
    }
  }

  async #replaySegment(segment: SpoolSegment, relieve: () => Promise<void>): Promise<void> {
    const reader = this.#spool.read(segment)
    if (!reader) {
      this.#spool.setAside(segment)
      return
    }
    const replayed: Replayed = { events: 0, from: null, to: null }
    const mark = this.#sink.policyMark
    // While one batch is being written, the next is made: that is most of the work.
    let writing: Promise<void> = Promise.resolve()
    let drafts: EventDraft[] = []
    const write = async () => {
      const batch = drafts
      drafts = []
      await writing
      writing = this.#append(batch)
      // It is awaited later; until then its failure is nobody's.
      writing.catch(() => {})
      await relieve()
    }
    try {
      for (const frame of reader.frames()) {
        if ('dropped' in frame) this.#losses.addLoss(frame.dropped)
        if (!('events' in frame)) continue
        const isJudged = frame.policy !== undefined && frame.policy === mark
        for (const event of frame.events) {
          const draft = this.#draft(event, isJudged, replayed)
          if (draft && drafts.push(draft) === MAX_BATCH) await write()
        }
      }
      // A quiet agent spools an event or two at a time: they share a batch all the same.
      if (drafts.length > 0) await write()
    } finally {
      await writing
    }
    const { frames, torn } = reader.damage
    const isDamaged = frames > 0 || torn > 0
    const gap = {
      cause: isDamaged ? 'spool_damaged' : 'spooled',
      ...replayed,
      ...(isDamaged && { damaged_frames: frames, torn_bytes: torn }),
      ...(!reader.isClosed && { unfinished: true }),
    }
    // The segment's id is the gap's: a second replay does not state it again.
    await this.#sink.recordGap(gap, segment.id)
    if (isDamaged) this.#spool.setAside(segment)
    else this.#spool.remove(segment)
  }

  /** `null` if the event is refused, which is counted. */
  #draft(event: AgentEvent, isJudged: boolean, replayed: Replayed): EventDraft | null {
    let draft: EventDraft
    try {
      const restored = isJudged ? this.#sink.restore?.(event) : undefined
      draft = restored ?? this.#sink.draft(event, { assurance: 'enforced' })
    } catch (error) {
      if (!isIndelibleError(error, ...OF_THE_EVENT)) throw error
      this.#losses.addRefused({ id: event.id! }, error.code)
      return null
    }
    replayed.events++
    const { time } = event
    if (time !== undefined && (replayed.from === null || time < replayed.from)) replayed.from = time
    if (time !== undefined && (replayed.to === null || time > replayed.to)) replayed.to = time
    return draft
  }

  async #append(drafts: readonly EventDraft[]): Promise<void> {
    if (drafts.length === 0) return
    try {
      await this.#sink.append(drafts)
    } catch (error) {
      if (!isIndelibleError(error, ...OF_THE_EVENT)) throw error
      if (drafts.length === 1) this.#losses.addRefused(drafts[0]!, error.code)
      else for (const draft of drafts) await this.#append([draft])
    }
  }
}
