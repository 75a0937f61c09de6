/** Keys that live and die with the process: for `memory:` logs and for tests. */
import { randomBytes } from 'node:crypto'
import { type MacKey, macKey } from '#crypto'
import { macKeyId, Ratchet } from '../chain/chain.ts'
import type { EpochClock } from '../chain/epoch.ts'
import type { NoteSigner, VerifierKey } from '../note/signed-note.ts'
import type { LogKeys, Remembered } from './log-keys.ts'
import { generateSkey, type Profile, signerFromSkey } from './signer.ts'

export interface MemoryKeysOptions {
  readonly profile?: Profile
  readonly clock: EpochClock
  /** K_0 and the signing key; fresh ones unless given, which tests and vectors do. */
  readonly firstKey?: Uint8Array
  readonly skey?: string
}

export class MemoryKeys implements LogKeys {
  readonly origin: string
  readonly clock: EpochClock
  readonly macId: Uint8Array
  readonly fingerprint: MacKey = macKey(randomBytes(32))
  readonly ids: MacKey = macKey(randomBytes(32))
  readonly subjects: MacKey = macKey(randomBytes(32))
  readonly firstKey: Uint8Array
  signer: NoteSigner
  trusted: readonly VerifierKey[]
  readonly #profile: Profile
  #ratchet: Ratchet
  #remembered: Remembered | null = null

  constructor(origin: string, options: MemoryKeysOptions) {
    this.origin = origin
    this.clock = options.clock
    this.firstKey = options.firstKey ?? new Uint8Array(randomBytes(32))
    this.macId = macKeyId(this.firstKey, origin)
    this.#profile = options.profile ?? 'default'
    this.signer = signerFromSkey(options.skey ?? generateSkey(origin, this.#profile))
    this.trusted = [this.signer.key]
    this.#ratchet = new Ratchet(0, this.firstKey)
  }

  ratchet(): Ratchet {
    return this.#ratchet.clone()
  }

  async erase(ratchet: Ratchet): Promise<void> {
    if (ratchet.epoch > this.#ratchet.epoch) this.#ratchet = ratchet.clone()
  }

  remembered(): Remembered | null {
    return this.#remembered
  }

  remember(checkpoint: Remembered): void {
    if (checkpoint.size >= (this.#remembered?.size ?? 0)) this.#remembered = checkpoint
  }

  async persist(): Promise<void> {}

  #next: { id: string; signer: NoteSigner } | null = null
  #rotating: Promise<unknown> = Promise.resolve()

  rotating<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#rotating.then(work)
    this.#rotating = turn.catch(() => {})
    return turn
  }

  async prepareRotation(id: string): Promise<NoteSigner> {
    const signer = signerFromSkey(generateSkey(this.origin, this.#profile))
    this.#next = { id, signer }
    return signer
  }

  async abandonRotation(): Promise<void> {
    this.#next = null
  }

  async refresh(isCommitted: (id: string) => Promise<boolean>): Promise<boolean> {
    const next = this.#next
    if (!next || !(await isCommitted(next.id))) return false
    this.#next = null
    this.trusted = [next.signer.key, this.signer.key]
    this.signer = next.signer
    return true
  }
}
