/** Messages of the Model Context Protocol: JSON-RPC 2.0, as far as a recorder has to read them. Anything may be missing. */
import { fitText } from './fit.ts'

/** Which end of a session a message comes from. */
export type McpSide = 'client' | 'server'

export interface McpMessage {
  readonly jsonrpc?: unknown
  readonly id?: unknown
  readonly method?: unknown
  readonly params?: unknown
  readonly result?: unknown
  readonly error?: unknown
}

/** An answer that we give in place of one of the two ends. */
export interface McpRefusal {
  readonly jsonrpc: '2.0'
  readonly id: string | number | null
  readonly error: { readonly code: number; readonly message: string; readonly data?: { readonly code: string } }
}

/** Codes of JSON-RPC 2.0, section 5.1; the last one is the first that implementations have for themselves. */
export const RPC = { parse: -32700, request: -32600, params: -32602, refused: -32000 } as const

/** Revisions of the protocol that this was written for. */
export const PROTOCOLS: readonly string[] = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28']

/** Requests that change nothing and read nothing of value: they are recorded once they are answered, and never held back. */
export const HARMLESS: ReadonlySet<string> = new Set([
  'initialize',
  'server/discover',
  'ping',
  'logging/setLevel',
  'completion/complete',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
  'roots/list',
])

/** Requests that nobody wants to read about. */
export const UNRECORDED: ReadonlySet<string> = new Set(['ping', 'logging/setLevel'])

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function refusal(id: unknown, code: number, message: string, reason?: string): McpRefusal {
  const known = typeof id === 'string' || typeof id === 'number' ? id : null
  return {
    jsonrpc: '2.0',
    id: known,
    error: { code, message, ...(reason !== undefined && { data: { code: reason } }) },
  }
}

/** Type of the entries about `method`: `resources/read` is `x.mcp.resources_read`. What is no method of ours has no name. */
export function entryType(method: string): string {
  const name = method.replace(/^notifications\//, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  const word = name.replaceAll('/', '_')
  return /^[a-z0-9_]{1,64}$/.test(word) ? `x.mcp.${word}` : 'x.mcp.other'
}

/** Name and version that an end gives itself. */
export function infoOf(value: unknown): { name: string; version?: string } | undefined {
  if (!isObject(value)) return undefined
  const name = fitText(value.name)
  const version = fitText(value.version)
  return name === undefined ? undefined : { name, ...(version !== undefined && { version }) }
}

/** What a request says beside its parameters; keys of the specification. */
export function metaOf(message: unknown): Readonly<Record<string, unknown>> {
  const params = isObject(message) && isObject(message.params) ? message.params : {}
  return isObject(params._meta) ? params._meta : {}
}

/** What went wrong in an answer: an error of the protocol, or a tool's own (`isError`). Its text is free and becomes a part. */
export class McpAnswerError extends Error {
  override readonly name: string
  readonly code: string | undefined

  constructor(name: string, message: string, code?: number) {
    super(message)
    this.name = name
    this.code = code === undefined ? undefined : String(code)
  }
}

/** The error that an answer carries, `undefined` for one that succeeded. */
export function errorOf({ error, result }: McpMessage): McpAnswerError | undefined {
  if (error !== undefined) {
    const { code, message } = isObject(error) ? error : {}
    const text = typeof message === 'string' ? message : ''
    return new McpAnswerError('McpError', text, typeof code === 'number' ? code : undefined)
  }
  if (!isObject(result) || result.isError !== true) return undefined
  const content = Array.isArray(result.content) ? result.content : []
  const texts = content.map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : ''))
  return new McpAnswerError('McpToolError', texts.filter((text) => text !== '').join('\n'))
}

/**
 * Members that another parser may take for those that the protocol names: Go's matches keys whatever their case. A gate that
 * reads one thing while the server reads another is none.
 */
export function isAmbiguous(message: Readonly<Record<string, unknown>>): boolean {
  return hasLookalike(message, MEMBERS) || (isObject(message.params) && hasLookalike(message.params, PARAMS))
}

const MEMBERS: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params', 'result', 'error'])
const PARAMS: ReadonlySet<string> = new Set(['name', 'arguments', 'uri', 'requestid'])

function hasLookalike(value: Readonly<Record<string, unknown>>, names: ReadonlySet<string>): boolean {
  for (const key of Object.keys(value)) {
    if (names.has(key) || key === 'requestId') continue
    // Twice: ſ has S as its upper case, and the Kelvin sign k as its lower case.
    if (names.has(key.toUpperCase().toLowerCase())) return true
  }
  return false
}
