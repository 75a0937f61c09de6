/**
 * Every attack that is tried on a log, who catches it, and by which code. `docs/threat-model.md` shows this table; a test of
 * each row is in `attacks*.test.ts`.
 */
import type { IndelibleErrorCode } from '../src/errors.ts'
import type { FindingCode } from '../src/verify/report.ts'

/**
 * Who catches it: anybody who has the vkey (`signature`); who also remembers an earlier checkpoint (`pin`), or also holds
 * K_0 (`K_0`); who has an anchor in his trust policy (`anchor`), or kept a receipt (`receipt`); the honest software, before
 * it writes (`writer`).
 */
export type Needs = 'signature' | 'pin' | 'K_0' | 'anchor' | 'receipt' | 'writer'

export interface Attack {
  readonly id: string
  /** What the attacker does. He has the database file, and what is named here. */
  readonly attack: string
  readonly needs: Needs
  /** Finding of a verification; with `writer`, and where a single proof is checked, the error. */
  readonly finding: FindingCode | IndelibleErrorCode
}

const table = [
  // One byte
  ['flip-entry', 'flips a byte of an entry', 'signature', 'entry_altered'],
  ['flip-leaf', 'flips a byte of a stored leaf hash', 'signature', 'leaf_altered'],
  ['flip-mac', 'flips a byte of a chain value', 'K_0', 'mac_mismatch'],
  ['flip-epoch', 'changes the epoch beside an entry', 'signature', 'epoch_mismatch'],
  ['flip-tile', 'flips a byte of a tile', 'signature', 'tile_altered'],
  ['flip-tile-root', 'flips a byte of the root stored with a tile', 'signature', 'tile_altered'],
  ['flip-tile-both', 'flips a byte of a tile and makes its stored root fit', 'signature', 'tile_altered'],
  ['flip-frontier', 'flips a byte of the frontier', 'signature', 'frontier_altered'],
  ['flip-head-mac', "flips a byte of the head's chain value", 'signature', 'mac_head_mismatch'],
  ['flip-head-epoch', "changes the head's epoch", 'signature', 'mac_head_mismatch'],
  ['flip-head-observed', "changes the head's time", 'signature', 'mac_head_mismatch'],
  ['flip-head-size', "changes the head's size", 'signature', 'size_mismatch'],
  ['flip-checkpoint-root', "changes the root in the head's checkpoint", 'signature', 'checkpoint_invalid'],
  ['flip-checkpoint-signature', "changes the signature of the head's checkpoint", 'signature', 'checkpoint_invalid'],
  ['flip-published-root', 'changes the root in a published checkpoint', 'signature', 'published_checkpoint_altered'],
  ['flip-published-signature', 'changes the signature of a published checkpoint', 'signature', 'checkpoint_unverified'],
  ['flip-disclosure', 'flips a byte of a disclosure', 'signature', 'disclosure_altered'],
  ['flip-id', 'makes an id name another entry', 'signature', 'id_altered'],
  ['flip-proof', 'flips a byte of a proof file', 'signature', 'ERR_PROOF_INVALID'],
  ['flip-entry-file', 'flips a byte of the entry shown with a proof', 'signature', 'ERR_PROOF_INVALID'],

  // Rows
  ['delete-middle', 'deletes an entry from the middle', 'signature', 'entry_missing'],
  ['delete-unsealed', 'deletes an entry that is in no full tile', 'signature', 'entry_missing'],
  ['delete-shift', 'deletes an entry and moves all after it up', 'signature', 'entry_altered'],
  ['swap-rows', 'swaps the places of two entries in a full tile', 'signature', 'entry_altered'],
  ['swap-rows-tail', 'swaps the places of two entries at the end', 'signature', 'root_mismatch'],
  ['swap-contents', 'swaps the contents of two entries', 'signature', 'entry_altered'],
  ['insert', 'inserts an entry and moves all after it down', 'signature', 'entry_altered'],
  ['rewrite-leaf', 'rewrites an entry with its leaf hash', 'signature', 'entry_altered'],
  ['rewrite-tree', 'rewrites an entry with leaf, tiles and frontier', 'signature', 'root_mismatch'],
  ['rewrite-chain', 'rewrites an entry and recomputes the chain under a key of his own', 'signature', 'root_mismatch'],
  ['append-unsigned', 'appends entries that no checkpoint covers', 'signature', 'size_mismatch'],
  ['append-row', 'puts a row behind the end of the log', 'signature', 'entry_unexpected'],
  ['transplant-entry', 'puts an entry of another log in the place of one', 'signature', 'entry_altered'],
  ['delete-rows', 'deletes every row of every table', 'signature', 'log_missing'],
  ['delete-tile', 'deletes a tile', 'signature', 'tile_missing'],
  ['add-tile', 'adds a tile that cannot be full yet, for readers to believe', 'signature', 'tile_altered'],
  ['delete-id', 'deletes the id of an entry, so that the event can be recorded again', 'signature', 'id_altered'],
  ['raise-min-index', 'deletes the oldest entries and calls it a purge', 'signature', 'purge_uncertified'],
  ['forge-purge-intent', 'adds a purge intent of his own to the entries', 'signature', 'size_mismatch'],

  // Truncation and roll-back
  ['truncate', 'cuts off the end and puts the published checkpoint of that size in place', 'pin', 'rolled_back'],
  ['truncate-lazily', 'does so and leaves later published checkpoints', 'signature', 'rolled_back'],
  [
    'replace-table',
    'puts a view in the place of a table, to show one thing now and another later',
    'signature',
    'store_altered',
  ],
  ['roll-back', 'puts back the whole database as it was', 'pin', 'rolled_back'],
  ['delete-file', 'deletes the database file', 'pin', 'log_missing'],
  ['delete-home', 'deletes the whole home', 'pin', 'log_missing'],
  ['replace-log', 'puts a log of his own, of the same origin, in the place', 'signature', 'checkpoint_unverified'],
  ['replace-home', 'puts a home of his own, of the same origin, in the place', 'pin', 'checkpoint_unverified'],
  ['rewrite-signed', 'with the signing key: rewrites and signs again what was pinned', 'pin', 'split_view'],

  // Signatures and keys
  ['strip-signature', 'strips the signature of the checkpoint', 'signature', 'checkpoint_invalid'],
  ['swap-signature', 'gives the checkpoint the signature of another one', 'signature', 'checkpoint_invalid'],
  ['foreign-key', 'signs with a key of his own under the same name', 'signature', 'checkpoint_unverified'],
  ['foreign-id', "signs with a key of his own under the true key's name and id", 'signature', 'checkpoint_invalid'],
  [
    'downgrade-algorithm',
    'signs with a key of another algorithm under the same name',
    'signature',
    'checkpoint_unverified',
  ],
  [
    'foreign-origin',
    'with the key of another log that is trusted too: signs under that origin',
    'signature',
    'checkpoint_invalid',
  ],
  ['witness-only', "leaves a witness's cosignature alone on the checkpoint", 'signature', 'checkpoint_unverified'],
  ['trailing-bytes', 'adds bytes after the end of the checkpoint', 'signature', 'checkpoint_invalid'],
  ['huge-size', 'writes a size of 2^53-1 into the checkpoint', 'signature', 'checkpoint_invalid'],
  ['impossible-size', 'writes a size of 2^60 into the checkpoint', 'signature', 'checkpoint_invalid'],
  ['huge-head', 'writes a size of 2^53-1 into the head', 'signature', 'size_mismatch'],
  [
    'old-key',
    'with the key before a rotation: signs entries of his own after it',
    'signature',
    'checkpoint_superseded',
  ],
  ['forge-rotation', 'replaces a rotation statement by one of his own keys', 'signature', 'rotation_invalid'],
  [
    'rotation-one-key',
    'with the old key: adds a rotation that the new key did not sign',
    'signature',
    'rotation_invalid',
  ],
  ['rotation-other-log', 'adds the rotation statement of another log', 'signature', 'rotation_invalid'],
  [
    'rotation-by-old-key',
    'with the key before a rotation: rotates once more, to a key of his own',
    'signature',
    'rotation_invalid',
  ],

  // An operator who signs what is not so
  ['duplicate-keys', 'with the signing key: an entry with a key twice', 'signature', 'entry_unreadable'],
  [
    'other-spelling',
    'with the signing key: an entry in another spelling of the same meaning',
    'signature',
    'entry_unreadable',
  ],
  ['repeat-id', 'with the signing key: two entries of one id', 'signature', 'id_repeated'],
  ['time-back', 'with the signing key: an entry accepted before the one ahead of it', 'signature', 'time_decreased'],
  [
    'time-epoch',
    'with the signing key: an entry whose time is in another epoch than it stands in',
    'signature',
    'epoch_mismatch',
  ],
  ['epoch-back', 'with the signing key: an epoch that decreases', 'signature', 'epoch_decreased'],
  [
    'opened-missing',
    'with the signing key: a log that does not begin with audit.opened',
    'signature',
    'opened_invalid',
  ],
  ['opened-clock', 'with the signing key: epochs counted otherwise than K_0 has it', 'K_0', 'opened_invalid'],
  [
    'purge-ahead',
    'with the signing key: an intent that allows to purge what is to come',
    'signature',
    'purge_uncertified',
  ],

  [
    'decision-moved',
    'as the agent: a decision with the signature that a person gave to another one',
    'signature',
    'signature_invalid',
  ],
  [
    'decision-unsigned',
    'as the agent: a decision that says it is signed, and is not',
    'signature',
    'signature_invalid',
  ],
  ['decision-revoked', 'with the key of a person after it was revoked: decides', 'signature', 'signer_unknown'],
  [
    'decision-stranger',
    'with a key of his own: decides under a name that the log does not know',
    'signature',
    'signer_unknown',
  ],

  // Purges
  ['purge-mac', 'with the signing key: a purge that states another mac than its entries make', 'K_0', 'purge_invalid'],
  ['purge-epochs', 'with the signing key: a purge that states other epochs', 'K_0', 'purge_invalid'],
  ['purge-further', 'purges further than the intent says', 'signature', 'purge_uncertified'],
  [
    'purge-unsaid',
    'with the signing key: an intent that does not say what it lets go',
    'signature',
    'purge_uncertified',
  ],
  ['purge-foreign', 'uses the intent of another log', 'signature', 'purge_uncertified'],
  ['purge-called-off', 'deletes under an intent that was called off for a hold', 'signature', 'purge_uncertified'],
  ['purge-unapproved', 'purges alone what the policy wants others to have signed', 'signature', 'purge_unapproved'],

  // The chain
  ['rewrite-epoch', 'with all keys of today: rewrites an earlier epoch and seals it anew', 'K_0', 'mac_mismatch'],
  ['reseal', 'with all keys of today: rewrites an earlier seal', 'K_0', 'seal_invalid'],
  ['reseal-late', 'with all keys of today: rewrites a late one of the seals after a long sleep', 'K_0', 'seal_invalid'],
  ['seal-missing', 'with the signing key: leaves out a seal', 'signature', 'seal_missing'],
  ['seal-epoch', 'with the signing key: a seal of the wrong epoch', 'signature', 'seal_invalid'],
  ['seal-size', 'with the signing key: a seal over another size', 'signature', 'seal_invalid'],
  ['seal-root', 'with the signing key: a seal over another root', 'signature', 'seal_invalid'],
  ['seal-early', 'with the signing key: a seal of an epoch that goes on', 'signature', 'seal_invalid'],
  ['seal-unfinished', 'with the signing key: a log that ends within its seals', 'signature', 'seal_missing'],

  // Parts
  ['disclosure-forged', 'replaces a disclosure by one of his own', 'signature', 'disclosure_altered'],
  ['disclosure-part', 'shows the disclosure of another part of the entry', 'signature', 'disclosure_altered'],
  ['disclosure-entry', 'shows the disclosure of the same part of another entry', 'signature', 'disclosure_altered'],
  [
    'disclosure-log',
    'with the signing key: commits to the disclosure of another log',
    'signature',
    'disclosure_altered',
  ],
  [
    'disclosure-transplant',
    'with the signing key: commits to the disclosure of another entry',
    'signature',
    'disclosure_altered',
  ],
  ['disclosure-deleted', 'deletes a disclosure that nobody erased', 'signature', 'disclosure_missing'],
  [
    'disclosure-returned',
    'puts back a disclosure that was erased, as a backup that is restored would',
    'signature',
    'disclosure_returned',
  ],
  ['disclosure-extra', 'adds a disclosure that the entry does not commit to', 'signature', 'disclosure_unexpected'],
  ['disclosure-behind', 'adds a disclosure where the next entry will be', 'signature', 'disclosure_unexpected'],
  ['erased-forged', 'deletes a disclosure and writes an audit.erased over another entry', 'signature', 'entry_altered'],
  [
    'erased-before',
    'with the signing key: an audit.erased from before the part was there',
    'signature',
    'disclosure_missing',
  ],

  // A single proof
  ['proof-index', 'shows the proof of another entry', 'signature', 'ERR_PROOF_INVALID'],
  ['proof-size', 'shows the proof under a checkpoint of another size', 'signature', 'ERR_PROOF_INVALID'],
  ['proof-trailing', 'adds bytes after the end of a proof', 'signature', 'ERR_NOTE_INVALID'],
  ['proof-huge', 'gives a proof an index of 2^60', 'signature', 'ERR_PROOF_INVALID'],
  ['proof-newline', 'adds a newline to the entry file', 'signature', 'ERR_PROOF_INVALID'],
  ['proof-foreign-key', 'signs the checkpoint of a proof with a key of his own', 'signature', 'ERR_NOTE_UNVERIFIED'],
  ['proof-other-tree', 'with the signing key: a proof from another tree of the pinned size', 'pin', 'ERR_SPLIT_VIEW'],

  // What others vouch for
  ['anchor-removed', 'removes what the anchors gave', 'anchor', 'anchor_missing'],
  ['anchor-frozen', 'shows a state of yesterday, with what the anchors gave then', 'anchor', 'anchor_stale'],
  ['anchor-altered', 'moves a cosignature to a later time', 'anchor', 'anchor_invalid'],
  ['anchor-rewritten', 'with the signing key: rewrites what was anchored', 'anchor', 'split_view'],
  ['receipt-broken', 'with the signing key: promises an entry, and records another', 'receipt', 'receipt_mismatch'],

  // What honest software would launder
  [
    'launder-rewrite',
    'rewrites an entry with leaf, tiles and frontier before the next append',
    'writer',
    'ERR_HEAD_FORGED',
  ],
  [
    'launder-rewrite-signed',
    'with the signing key: rewrites what the writer remembers, and signs',
    'writer',
    'ERR_HEAD_FORGED',
  ],
  ['launder-mac', "changes the chain value of the last entry and the head's", 'writer', 'ERR_HEAD_FORGED'],
  ['launder-head-mac', "changes the head's chain value", 'writer', 'ERR_HEAD_FORGED'],
  ['launder-head-epoch', "changes the epoch of the last entry and the head's", 'writer', 'ERR_HEAD_FORGED'],
  ['launder-frontier', 'changes the frontier', 'writer', 'ERR_HEAD_FORGED'],
  ['launder-last', 'rewrites the last entry and its leaf hash', 'writer', 'ERR_HEAD_FORGED'],
  ['launder-time', "moves the last entry's time and the head's to the future", 'writer', 'ERR_HEAD_FORGED'],
  ['launder-published', 'has the head say that a checkpoint was published in the future', 'writer', 'ERR_HEAD_FORGED'],
  [
    'launder-predecessor',
    'deletes the last entry but one, so that the last mac cannot be checked',
    'writer',
    'ERR_HEAD_FORGED',
  ],
  ['launder-edge', 'changes a leaf hash that the next tile will be made of', 'writer', 'ERR_STORE_CORRUPT'],
  ['launder-old-key', 'with the key before a rotation: signs a head of his own', 'writer', 'ERR_HEAD_FORGED'],
  ['roll-back-running', 'puts an old head back under a running writer', 'writer', 'ERR_ROLLED_BACK'],
  ['roll-back-restart', 'puts the old database back before a restart', 'writer', 'ERR_ROLLED_BACK'],
  ['empty-running', 'empties the log under a running writer', 'writer', 'ERR_ROLLED_BACK'],
  ['claim-audit', "submits the log's own entries as a producer", 'writer', 'ERR_EVENT_INVALID'],
  ['claim-enforced', 'claims more assurance than the channel has', 'writer', 'ERR_EVENT_INVALID'],
] as const satisfies readonly (readonly [string, string, Needs, Attack['finding']])[]

export type AttackId = (typeof table)[number][0]

export const ATTACKS: readonly (Attack & { readonly id: AttackId })[] = table.map(([id, attack, needs, finding]) => ({
  id,
  attack,
  needs,
  finding,
}))
