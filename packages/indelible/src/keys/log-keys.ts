/** The keys and the memory of one writer of one log: what the sequencer needs, wherever it is kept. */
import type { MacKey } from '#crypto'
import type { Ratchet } from '../chain/chain.ts'
import type { EpochClock } from '../chain/epoch.ts'
import type { NoteSigner, VerifierKey } from '../note/signed-note.ts'

/** The last checkpoint that this signer knows to be committed. */
export interface Remembered {
  readonly size: number
  readonly root: Uint8Array
}

export interface LogKeys {
  readonly origin: string
  readonly clock: EpochClock
  /** Names K_0: `HMAC-SHA-256(K_0, …)`, 32 bytes. */
  readonly macId: Uint8Array
  /** Signs checkpoints. Changes with a rotation. */
  readonly signer: NoteSigner
  /** Whose signature this writer accepts on a head that it did not write itself. */
  readonly trusted: readonly VerifierKey[]
  /** For fingerprints of part values. */
  readonly fingerprint: MacKey
  /** For the digests that tell a retry from an id used twice. */
  readonly ids: MacKey
  /** For the index of which entries concern which person. */
  readonly subjects: MacKey

  /** The ratchet at the oldest epoch that is not sealed yet; a copy. */
  ratchet(): Ratchet
  /** Erases every key before `ratchet`'s epoch. Called once the seals of those epochs are committed. */
  erase(ratchet: Ratchet): Promise<void>

  /** `null` if nothing was committed yet. */
  remembered(): Remembered | null
  /** Keeps the larger of `checkpoint` and what is remembered, in memory. */
  remember(checkpoint: Remembered): void
  /** Makes what is remembered outlive the process. Called about once a second while entries are written, and on close. */
  persist(): Promise<void>

  /**
   * Runs `work`, a rotation from beginning to end, while no other writer with these keys rotates.
   * @throws IndelibleError `ERR_STORE_BUSY` if another one does and takes too long
   */
  rotating<T>(work: () => Promise<T>): Promise<T>
  /** Makes and keeps the key that the rotation entry `id` is about to name. Replaces one that was kept before. */
  prepareRotation(id: string): Promise<NoteSigner>
  /** Drops the key of a rotation that the log has refused. */
  abandonRotation(): Promise<void>
  /**
   * Goes over to the successor, once the rotation that names it is committed, by this process or another of this home.
   * @param isCommitted whether the log has an entry of that id
   * @returns whether `signer` or `trusted` changed
   */
  refresh(isCommitted: (id: string) => Promise<boolean>): Promise<boolean>
}
