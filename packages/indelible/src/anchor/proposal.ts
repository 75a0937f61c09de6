/** What a log proposes to those who read its evidence: nobody has to follow it, and no check reads it. */

import type { Config } from '../config/config.ts'
import { formatWitnessPolicy } from '../note/policy.ts'
import { parseVkey } from '../note/signed-note.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'
import { anchorPolicy } from './kinds.ts'
import { AnchorReceipts, anchorsDirectory } from './receipts.ts'

/** The newest receipt of each anchor. Throws `ERR_STORE_CORRUPT`. */
export function newestReceipts(home: string, config: Config): AnchorReceipt[] {
  const receipts = new AnchorReceipts(anchorsDirectory(home, config))
  return receipts.names().flatMap((name) => receipts.last(name) ?? [])
}

/** The log's key with the witnesses of its first anchor that has any, as a C2SP policy; `null` if none has. */
export async function proposedPolicy(home: string, config: Config, vkey: string): Promise<string | null> {
  for (const anchor of config.anchors.list) {
    const policy = await anchorPolicy(anchor, home)
    if (policy) return formatWitnessPolicy({ ...policy, logs: [{ key: parseVkey(vkey) }] })
  }
  return null
}
