/**
 * `indelible mcp-proxy -- COMMAND`: stands between an MCP client and a server that cannot be changed. Standard output
 * belongs to the protocol; what the proxy itself has to say goes to standard error.
 */
import { type Command, Option } from 'commander'
import type { McpProxyEnd } from '../capture/mcp-proxy.ts'
import { FAILURE_MODES, type FailureMode } from '../capture/sink.ts'
import { parsePositive } from './arguments.ts'
import { type Context, examples } from './context.ts'

interface ProxyFlags {
  readonly deny?: readonly string[]
  readonly allow?: readonly string[]
  readonly onFailure?: FailureMode
  readonly agent?: string
  readonly user?: string
  readonly server?: string
  readonly maxMessage?: number
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export function addMcpProxy(program: Command, context: Context): void {
  program
    .command('mcp-proxy')
    .description('record what an MCP client asks of a server: run the server behind a proxy')
    .argument('<command>', 'the server, after --')
    .argument('[args...]', 'its arguments')
    .option('--deny <tool>', 'refuse calls of a tool; * stands for any text; may be repeated', collect)
    .option('--allow <tool>', 'refuse calls of all tools but these; may be repeated', collect)
    .addOption(
      new Option(
        '--on-failure <mode>',
        'while nothing can be recorded, go on or refuse (default: capture.on_failure)',
      ).choices(FAILURE_MODES),
    )
    .option('--agent <id>', 'who calls (default: what the client names itself)')
    .option('--user <id>', 'for whom')
    .option('--server <name>', 'what the tools are said to be of (default: what the server names itself)')
    .option('--max-message <bytes>', 'longest message that is read (default: 16 MiB)', parsePositive)
    .addHelpText(
      'after',
      examples(
        'indelible mcp-proxy -- npx -y @modelcontextprotocol/server-filesystem /data',
        "indelible mcp-proxy --deny 'delete_*' --on-failure block -- my-server --port 1",
      ),
    )
    .action((command: string, args: string[], flags: ProxyFlags) => proxy(command, args, flags, context))
}

async function proxy(command: string, args: readonly string[], flags: ProxyFlags, context: Context): Promise<void> {
  const [{ openLog }, { runMcpProxy }] = await Promise.all([
    import('../log/home.ts'),
    import('../capture/mcp-proxy.ts'),
  ])
  const { agent, user, server, onFailure, maxMessage, deny = [], allow = [] } = flags
  const log = await openLog(context.homeOption)
  let end: McpProxyEnd
  try {
    const running = runMcpProxy({
      recorder: log.recorder,
      command,
      args,
      ...(agent !== undefined && { agent }),
      ...(user !== undefined && { run: { user } }),
      ...(server !== undefined && { server }),
      ...(onFailure && { onFailure }),
      ...(maxMessage !== undefined && { maxLineBytes: maxMessage }),
      ...(deny.length + allow.length > 0 && { policy: toolPolicy(deny, allow) }),
    })
    const forward = (signal: NodeJS.Signals) => running.kill(signal)
    for (const signal of SIGNALS) process.on(signal, forward)
    try {
      end = await running.ended
    } finally {
      for (const signal of SIGNALS) process.off(signal, forward)
    }
  } finally {
    await log.close()
  }
  if (end.signal === null) {
    context.exitCode = end.code ?? 0
    return
  }
  // Whoever waits for us learns what became of the server.
  process.kill(process.pid, end.signal)
  await new Promise((resolve) => setTimeout(resolve, 1000))
}

/** What is denied is denied, whatever is allowed. */
function toolPolicy(deny: readonly string[], allow: readonly string[]) {
  return ({ tool }: { readonly tool: string }) => {
    const denied = deny.find((pattern) => matches(pattern, tool))
    if (denied !== undefined) return { decision: 'deny' as const, id: 'mcp-proxy', rule: `deny ${denied}` }
    const allowed = allow.find((pattern) => matches(pattern, tool))
    if (allowed !== undefined) return { decision: 'allow' as const, id: 'mcp-proxy', rule: `allow ${allowed}` }
    return { decision: allow.length > 0 ? ('deny' as const) : ('allow' as const), id: 'mcp-proxy', rule: 'default' }
  }
}

/** Whether `pattern`, in which `*` stands for any text, is all of `tool`. In linear time: names come from the client. */
function matches(pattern: string, tool: string): boolean {
  const [first, ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return tool === pattern
  if (!tool.startsWith(first!) || !tool.endsWith(last)) return false
  let at = first!.length
  for (const piece of rest) {
    const found = tool.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return at <= tool.length - last.length
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value]
}
