/**
 * The tables of a log as they are read. Indexes that others made are tolerated, but nothing is read from them: one that was
 * taken out of the schema while its table was altered, and put back, holds what the table held before, and whoever verifies
 * would be shown that. For a table without rows' ids, `NOT INDEXED` would still let them in.
 */
export const ENTRIES = 'entries NOT INDEXED'
export const PAYLOADS = 'payloads INDEXED BY sqlite_autoindex_payloads_1'
export const IDS = 'ids INDEXED BY sqlite_autoindex_ids_1'
export const TILES = 'tiles INDEXED BY sqlite_autoindex_tiles_1'
export const SUBJECTS = 'subjects INDEXED BY sqlite_autoindex_subjects_1'
export const CHECKPOINTS = 'checkpoints NOT INDEXED'
export const HEAD = 'head NOT INDEXED'
