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
  readonly firstKey: Uint8Array
  signer: NoteSigner
  trusted: readonly VerifierKey[]
  #ratchet: Ratchet
  #remembered: Remembered | null = null

  constructor(origin: string, options: MemoryKeysOptions) {
    this.origin = origin
    this.clock = options.clock
    this.firstKey = options.firstKey ?? new Uint8Array(randomBytes(32))
    this.macId = macKeyId(this.firstKey, origin)
    this.signer = signerFromSkey(options.skey ?? generateSkey(origin, options.profile ?? 'default'))
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

  async refresh(): Promise<boolean> {
    return false
  }
}
