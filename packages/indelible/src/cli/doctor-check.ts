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

/** Runs checks; one that fails itself is a failure of what it was to look at, and keeps no other from being run. */
export async function attempt(name: string, action: string, work: () => Check[] | Promise<Check[]>): Promise<Check[]> {
  try {
    return await work()
  } catch (error) {
    const { code, message } = describeFailure(error)
    return [failure(name, `${message} (${code})`, action)]
  }
}
