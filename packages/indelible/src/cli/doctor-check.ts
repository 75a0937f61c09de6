/** What one check of `indelible doctor` found. */
import { describeFailure } from './exit.ts'

export interface Check {
  /** Name of the check, lasting: monitoring may go by it. */
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failure'
  readonly message: string
  /** What to do about it. */
  readonly action?: string
}

export function ok(check: string, message: string): Check {
  return { check, state: 'ok', message }
}

export function warning(check: string, message: string, action: string): Check {
  return { check, state: 'warning', message, action }
}

export function failure(check: string, message: string, action: string): Check {
  return { check, state: 'failure', message, action }
}

/** What was read, or what to say of its not being readable. */
export type Reading<T> = { readonly value: T; readonly fault?: undefined } | { readonly fault: Check }

/** Reads what checks go by. What fails to be read is a failure, and keeps nothing else from being checked. */
export async function read<T>(name: string, action: string, work: () => T | Promise<T>): Promise<Reading<T>> {
  try {
    return { value: await work() }
  } catch (error) {
    const { code, message } = describeFailure(error)
    return { fault: failure(name, `${message} (${code})`, action) }
  }
}

/** Runs checks that may fail themselves. */
export async function attempt(name: string, action: string, work: () => Check[]): Promise<Check[]> {
  const reading = await read(name, action, work)
  return reading.fault ? [reading.fault] : reading.value
}
