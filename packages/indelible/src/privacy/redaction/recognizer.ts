/** A deployment's own recognizer, for what no pattern finds: names, addresses, what a model of language knows. */
import { IndelibleError } from '../../errors.ts'
import { KIND_NAME } from './fields.ts'
import type { Hit } from './scan.ts'

export interface RecognizedSpan {
  readonly kind: string
  /** In UTF-16 code units. */
  readonly start: number
  readonly end: number
}

/**
 * Is given every text of one value, raw, and answers with a list of spans for each, in the same order. May be asynchronous.
 * While it works on the thread itself it cannot be interrupted: one that computes for long belongs into a worker.
 */
export type Recognizer = (
  texts: readonly string[],
) => readonly (readonly RecognizedSpan[])[] | Promise<readonly (readonly RecognizedSpan[])[]>

/**
 * What a recognizer finds, by text.
 * @throws whatever it throws, and `ERR_CONFIG_INVALID` where it takes longer than `timeoutMs` or its answer is none
 */
export async function recognize(
  recognizer: Recognizer,
  texts: readonly string[],
  timeoutMs: number,
): Promise<ReadonlyMap<string, readonly Hit[]>> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unusable(`took longer than ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    const answer: unknown = await Promise.race([recognizer(texts), late])
    if (!Array.isArray(answer) || answer.length !== texts.length) throw unusable('did not answer for each text')
    return new Map(texts.map((text, i) => [text, hitsOf(answer[i], text)]))
  } finally {
    clearTimeout(timer)
  }
}

function hitsOf(spans: unknown, text: string): Hit[] {
  if (!Array.isArray(spans)) throw unusable('did not answer with spans')
  return spans.map((span: Partial<RecognizedSpan> | null) => {
    const { kind, start, end } = span ?? {}
    const isSpan =
      Number.isInteger(start) && Number.isInteger(end) && start! >= 0 && start! < end! && end! <= text.length
    if (!isSpan || typeof kind !== 'string' || !KIND_NAME.test(kind))
      throw unusable('answered with a span that is none')
    return { kind, rule: `recognizer/${kind}`, start: start!, end: end! }
  })
}

function unusable(what: string): IndelibleError {
  return new IndelibleError('ERR_CONFIG_INVALID', `recognizer ${what}`)
}
