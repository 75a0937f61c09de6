/** What went wrong, as the client is told; and those who run the server, if it is not the client's fault. */
import { HttpProblem, problemOf } from './problem.ts'
import type { Service } from './service.ts'

/** The problem to answer with. What is no fault of the client's is logged, counted and raised as an alert. */
export function problemToTell(
  { metrics, alerts, logger }: Pick<Service, 'metrics' | 'alerts' | 'logger'>,
  error: unknown,
  { requestId, route }: { readonly requestId: string; readonly route: string },
): HttpProblem {
  const problem = problemOf(error)
  // No failure, but what the limits are for: metrics have it by status, and a line for each would be more of what is too much.
  if (problem?.code === 'ERR_OVERLOADED') return problem
  if (problem === null || problem.status >= 500) {
    const { name, code } = error as Error & { code?: string }
    if (problem?.status === 503) metrics.count('write_failures', {})
    if (problem && /^ERR_(STORE_|OUTCOME_UNKNOWN|HEAD_FORGED|ROLLED_BACK)/.test(problem.code)) {
      alerts.raise('write_failed', { code: problem.code, route })
    }
    // No message: it may quote what the request held.
    logger.error({ request_id: requestId, route, error: code ?? name }, 'request failed')
  }
  return problem ?? new HttpProblem(500, 'ERR_UNEXPECTED', 'a bug of this server; please report it')
}
