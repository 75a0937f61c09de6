/**
 * Whether the process that left a file behind still runs. A pid alone does not say: pids are used again, and in a container
 * the process that comes after a crash has the pid of the one that crashed.
 */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

interface Identity {
  readonly pid: number
  readonly host: string
  readonly boot: string
  /** Pid namespace: a container's. */
  readonly space: string
  /** When the process started, in ticks since boot. */
  readonly start: string
}

const TOKEN = /^([1-9]\d*)-([0-9a-f]{8})-([0-9a-f]{8})-(\d+)-(\d+)$/

let own: string | undefined

/** Names this process, in characters that a file name may have. */
export function processToken(): string {
  own ??= [
    process.pid,
    short(machineId() ?? hostname()),
    short(read('/proc/sys/kernel/random/boot_id') ?? ''),
    pidSpace(),
    startOf('self')?.start ?? '0',
  ].join('-')
  return own
}

/**
 * Whether the process that `token` names is gone for certain; `undefined` if that cannot be told from here, because it is
 * another host's or container's.
 */
export function isGone(token: string): boolean | undefined {
  const that = parse(token)
  const self = parse(processToken())
  if (!that || !self || that.host !== self.host) return undefined
  if (that.boot !== self.boot) return true
  if (that.space !== self.space) return undefined
  if (!exists(that.pid)) return true
  const running = startOf(that.pid)
  return running !== null && (running.isZombie || running.start !== that.start)
}

/** The lasting id of this host, where it has one. */
export function machineId(): string | undefined {
  return read('/etc/machine-id') || undefined
}

function parse(token: string): Identity | null {
  const match = TOKEN.exec(token)
  if (!match) return null
  const [, pid, host, boot, space, start] = match as unknown as [string, string, string, string, string, string]
  return { pid: Number(pid), host, boot, space, start }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** From `/proc/PID/stat`; `null` where there is none. The name in the second field may hold anything, parentheses too. */
function startOf(pid: number | 'self'): { start: string; isZombie: boolean } | null {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === undefined) return null
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { start: fields[19] ?? '0', isZombie: fields[0] === 'Z' || fields[0] === 'X' }
}

function pidSpace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
