/**
 * Stands in for the Claude Code process: speaks the SDK's control protocol, answers by a script, asks the hooks before and
 * after each tool, and obeys them as the real one documents: it runs no tool that a hook denies, nor one whose hook failed if
 * that is to block.
 */
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import { MODEL, TURN_USAGE } from 'indelible/testing'

const SESSION = 'session-1'
const BASE = { session_id: SESSION, transcript_path: 'none', cwd: '.', permission_mode: 'default' }
const NO_DETAILS = {
  commands: [],
  agents: [],
  output_style: 'default',
  available_output_styles: [],
  models: [],
  account: {},
}

/** For `options.spawnClaudeCodeProcess`. */
export function fakeClaude(turns, tools) {
  return ({ signal }) => {
    const child = new FakeProcess(turns, tools)
    signal?.addEventListener('abort', () => child.kill(), { once: true })
    return child
  }
}

class FakeProcess extends EventEmitter {
  stdin = new PassThrough()
  stdout = new PassThrough()
  killed = false
  exitCode = null
  #turns
  #tools
  #hooks = {}
  #hasPermissions = false
  #pending = new Map()
  #next = 0
  #abort = new AbortController()

  constructor(turns, tools) {
    super()
    this.#turns = turns
    this.#tools = tools
    let rest = ''
    this.stdin.on('data', (data) => {
      const lines = (rest + data).split('\n')
      rest = lines.pop()
      for (const line of lines) if (line.trim() !== '') this.#take(JSON.parse(line))
    })
    this.stdin.on('end', () => this.#exit())
  }

  kill() {
    this.killed = true
    this.#abort.abort()
    this.#exit()
    return true
  }

  #exit() {
    if (this.exitCode !== null) return
    this.exitCode = 0
    this.stdout.end()
    this.emit('exit', 0, null)
  }

  #send(message) {
    if (this.exitCode === null) this.stdout.write(`${JSON.stringify(message)}\n`)
  }

  #take(message) {
    if (message.type === 'control_response') this.#pending.get(message.response.request_id)?.(message.response)
    else if (message.type === 'control_request') {
      const { request, request_id } = message
      const isFirst = request.subtype === 'initialize'
      if (isFirst) this.#hooks = request.hooks ?? {}
      const response = isFirst ? { ...NO_DETAILS, hooks_applied: true, hook_on_failure_supported: true } : {}
      this.#send({ type: 'control_response', response: { subtype: 'success', request_id, response } })
    } else if (message.type === 'user') {
      this.#hasPermissions = message.hasPermissions ?? false
      this.#play().catch((error) => this.emit('error', error))
    }
  }

  #ask(request) {
    const request_id = `cli-${++this.#next}`
    return new Promise((resolve) => {
      this.#pending.set(request_id, resolve)
      this.#send({ type: 'control_request', request_id, request })
    })
  }

  /** Whether none of the hooks stops what comes next. */
  async #hook(event, input, tool_use_id) {
    let isAllowed = true
    for (const { hookCallbackIds, onFailure } of this.#hooks[event] ?? []) {
      for (const callback_id of hookCallbackIds) {
        const asked = { ...BASE, hook_event_name: event, ...input, tool_use_id }
        const answer = await this.#ask({ subtype: 'hook_callback', callback_id, tool_use_id, input: asked })
        if (answer.subtype === 'error' && onFailure === 'block') isAllowed = false
        if (answer.response?.hookSpecificOutput?.permissionDecision === 'deny') isAllowed = false
      }
    }
    return isAllowed
  }

  async #tool({ id, tool, args }) {
    const input = { tool_name: tool, tool_input: args }
    const result = (content, is_error = false) => ({ type: 'tool_result', tool_use_id: id, content, is_error })
    if (!(await this.#hook('PreToolUse', input, id))) return result('denied', true)
    if (tool === 'Task') {
      await this.#hook('PostToolUse', { ...input, tool_response: 'done' }, id)
      return result('done')
    }
    try {
      const output = await this.#tools[tool](args, this.#abort.signal)
      await this.#hook('PostToolUse', { ...input, tool_response: output, duration_ms: 2 }, id)
      return result(output)
    } catch (error) {
      const is_interrupt = error.name === 'AbortError'
      await this.#hook('PostToolUseFailure', { ...input, error: error.message, is_interrupt }, id)
      return result(error.message, true)
    }
  }

  async #play() {
    const of = { session_id: SESSION, parent_tool_use_id: null }
    this.#send({
      type: 'system',
      subtype: 'init',
      ...of,
      uuid: 'u0',
      model: MODEL,
      tools: [],
      claude_code_version: '9.9.9',
    })
    let text = ''
    for (const [i, turn] of this.#turns.entries()) {
      if (this.exitCode !== null) return
      const asked = turn.handoff === undefined ? (turn.calls ?? []) : [HANDOFF(turn.handoff)]
      text = turn.text ?? ''
      const content = asked.map(({ id, tool, args }) => ({ type: 'tool_use', id, name: tool, input: args }))
      if (text !== '') content.push({ type: 'text', text })
      for (const chunk of turn.chunks ?? []) {
        const event = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: chunk } }
        this.#send({ type: 'stream_event', event, ...of, uuid: `s${i}` })
      }
      const message = {
        id: `msg_${i}`,
        type: 'message',
        role: 'assistant',
        model: MODEL,
        stop_reason: null,
        usage: TURN_USAGE,
      }
      // As the real one does: a message for each part of the answer.
      for (const part of content) {
        this.#send({ type: 'assistant', message: { ...message, content: [part] }, ...of, uuid: `a${i}` })
      }
      const results = await Promise.all(asked.map((call) => this.#tool(call)))
      if (results.length > 0)
        this.#send({ type: 'user', message: { role: 'user', content: results }, ...of, uuid: `r${i}` })
    }
    const usage = { input_tokens: 10 * this.#turns.length, output_tokens: 5 * this.#turns.length }
    const rest = {
      duration_ms: 1,
      duration_api_ms: 1,
      total_cost_usd: 0.01,
      usage,
      modelUsage: {},
      permission_denials: [],
    }
    const result = { type: 'result', subtype: 'success', is_error: false, num_turns: this.#turns.length, result: text }
    this.#send({ ...result, ...rest, ...of, uuid: 'u9' })
  }
}

const HANDOFF = (agent) => ({ id: 'call_1', tool: 'Task', args: { subagent_type: agent, prompt: 'go on' } })
