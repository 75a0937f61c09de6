/**
 * Values that an agent, a model or a framework may have steered, made to fit structured members. Capture must not break an
 * agent because a model gave itself a name of a thousand characters.
 */
import { MAX_STRING } from '../record/schema.ts'

/** `text` as a structured member can hold it: well-formed, cut, and not empty; `undefined` for what is no text. */
export function fitText(text: unknown): string | undefined {
  if (typeof text !== 'string' || text === '') return undefined
  const short = text.length > MAX_STRING ? `${text.slice(0, MAX_STRING - 1)}…` : text
  return short.toWellFormed()
}

/** A model as the `model` member holds it. */
export interface ModelFacts {
  readonly name: string
  readonly provider?: string
  readonly version?: string
  readonly digest?: string
  readonly reasoning_effort?: string
}

export type ModelInput = string | ModelFacts

export function fitModel(model: ModelInput | undefined): ModelFacts | undefined {
  if (model === undefined) return undefined
  if (typeof model === 'string') {
    const name = fitText(model)
    return name === undefined ? undefined : { name }
  }
  const name = fitText(model.name)
  if (name === undefined) return undefined
  const facts: Record<string, string> = { name }
  for (const key of ['provider', 'version', 'reasoning_effort'] as const) {
    const text = fitText(model[key])
    if (text !== undefined) facts[key] = text
  }
  if (typeof model.digest === 'string' && DIGEST.test(model.digest)) facts.digest = model.digest
  return facts as unknown as ModelFacts
}

const DIGEST = /^(sha256|sha384|sha512|hmac-sha256):[0-9A-Za-z_-]{43,128}$/

/** What is known of something thrown, which need not be an error. The message is free text and becomes a part. */
export interface ErrorFacts {
  readonly type: string
  readonly code?: string
  readonly message: unknown
}

/** Never throws, whatever was thrown. */
export function errorFacts(thrown: unknown): ErrorFacts {
  try {
    if (thrown instanceof Error || isErrorLike(thrown)) {
      const { name, code, message } = thrown as { name?: unknown; code?: unknown; message?: unknown }
      const codeText = fitText(typeof code === 'number' ? String(code) : code)
      return { type: fitText(name) ?? 'Error', ...(codeText !== undefined && { code: codeText }), message }
    }
    if (typeof thrown === 'object' && thrown !== null) {
      return { type: fitText(thrown.constructor?.name) ?? 'object', message: thrown }
    }
  } catch {
    return { type: 'unreadable', message: null }
  }
  return { type: thrown === null ? 'null' : typeof thrown, message: thrown }
}

function isErrorLike(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'message' in value && 'name' in value
}

/** Whether something was thrown because of an abort: of `signal`, or of a signal that we do not know. */
export function isAbort(thrown: unknown, signal?: AbortSignal): boolean {
  if (signal?.aborted && thrown === signal.reason) return true
  try {
    const name = (thrown as { name?: unknown } | null)?.name
    return name === 'AbortError' || name === 'APIUserAbortError'
  } catch {
    return false
  }
}
