/** Who is asking: an API key, or a token of the identity provider. Failed sign-ins are counted, and stated once a minute. */
import { createRemoteJWKSet, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { ServerConfig } from '../config/server-section.ts'
import type { Principal } from './access.ts'
import { HttpProblem } from './problem.ts'
import type { Registry } from './registry.ts'
import type { ServerState } from './state.ts'

type Oidc = NonNullable<ServerConfig['oidc']>

/** Algorithms that a token may be signed with: never `none`, never a secret that we would have to share. */
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']

/** Codes of jose that say that something is wrong with the token, not with getting keys. */
const OF_THE_TOKEN = /^ERR_(JWT_|JWS_|JWE_|JOSE_(ALG_NOT_ALLOWED|NOT_SUPPORTED)$|JWKS_(NO|MULTIPLE)_MATCHING_KEY)/

export interface Authenticator {
  /**
   * @param header `Authorization` of the request
   * @throws HttpProblem 401; 403 for a token without a role here; 503 if the provider's keys cannot be had
   */
  authenticate(header: string | undefined): Promise<Principal>
}

export class KeyAndTokenAuth implements Authenticator {
  readonly #state: ServerState
  readonly #registry: Registry
  readonly #oidc: Oidc | undefined
  #keys: JWTVerifyGetKey | null = null

  constructor(state: ServerState, registry: Registry, oidc: Oidc | undefined) {
    this.#state = state
    this.#registry = registry
    this.#oidc = oidc
  }

  async authenticate(header: string | undefined): Promise<Principal> {
    const token = /^Bearer ([\x21-\x7e]{1,8192})$/i.exec(header ?? '')?.[1]
    if (token === undefined) throw unauthorized('expected Authorization: Bearer, with an API key or a token')
    if (token.startsWith('ik_')) {
      // Nobody is let in by what may have been revoked long ago.
      if (this.#registry.isStale()) await this.#registry.refresh()
      let principal = this.#state.principalOf(token)
      if (!principal && !this.#state.hasKey(token)) {
        // It may have been made elsewhere, just now.
        await this.#registry.refresh()
        principal = this.#state.principalOf(token)
      }
      if (!principal) throw unauthorized('the key is unknown, revoked or expired')
      return principal
    }
    if (!this.#oidc) throw unauthorized('the key is unknown, revoked or expired')
    return this.#ofToken(token, this.#oidc)
  }

  async #ofToken(token: string, oidc: Oidc): Promise<Principal> {
    let claims: Record<string, unknown>
    try {
      this.#keys ??= createRemoteJWKSet(new URL(oidc.jwks_uri ?? (await discover(oidc.issuer))))
      // Issuer, audience and algorithms are ours to name: none of them is taken from the token.
      const { issuer, audience } = oidc
      const demands = { issuer, audience, algorithms: ALGORITHMS, requiredClaims: ['exp', 'sub'] }
      claims = (await jwtVerify(token, this.#keys, demands)).payload
    } catch (error) {
      const { code } = error as { readonly code?: unknown }
      // No cause: it may quote the token.
      if (typeof code === 'string' && OF_THE_TOKEN.test(code)) throw unauthorized('the token is not valid here')
      throw new HttpProblem(503, 'ERR_IDENTITY_PROVIDER', 'the keys of the identity provider cannot be had', 5)
    }
    const named = claimAt(claims, oidc.role_claim)
    const role = typeof named === 'string' && Object.hasOwn(oidc.roles, named) ? oidc.roles[named] : undefined
    if (!role) throw new HttpProblem(403, 'ERR_FORBIDDEN', 'the token has no role here')
    const tenant = claimAt(claims, oidc.tenant_claim)
    if (typeof tenant !== 'string' && role !== 'operator') {
      throw new HttpProblem(403, 'ERR_FORBIDDEN', 'the token belongs to no tenant')
    }
    const id = `oidc:${String(claims.sub)}`
    return {
      id,
      role,
      tenant: typeof tenant === 'string' ? tenant : null,
      disclose: oidc.disclose,
      actor: String(claims.sub),
    }
  }
}

async function discover(issuer: string): Promise<string> {
  const response = await fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
    signal: AbortSignal.timeout(5000),
  })
  const document = (await response.json()) as { issuer?: string; jwks_uri?: string }
  if (document.issuer !== issuer || typeof document.jwks_uri !== 'string') throw new Error('discovery does not fit')
  return document.jwks_uri
}

function claimAt(claims: Readonly<Record<string, unknown>>, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (value, key) =>
        typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined,
      claims,
    )
}

function unauthorized(message: string): HttpProblem {
  return new HttpProblem(401, 'ERR_UNAUTHORIZED', message)
}
