/** What people decide and register, on a server: each method does what the library's function of that name does to a log. */
import type { PendingApproval, Ruling } from '../decision/approvals.ts'
import type { ApprovalInput, AttestationInput, WaiverInput } from '../decision/decisions.ts'
import type { Waiver } from '../decision/waivers.ts'
import type {
  DatasetAttestationInput,
  DatasetInput,
  DeploymentInput,
  EvaluationInput,
  ModelInput,
  PromotionInput,
  RetirementInput,
} from '../lifecycle/lifecycle.ts'
import type { Lineage } from '../lifecycle/lineage.ts'
import type { Http } from './http.ts'
import type { ClientReceipt } from './types.ts'

/**
 * Decisions, datasets, models: for administrators; reading them for auditors too. A statement with an `id` is repeated until it is
 * acknowledged; one without only where it is certain that it was not recorded (429): said twice, it would stand twice.
 */
export class Governing {
  readonly #http: Http

  constructor(http: Http) {
    this.#http = http
  }

  /** @throws ServerError `ERR_DECISION_INVALID`; so do the next two */
  recordApproval(input: ApprovalInput): Promise<ClientReceipt> {
    return this.#post('/v1/decisions/approvals', input)
  }

  recordWaiver(input: WaiverInput): Promise<ClientReceipt> {
    return this.#post('/v1/decisions/waivers', input)
  }

  recordAttestation(input: AttestationInput): Promise<ClientReceipt> {
    return this.#post('/v1/decisions/attestations', input)
  }

  /** Waivers with their state, and uses after they had ended. */
  async listWaivers(): Promise<Waiver[]> {
    return (await this.#http.json<{ waivers: Waiver[] }>('/v1/decisions/waivers')).waivers
  }

  registerDataset(input: DatasetInput): Promise<ClientReceipt> {
    return this.#post('/v1/datasets', input)
  }

  attestDataset(input: DatasetAttestationInput): Promise<ClientReceipt> {
    return this.#post('/v1/datasets/attestations', input)
  }

  registerModel(input: ModelInput): Promise<ClientReceipt> {
    return this.#post('/v1/models', input)
  }

  recordEvaluation(input: EvaluationInput): Promise<ClientReceipt> {
    return this.#post('/v1/models/evaluations', input)
  }

  promoteModel(input: PromotionInput): Promise<ClientReceipt> {
    return this.#post('/v1/models/promotions', input)
  }

  deployModel(input: DeploymentInput): Promise<ClientReceipt> {
    return this.#post('/v1/models/deployments', input)
  }

  retireModel(input: RetirementInput): Promise<ClientReceipt> {
    return this.#post('/v1/models/retirements', input)
  }

  /**
   * What a model, deployment, dataset or run comes from, and what comes of it.
   * @throws ServerError `ERR_LINEAGE_NOT_FOUND`
   */
  lineage(name: string): Promise<Lineage> {
    return this.#http.json(`/v1/lineage/${encodeURIComponent(name)}`)
  }

  /** The same as a picture, SVG. */
  async drawLineage(name: string): Promise<string> {
    const headers = { accept: 'image/svg+xml' }
    return (await this.#http.send(`/v1/lineage/${encodeURIComponent(name)}`, { headers })).text()
  }

  /** What waits for a decision. */
  async listApprovals(): Promise<PendingApproval[]> {
    return (await this.#http.json<{ approvals: PendingApproval[] }>('/v1/approvals')).approvals
  }

  /**
   * Decides, with the person's own token: whose key asks is not who decides.
   * @returns `ruling` once the request is decided, `null` while others have to decide too
   */
  decideApproval(
    id: string,
    decision: 'approved' | 'rejected',
    by: { readonly token: string; readonly reason?: string },
  ): Promise<{ readonly decision: string; readonly ruling: Ruling | null }> {
    return this.#post(`/v1/approvals/${encodeURIComponent(id)}/decisions`, { decision, ...by })
  }

  #post<T>(path: string, body: unknown): Promise<T> {
    const isIdempotent = (body as { readonly id?: string }).id !== undefined
    return this.#http.json(path, { method: 'POST', body, isIdempotent })
  }
}
