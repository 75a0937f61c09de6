/** What an exporter needs to know of a tenant's log. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExportSource } from '../export/exporter.ts'
import type { ExportFormat } from '../export/formats.ts'
import type { EntryFilter } from '../query/filter.ts'
import type { TenantLog } from './tenants.ts'

export interface ExportRequest {
  readonly format: ExportFormat
  readonly filter: EntryFilter
  readonly run?: string
  readonly disclose: readonly string[]
}

export async function exportSourceOf(tenant: TenantLog, request: ExportRequest): Promise<ExportSource> {
  const { home, query } = tenant
  const { format, filter, run, disclose } = request
  const vkey = readFileSync(join(home, 'log.vkey'), 'utf8').trim()
  const facts = format === 'evidence' ? await anchorFacts(home, vkey) : {}
  return {
    store: query.store,
    engine: query,
    origin: query.origin,
    vkey,
    ...facts,
    filter,
    ...(run !== undefined && { run }),
    disclose,
  }
}

/** What others vouch for, and whom the log proposes to trust with that. */
async function anchorFacts(home: string, vkey: string): Promise<Pick<ExportSource, 'anchors' | 'policy'>> {
  const { newestReceipts, proposedPolicy } = await import('../anchor/proposal.ts')
  const { loadConfig } = await import('../config/config.ts')
  const config = loadConfig(home)
  return { anchors: newestReceipts(home, config), policy: await proposedPolicy(home, config, vkey) }
}
