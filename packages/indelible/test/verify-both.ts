/** Verification, alone and with entries looked at ahead: the two must say the same. */
import { expect } from 'vitest'
import type { LogEvidence, TrustPolicy } from '../src/verify/evidence.ts'
import type { Report } from '../src/verify/report.ts'
import { type VerifyLogOptions, verifyLog } from '../src/verify/verify-log.ts'
import { checkWindow, type WindowChecker } from '../src/verify/window-check.ts'

/** A checker in this thread; like the real one it says nothing where it cannot read. */
function checkerOf(evidence: LogEvidence, origin: string): WindowChecker {
  return { check: (start, end) => checkWindow(evidence, origin, start, end).catch(() => null) }
}

/** @throws what both ways throw */
export async function verifyBoth(
  evidence: LogEvidence,
  policy: TrustPolicy,
  options: VerifyLogOptions = {},
): Promise<Report> {
  const alone = await outcome(verifyLog(evidence, policy, options))
  const checker = checkerOf(evidence, policy.origin)
  const ahead = await outcome(verifyLog(evidence, policy, { ...options, checker }))
  expect(sorted(ahead)).toEqual(sorted(alone))
  if ('error' in alone) throw alone.error
  return alone.report
}

type Outcome = { report: Report } | { error: unknown }

/** Findings of one entry come together or not, as the windows fall. */
function sorted(outcome: Outcome): Outcome {
  if ('error' in outcome) return outcome
  const findings = outcome.report.findings.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  // Where a log ends in nothing, how far its tiles are asked for falls with the windows too.
  return { report: { ...outcome.report, findings, more_findings: Math.sign(outcome.report.more_findings) } }
}

function outcome(verified: Promise<Report>): Promise<Outcome> {
  return verified.then(
    (report) => ({ report }),
    (error: unknown) => ({ error }),
  )
}
