/** Section `server`: how `indelible serve` listens, whom it believes, and what it bears. */
import { z } from 'zod'

export const serverSection = () =>
  z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: z.number().int().min(0).max(65_535).default(8787),
      /** URL of the store of new tenants' logs. Default: a SQLite file in each tenant's folder. */
      store: z.string().default('sqlite:log.db'),
      /** URL of the Postgres that keeps keys and tenants, for servers on several hosts. Default: `server.db` in the home. */
      state: z
        .string()
        .regex(/^postgres(ql)?:/, 'expected a postgres: URL')
        .optional(),
      /** PEM files. Both or none; without, a proxy in front must speak TLS. */
      tls_cert: z.string().optional(),
      tls_key: z.string().optional(),
      /** Origins of browsers that may call, `*` for all. Default none. */
      cors: z.array(z.string()).default([]),
      /** Whether checkpoints and hash tiles can be fetched without a key. Entries never can. */
      public_tiles: z.boolean().default(false),
      /** Most bytes of a request's body, before and after decompression. */
      max_body_bytes: z.number().int().min(1024).default(8_388_608),
      /** Most events of one request. */
      max_batch: z.number().int().min(1).max(100_000).default(10_000),
      /** Requests a second that one key may make; 0 for no limit. */
      rate_limit: z.number().int().nonnegative().default(0),
      /** Requests that may wait for the log at a time, over all keys; more are told to come back. */
      max_waiting: z.number().int().min(1).default(4096),
      /** Bytes of their bodies, unpacked; the same. What is made of them takes several times as much memory. */
      max_waiting_bytes: z.number().int().min(1024).default(134_217_728),
      /** Seconds that a client may take for the header of a request, and for all of it. Whoever is slower gets 408. */
      header_timeout_seconds: z.number().positive().max(3600).default(10),
      request_timeout_seconds: z.number().positive().max(86_400).default(120),
      /** Seconds between being not ready and taking no more connections, for what balances the load to notice. */
      drain_seconds: z.number().nonnegative().max(3600).default(0),
      /** Logs that are kept open at a time. */
      max_open_logs: z.number().int().min(1).default(256),
      /** How long exports can be fetched, hours. */
      export_ttl_hours: z.number().positive().max(8760).default(24),
      /** OTLP spans and log records that are none of an agent's: left out, or recorded as `x.otel.span` and `x.otel.log`. */
      otlp_unknown: z.enum(['ignore', 'record']).default('ignore'),
      /** Tokens of an identity provider. */
      oidc: z
        .strictObject({
          issuer: z.url(),
          audience: z.string().min(1),
          /** Default: what the issuer's discovery document says. */
          jwks_uri: z.url().optional(),
          /** Claims, by dotted path. */
          role_claim: z.string().default('indelible_role'),
          tenant_claim: z.string().default('indelible_tenant'),
          /** From values of the role claim to our roles. Others have no access. */
          roles: z.record(z.string(), z.enum(['writer', 'reader', 'auditor', 'administrator', 'operator'])).default({}),
          /** Whether these may see disclosed parts. */
          disclose: z.boolean().default(false),
        })
        .optional(),
      /** Whom to tell when verification fails or the log cannot be written: a URL that gets a POST. */
      alert_webhook: z.url().optional(),
      /** When the server verifies its logs, beside at its start: a cron expression in UTC. */
      verify_schedule: z.string().default('17 3 * * *'),
    })
    .refine(
      ({ tls_cert: cert, tls_key: key }) => (cert === undefined) === (key === undefined),
      'tls_cert and tls_key go together',
    )
    .prefault({})
export type ServerConfig = z.infer<ReturnType<typeof serverSection>>
