/** Who comes in: sign-in, limits of each key, and the end of a server. The same for whatever way a request takes. */
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import type { Principal } from './access.ts'
import type { Authenticator } from './auth.ts'
import { HttpProblem } from './problem.ts'

export interface GateParts {
  readonly auth: Authenticator
  /** Requests a second that one key may make; 0 for no limit. */
  readonly rateLimit: number
  /** Told of each sign-in that failed. */
  readonly onSignInFailure: () => void
}

export class Gate {
  readonly #auth: Authenticator
  readonly #limiter: RateLimiterMemory | null
  readonly #onSignInFailure: () => void

  constructor({ auth, rateLimit, onSignInFailure }: GateParts) {
    this.#auth = auth
    this.#limiter = rateLimit === 0 ? null : new RateLimiterMemory({ points: rateLimit, duration: 1 })
    this.#onSignInFailure = onSignInFailure
  }

  /**
   * Who asks.
   * @param authorization header of the request
   * @throws HttpProblem as {@link Authenticator.authenticate}; 429 with the time to wait
   */
  async admit(authorization: string | undefined): Promise<Principal> {
    let principal: Principal
    try {
      principal = await this.#auth.authenticate(authorization)
    } catch (error) {
      if (error instanceof HttpProblem && error.status === 401) this.#onSignInFailure()
      throw error
    }
    if (this.#limiter) await limit(this.#limiter, principal.id)
    return principal
  }
}

async function limit(limiter: RateLimiterMemory, key: string): Promise<void> {
  try {
    await limiter.consume(key)
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error
    const seconds = Math.max(1, Math.ceil(error.msBeforeNext / 1000))
    throw new HttpProblem(429, 'ERR_RATE_LIMITED', 'too many requests', seconds)
  }
}
