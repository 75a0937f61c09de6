/** What the routes have in common: who asks, whose log it is, what is recorded of the asking. */
import type { Context } from 'hono'
import type { ServerConfig } from '../config/server-section.ts'
import { type Action, may, type Principal } from './access.ts'
import type { Alerts } from './alerts.ts'
import type { Directory } from './directory.ts'
import type { Ingest } from './ingest.ts'
import { HttpProblem } from './problem.ts'
import type { Registry } from './registry.ts'
import type { ServerState } from './state.ts'
import type { TenantLog, Tenants } from './tenants.ts'

/** Variables that the middleware leaves for routes. */
export interface Variables {
  requestId: string
  principal: Principal
}
export type ServerContext = Context<{ Variables: Variables }>

/** A server's parts, as its routes use them. */
export interface Service {
  readonly home: string
  readonly config: ServerConfig
  /** Tenants and keys as they are known here; changed through {@link registry}. */
  readonly state: ServerState
  readonly registry: Registry
  readonly tenants: Tenants
  readonly metrics: Metrics
  readonly logger: Logger
  readonly clock: () => number
  readonly alerts: Alerts
  readonly directory: Directory
  readonly ingest: Ingest
  /** Set once the server drains: it takes no more work. */
  isDraining(): boolean
  /** Has `work` done when the server stops, before its logs are closed. */
  onStop(work: () => Promise<void> | void): void
}

export type MetricName =
  | 'requests'
  | 'events'
  | 'duplicates'
  | 'refused'
  | 'sign_in_failures'
  | 'verify_failures'
  | 'write_failures'
  | 'alerts'

/** What is counted, for Prometheus and for alerts. */
export interface Metrics {
  count(name: MetricName, labels: Readonly<Record<string, string>>, by?: number): void
  observe(name: 'request_seconds', labels: { route: string }, seconds: number): void
  text(): Promise<string>
}

/** Structured lines about the server itself. Never of contents, keys or persons. */
export interface Logger {
  info(facts: Readonly<Record<string, unknown>>, message: string): void
  warn(facts: Readonly<Record<string, unknown>>, message: string): void
  error(facts: Readonly<Record<string, unknown>>, message: string): void
}

/** Header by which an operator names the tenant that a request is about. */
export const TENANT_HEADER = 'indelible-tenant'

/**
 * The tenant that a request is about: the principal's own; of an operator, the one that he names.
 * @throws HttpProblem 403 if the principal may not do this, or names another tenant; 400 for an operator who names none
 */
export function tenantFor(c: ServerContext, action: Action): string {
  return tenantOfPrincipal(c.get('principal'), action, c.req.header(TENANT_HEADER))
}

/** As {@link tenantFor}, for what whoever has a key may ask. */
export function tenantOf(c: ServerContext): string {
  return namedTenant(c.get('principal'), c.req.header(TENANT_HEADER))
}

/**
 * As {@link tenantFor}, of a request that is not there as a context.
 * @param named value of the header by which an operator names a tenant
 */
export function tenantOfPrincipal(principal: Principal, action: Action, named: string | undefined): string {
  if (!may(principal, action)) throw forbidden()
  return namedTenant(principal, named)
}

function namedTenant(principal: Principal, named: string | undefined): string {
  if (principal.tenant === null) {
    if (named === undefined)
      throw new HttpProblem(400, 'ERR_TENANT_MISSING', `expected a header ${TENANT_HEADER}: which tenant this is about`)
    return named
  }
  // That it exists, or not, is nobody else's business.
  if (named !== undefined && named !== principal.tenant) throw forbidden()
  return principal.tenant
}

/** @throws HttpProblem 403 */
export function authorize(c: ServerContext, action: Action): Principal {
  const principal = c.get('principal')
  if (!may(principal, action)) throw forbidden()
  return principal
}

/**
 * Runs `work` on the log of the tenant that the request is about.
 * @throws HttpProblem as {@link tenantFor}; 404 for a tenant that does not exist
 */
export async function withLog<T>(
  service: Service,
  c: ServerContext,
  action: Action,
  work: (log: TenantLog) => Promise<T>,
): Promise<T> {
  return withTenant(service, tenantFor(c, action), work)
}

/** As {@link withLog}, of a tenant that the asker was found to have. */
export async function withTenant<T>(
  service: Pick<Service, 'tenants'>,
  tenant: string,
  work: (log: TenantLog) => Promise<T>,
): Promise<T> {
  const result = await service.tenants.use(tenant, async (log) => ({ value: await work(log) }))
  if (result === null) throw new HttpProblem(404, 'ERR_TENANT_NOT_FOUND', 'no such tenant')
  return result.value
}

/** Whether the asker may see disclosed parts of what he may read. */
export function maySeeParts(c: ServerContext): boolean {
  return c.get('principal').disclose
}

/** Says in the log that it was read, by whom and how, once for each request. */
export async function recordRead(
  { log }: TenantLog,
  c: ServerContext,
  what: string,
  facts: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await log.recordAudit('audit.read', { by: c.get('principal').id, surface: 'server', what, ...facts })
}

function forbidden(): HttpProblem {
  return new HttpProblem(403, 'ERR_FORBIDDEN', 'this key may not do that')
}
