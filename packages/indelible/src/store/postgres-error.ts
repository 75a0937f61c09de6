/** What the errors of a Postgres server, and of the way to it, mean. */
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'

// SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html: whole codes, then classes.
const CODES: Readonly<Record<string, IndelibleErrorCode>> = {
  '25006': 'ERR_STORE_READONLY', // read_only_sql_transaction: a replica, or a database set so
  '28000': 'ERR_STORE_DENIED',
  '28P01': 'ERR_STORE_DENIED', // invalid_password
  '3D000': 'ERR_STORE_MISSING', // no such database
  '3F000': 'ERR_STORE_MISSING', // no such schema
  '42P01': 'ERR_STORE_MISSING', // no such table
  '42501': 'ERR_STORE_DENIED', // insufficient_privilege
  '53100': 'ERR_STORE_FULL', // disk_full
  '53300': 'ERR_STORE_BUSY', // too_many_connections
  '55P03': 'ERR_STORE_BUSY', // lock_not_available
  '40001': 'ERR_STORE_BUSY', // serialization_failure
  '40P01': 'ERR_STORE_BUSY', // deadlock_detected
  '23505': 'ERR_STORE_CONFLICT', // unique_violation
  IL001: 'ERR_STORE_CONFLICT', // raised by our own functions
  IL002: 'ERR_STORE_DENIED',
  IL003: 'ERR_STORE_MISSING',
  XX001: 'ERR_STORE_CORRUPT',
  XX002: 'ERR_STORE_CORRUPT',
}

/** Of the network, and of the driver. */
const UNREACHABLE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH'])

/** Nothing of the record is in messages of these classes: connection, roles, resources, operator, system. */
const TELLABLE = /^(08|28|3D|25|53|57|58|IL)|^(42501|55P03|40001|40P01)$/

/**
 * Gives an error of the driver or the server a stable code; errors that have one pass. The original is not kept as the
 * cause: its detail quotes rows.
 */
export function postgresError(error: unknown, what: string): Error {
  if (error instanceof IndelibleError || error instanceof RangeError || error instanceof TypeError) return error
  const state = stateOf(error)
  if (isDisconnect(error)) return new IndelibleError('ERR_STORE_UNREACHABLE', `${what}: ${reasonOf(error, state)}`)
  const code = CODES[state] ?? (state.startsWith('53') ? 'ERR_STORE_BUSY' : 'ERR_STORE_FAILED')
  return new IndelibleError(code, `${what}: ${reasonOf(error, state)}`)
}

/** Whether the connection is gone, or was not to be had: trying again on another one may help. */
export function isDisconnect(error: unknown): boolean {
  const state = stateOf(error)
  if (UNREACHABLE.has(state) || state === 'EPIPE' || /^(08|57P0[1-5])/.test(state)) return true
  // What the driver itself finds has no code.
  return state === '' && /^(Connection terminated|timeout expired|timeout exceeded|Client has)/.test(messageOf(error))
}

/** Whether the transaction was undone for reasons that do not lie in it: the same again may pass. */
export function isPassing(error: unknown): boolean {
  return isDisconnect(error) || /^(40001|40P01)$/.test(stateOf(error))
}

/** SQLSTATE or system code; empty if there is none. */
export function stateOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return stateOf(error.errors[0])
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

function reasonOf(error: unknown, state: string): string {
  if (UNREACHABLE.has(state) || state === 'EPIPE') return state
  if (state === '') return messageOf(error)
  return TELLABLE.test(state) ? `${messageOf(error)} (SQLSTATE ${state})` : `SQLSTATE ${state}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
