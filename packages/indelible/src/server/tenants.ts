/**
 * The logs of a server: one for each tenant, opened when it is asked for, closed when others need the room. Origins are opaque:
 * whoever sees a checkpoint does not learn whose log it is.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Approvals } from '../decision/approvals.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { writeFileAtomic } from '../keys/files.ts'
import { type CreatedLog, createLog, openLog } from '../log/home.ts'
import type { Log } from '../log/log.ts'
import { type HomeQuery, openQuery } from '../query/home-query.ts'
import type { Retention } from '../retention/retention.ts'
import type { Registry } from './registry.ts'
import type { ServerState } from './state.ts'

/** One tenant's log, open. */
export interface TenantLog {
  readonly tenant: string
  readonly home: string
  readonly log: Log
  readonly query: HomeQuery
  /** Opened when they are first asked for; closed with the log. */
  retention(): Promise<Retention>
  approvals(): Promise<Approvals>
}

/** Sections of the server's configuration that count for its tenants' logs too. */
const SHARED_SECTIONS = ['privacy', 'retention', 'capture', 'audit', 'anchors'] as const

interface Slot {
  readonly opened: Promise<TenantLog>
  users: number
  usedMs: number
}

export interface TenantsOptions {
  readonly maxOpen: number
  /** Store of new logs. */
  readonly store: string
  /** Called with K_0 of a log before it stands: it is shown once. If it throws, no log is made. */
  readonly onCreated: (tenant: string, made: { origin: string; vkey: string; macVerificationKey: string }) => void
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export class Tenants {
  readonly #home: string
  readonly #state: ServerState
  readonly #registry: Registry
  readonly #options: TenantsOptions
  readonly #slots = new Map<string, Slot>()
  #isClosed = false

  constructor(home: string, state: ServerState, registry: Registry, options: TenantsOptions) {
    this.#registry = registry
    this.#home = home
    this.#state = state
    this.#options = options
  }

  /** @throws IndelibleError `ERR_CONFIG_INVALID` for a name that a tenant cannot have */
  static checkName(name: string): void {
    if (NAME.test(name)) return
    throw new IndelibleError('ERR_CONFIG_INVALID', 'tenant: expected up to 64 letters, digits and any of . _ -')
  }

  /** Makes the tenant's log, if it has none. */
  async create(name: string): Promise<void> {
    Tenants.checkName(name)
    const { folder } = await this.#registry.addTenant(name)
    const home = join(this.#home, 'tenants', folder)
    if (existsSync(join(home, 'config.json'))) return
    mkdirSync(join(this.#home, 'tenants'), { recursive: true, mode: 0o700 })
    try {
      const show = (made: CreatedLog) => this.#options.onCreated(name, made)
      await createLog({ home, store: this.#options.store, origin: `indelible.invalid/${folder}`, show })
    } catch (error) {
      // Another replica was faster.
      if (!isIndelibleError(error, 'ERR_HOME_EXISTS', 'ERR_PIN_CONFLICT')) throw error
    }
  }

  /** How many logs are open. */
  get open(): number {
    return this.#slots.size
  }

  /** Names of all tenants. */
  names(): string[] {
    return this.#state.tenants().map(({ tenant }) => tenant)
  }

  /**
   * Runs `work` with the tenant's log open; it stays open meanwhile.
   * @returns `null` for a tenant that does not exist
   */
  async use<T>(name: string, work: (log: TenantLog) => Promise<T>): Promise<T | null> {
    if (this.#isClosed) throw new IndelibleError('ERR_CLOSED', 'the server is shutting down')
    let slot = this.#slots.get(name) ?? this.#open(name)
    if (!slot) {
      // One that was made elsewhere just now.
      await this.#registry.refresh()
      slot = this.#slots.get(name) ?? this.#open(name)
    }
    if (!slot) return null
    slot.users++
    try {
      return await work(await slot.opened)
    } finally {
      slot.users--
      slot.usedMs = performance.now()
    }
  }

  /** Closes every log: what was acknowledged is durable, what waits is written. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#slots.keys()].map((name) => this.#close(name)))
  }

  #open(name: string): Slot | null {
    const row = this.#state.tenant(name)
    if (!row) return null
    void this.#makeRoom()
    const home = join(this.#home, 'tenants', row.folder)
    const slot: Slot = { opened: this.#openLog(name, home), users: 0, usedMs: performance.now() }
    this.#slots.set(name, slot)
    // One that could not be opened is tried again by the next who asks.
    slot.opened.catch(() => this.#slots.delete(name))
    return slot
  }

  async #openLog(tenant: string, home: string): Promise<TenantLog> {
    shareConfig(this.#home, home)
    const log = await openLog({ home, index: true })
    try {
      const query = await openQuery({ home, update: false })
      return {
        tenant,
        home,
        log,
        query,
        retention: once(async () => (await import('../retention/retention.ts')).openRetention(log, { home })),
        approvals: once(async () => (await import('../decision/home-approvals.ts')).openApprovals(log, { home })),
      }
    } catch (error) {
      await log.close()
      throw error
    }
  }

  async #makeRoom(): Promise<void> {
    if (this.#slots.size < this.#options.maxOpen) return
    const idle = [...this.#slots].filter(([, { users }]) => users === 0)
    const [oldest] = idle.sort(([, a], [, b]) => a.usedMs - b.usedMs)
    if (oldest) await this.#close(oldest[0])
  }

  async #close(name: string): Promise<void> {
    const slot = this.#slots.get(name)
    if (!slot) return
    this.#slots.delete(name)
    const opened = await slot.opened.catch(() => null)
    await opened?.query.close()
    await opened?.log.close()
  }
}

/** What failed is tried again. */
function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | null = null
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = null
      throw error
    })
    return opened
  }
}

/** Writes the server's sections into a tenant's configuration; the change becomes an entry when the log is opened. */
function shareConfig(serverHome: string, home: string): void {
  const server = JSON.parse(readFileSync(join(serverHome, 'config.json'), 'utf8')) as Record<string, unknown>
  const path = join(home, 'config.json')
  const own = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  const shared = Object.fromEntries(SHARED_SECTIONS.filter((key) => key in server).map((key) => [key, server[key]]))
  const merged = { ...own, ...shared }
  if (JSON.stringify(merged) !== JSON.stringify(own)) writeFileAtomic(path, `${JSON.stringify(merged, null, 2)}\n`)
}
