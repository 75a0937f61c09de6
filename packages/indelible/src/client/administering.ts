/** Keys, tenants, holds, erasures, retention, anchors of a server: each method does what the command of that name does. */
import type { AnchorOutcome } from '../anchor/runner.ts'
import type { AnchorStatus } from '../anchor/state.ts'
import type { EraseRequest, ErasureReceipt } from '../log/erasure.ts'
import type { Hold, HoldScope } from '../retention/holds.ts'
import type { RetentionPlan } from '../retention/plan.ts'
import type { RetentionRun, RetentionStatus, RunOptions } from '../retention/retention.ts'
import type { Http } from './http.ts'
import type { ApiKey, ClientReceipt, KeyRequest, PlacedHold, ServersReport, Tenant } from './types.ts'

/**
 * For administrators of a tenant; tenants, and the directory, for operators. Whoever is asked for by name stands in the log as the key
 * that asked. What takes long has no time limit of ours; `signal` and a proxy in between may have one.
 */
export class Administering {
  readonly #http: Http

  constructor(http: Http) {
    this.#http = http
  }

  /** Keys of the tenant; never their text. */
  async listKeys(): Promise<ApiKey[]> {
    return (await this.#http.json<{ keys: ApiKey[] }>('/v1/keys')).keys
  }

  /** Makes a key. Its text, `key`, is answered this once and kept nowhere. */
  createKey(request: KeyRequest): Promise<ApiKey & { readonly key: string }> {
    return this.#post('/v1/keys', request)
  }

  /** @throws ServerError `ERR_KEY_NOT_FOUND` */
  async revokeKey(prefix: string): Promise<void> {
    await this.#http.json(`/v1/keys/${encodeURIComponent(prefix)}`, { method: 'DELETE', isIdempotent: true })
  }

  async listTenants(): Promise<Tenant[]> {
    return (await this.#http.json<{ tenants: Tenant[] }>('/v1/tenants', { tenant: null })).tenants
  }

  /** Makes a tenant with a log of its own. One that there is already is answered as it is. */
  createTenant(tenant: string): Promise<Omit<Tenant, 'created'>> {
    const asked = { method: 'POST', body: { tenant }, isIdempotent: true, tenant: null } as const
    return this.#http.json('/v1/tenants', asked)
  }

  /** Holds that are active. */
  async listHolds(): Promise<Hold[]> {
    return (await this.#http.json<{ holds: Hold[] }>('/v1/holds')).holds
  }

  placeHold(scope: HoldScope, matter?: string): Promise<PlacedHold> {
    return this.#post('/v1/holds', { scope, matter })
  }

  /** @throws ServerError `ERR_HOLD_NOT_FOUND` */
  releaseHold(hold: string): Promise<ClientReceipt> {
    return this.#http.json(`/v1/holds/${encodeURIComponent(hold)}`, { method: 'DELETE' })
  }

  /** Erases parts for good; every proof stays valid. */
  erase(request: Omit<EraseRequest, 'by' | 'indexes'>): Promise<ErasureReceipt> {
    return this.#long('/v1/erasures', request)
  }

  /** What would go now, and what stands in the way. */
  retention(): Promise<{ readonly status: RetentionStatus; readonly plan: RetentionPlan }> {
    return this.#http.json('/v1/retention', { timeoutMs: null })
  }

  /** Purges and erases what is over age. */
  runRetention(options: Omit<RunOptions, 'by' | 'onProgress'> = {}): Promise<RetentionRun> {
    return this.#long('/v1/retention/runs', options)
  }

  /** How far each anchor of the tenant's log has come. */
  async anchors(): Promise<AnchorStatus[]> {
    return (await this.#http.json<{ anchors: AnchorStatus[] }>('/v1/anchors')).anchors
  }

  /**
   * Has anchors vouch for the log as it is; all of them if none is named.
   * @returns `busy` if another process is at it
   */
  runAnchors(
    options: { readonly names?: readonly string[]; readonly due?: boolean } = {},
  ): Promise<{ readonly busy: boolean; readonly outcomes: readonly Omit<AnchorOutcome, 'isNews'>[] }> {
    return this.#long('/v1/anchors/runs', options)
  }

  /** Has the server verify the directory log, and hold each log against what the directory says of it. */
  verifyServer(): Promise<ServersReport> {
    return this.#http.json('/v1/verify', { method: 'POST', isIdempotent: true, timeoutMs: null, tenant: null })
  }

  #post<T>(path: string, body: unknown): Promise<T> {
    return this.#http.json(path, { method: 'POST', body })
  }

  #long<T>(path: string, body: unknown): Promise<T> {
    return this.#http.json(path, { method: 'POST', body, timeoutMs: null })
  }
}
