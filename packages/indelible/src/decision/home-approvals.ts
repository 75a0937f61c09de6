/** Approvals of the log of a home: what waits stands in its folder, for all processes of the machine. */
import { resolveHome } from '../log/home-paths.ts'
import type { Log } from '../log/log.ts'
import { openQuery } from '../query/home-query.ts'
import { FolderBox } from './approval-box.ts'
import { Approvals } from './approvals.ts'

/**
 * @param log opened for writing, of the same home; when it is closed, so are these
 * @throws IndelibleError as `openQuery`
 */
export async function openApprovals(log: Log, options: { readonly home?: string } = {}): Promise<Approvals> {
  const home = resolveHome(options.home)
  const query = await openQuery({ home })
  log.onClose(() => void query.close())
  return new Approvals(log, query, new FolderBox(home))
}
