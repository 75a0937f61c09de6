/** Who may what. Deny by default: an action that a role's row does not name is refused. */

export const ROLES = ['writer', 'reader', 'auditor', 'administrator', 'operator'] as const
export type Role = (typeof ROLES)[number]

/** What can be asked of the server. */
export type Action =
  /** Append events; learn their receipts, and nothing else. */
  | 'append'
  /** See one's own runs. */
  | 'read_own'
  /** See all of a tenant: search, entries, runs, exports, proofs, verification. */
  | 'read'
  /** Take part in approvals. */
  | 'decide'
  /** Record governance decisions, datasets, models. */
  | 'govern'
  /** Holds, erasures, retention, anchors, keys of the tenant. */
  | 'administer'
  /** Tenants, keys of any tenant. */
  | 'operate'

const TABLE: Readonly<Record<Role, ReadonlySet<Action>>> = {
  writer: new Set(['append']),
  reader: new Set(['read_own']),
  auditor: new Set(['read', 'read_own', 'decide']),
  administrator: new Set(['append', 'read', 'read_own', 'decide', 'govern', 'administer']),
  operator: new Set(['append', 'read', 'read_own', 'decide', 'govern', 'administer', 'operate']),
}

/** Somebody who has shown who he is. */
export interface Principal {
  /** Names him in `audit.read` entries and in logs: a key's id or a token's subject. */
  readonly id: string
  readonly role: Role
  /** `null`: any, for operators. */
  readonly tenant: string | null
  /** Whether he may see disclosed parts. */
  readonly disclose: boolean
  /** `actor.id` of his own runs, for readers. */
  readonly actor: string | null
}

export function may({ role }: Pick<Principal, 'role'>, action: Action): boolean {
  return TABLE[role].has(action)
}
