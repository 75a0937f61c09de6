/**
 * What every adapter has to record: small scenes of an agent, what its model answers in each, and the entries that have to
 * come of it, whatever the framework.
 */

export type SceneName = 'parallel' | 'failing' | 'denied' | 'approval' | 'handoff' | 'stream' | 'abort'

export type ToolName = 'lookup' | 'weather' | 'charge' | 'delete_all' | 'send_mail' | 'wait'

export interface ScriptedCall {
  readonly id: string
  readonly tool: ToolName
  readonly args: Readonly<Record<string, string>>
}

/** What the scripted model answers at its next turn. */
export type Turn =
  | { readonly calls: readonly ScriptedCall[] }
  | { readonly handoff: string }
  /** In the scene `stream`, chunk by chunk. */
  | { readonly text: string; readonly chunks: readonly string[] }

export interface Scene {
  readonly name: SceneName
  /** What the user asks. */
  readonly prompt: string
  /** One for each time that the model is asked. */
  readonly turns: readonly Turn[]
  /** Lines of {@link canonicalLines}. */
  readonly expected: readonly string[]
}

/** Tokens of each answer of the scripted model. */
export const TURN_USAGE = { input_tokens: 10, output_tokens: 5 } as const

export const AGENT = 'planner'
export const WRITER = 'writer'
export const USER = 'u-17'
export const MODEL = 'scripted-1'
export const APPROVER = 'alice'

/** What a tool answers; `charge` fails and `wait` waits until it is aborted. */
export const TOOL_RESULTS: Readonly<Record<ToolName, string>> = {
  lookup: 'found Oslo',
  weather: 'sunny in Oslo',
  charge: '',
  delete_all: 'deleted',
  send_mail: 'sent',
  wait: '',
}

const ask = ['llm.request agent pending', 'llm.response agent success']
const begin = 'run.start agent pending'
const end = 'run.end agent success'

function text(answer: string, chunks: readonly string[] = [answer]): Turn {
  return { text: answer, chunks }
}

function call(id: string, tool: ToolName, args: Readonly<Record<string, string>>): ScriptedCall {
  return { id, tool, args }
}

export const SCENES: readonly Scene[] = [
  {
    name: 'parallel',
    prompt: 'how is it in Oslo?',
    turns: [
      { calls: [call('call_1', 'lookup', { city: 'Oslo' }), call('call_2', 'weather', { city: 'Oslo' })] },
      text('It is sunny.'),
    ],
    expected: [
      begin,
      ...ask,
      'tool.start agent lookup pending #1',
      'tool.end agent lookup success #1',
      'tool.start agent weather pending #2',
      'tool.end agent weather success #2',
      ...ask,
      end,
    ],
  },
  {
    name: 'failing',
    prompt: 'charge the card',
    turns: [{ calls: [call('call_1', 'charge', { amount: '12' })] }, text('That did not work.')],
    expected: [begin, ...ask, 'tool.start agent charge pending #1', 'tool.error agent charge failure #1', ...ask, end],
  },
  {
    name: 'denied',
    prompt: 'delete everything',
    turns: [{ calls: [call('call_1', 'delete_all', { path: '/' })] }, text('I may not.')],
    expected: [begin, ...ask, 'policy.evaluated agent delete_all denied #1', ...ask, end],
  },
  {
    name: 'approval',
    prompt: 'write to Bob',
    turns: [{ calls: [call('call_1', 'send_mail', { to: 'bob' })] }, text('It is sent.')],
    expected: [
      begin,
      ...ask,
      'approval.requested agent send_mail pending #1',
      `approval.decided user:${APPROVER} send_mail approved #1`,
      'tool.start agent send_mail pending #1',
      'tool.end agent send_mail success #1',
      ...ask,
      end,
    ],
  },
  {
    name: 'handoff',
    prompt: 'have it written',
    turns: [{ handoff: WRITER }, text('Written.')],
    expected: [begin, ...ask, `handoff agent →${WRITER} success`, ...ask, end],
  },
  {
    name: 'stream',
    prompt: 'say hello',
    turns: [text('Hello, world.', ['Hello, ', 'world.'])],
    expected: [begin, ...ask, end],
  },
  {
    name: 'abort',
    prompt: 'wait for it',
    turns: [{ calls: [call('call_1', 'wait', { for: 'ever' })] }, text('never said')],
    expected: [begin, ...ask, 'tool.start agent wait pending #1', 'run.abort agent failure'],
  },
]

/** Kinds of entries that a framework may be unable to show. */
export type EventKind =
  | 'run'
  | 'llm'
  | 'usage'
  | 'tool'
  | 'policy'
  | 'approval.requested'
  | 'approval.decided'
  | 'handoff'
  | 'abort'

/** The kind of an entry's type. */
export function kindOf(type: string): EventKind | null {
  if (type === 'run.abort') return 'abort'
  if (type.startsWith('run.')) return 'run'
  if (type.startsWith('llm.')) return 'llm'
  if (type.startsWith('tool.')) return 'tool'
  if (type === 'policy.evaluated') return 'policy'
  if (type === 'approval.requested' || type === 'approval.decided') return type
  return type === 'handoff' ? 'handoff' : null
}
