/**
 * The GenAI semantic conventions as data: which names mean what, those of older versions after those in force. As of the
 * conventions' 1.41; `docs/otlp.md` prints these tables.
 */

/** What an operation becomes. */
export type OperationKind = 'run' | 'llm' | 'tool' | 'step' | 'guardrail' | 'memory'

export const OPERATIONS: Readonly<Record<string, OperationKind>> = {
  invoke_agent: 'run',
  invoke_workflow: 'run',
  chat: 'llm',
  generate_content: 'llm',
  text_completion: 'llm',
  embeddings: 'llm',
  execute_tool: 'tool',
  retrieval: 'tool',
  create_agent: 'step',
  plan: 'step',
  agent_step: 'step',
  run_guardrail: 'guardrail',
  create_memory: 'memory',
  search_memory: 'memory',
  update_memory: 'memory',
  upsert_memory: 'memory',
  delete_memory: 'memory',
  create_memory_store: 'memory',
  delete_memory_store: 'memory',
}

export const AGENT_ID = ['gen_ai.agent.id', 'gen_ai.agent.name']
export const AGENT_NAME = ['gen_ai.agent.name', 'gen_ai.workflow.name']
export const AGENT_VERSION = ['gen_ai.agent.version']
export const SESSION = ['gen_ai.conversation.id', 'mcp.session.id', 'session.id']
export const PROVIDER = ['gen_ai.provider.name', 'gen_ai.system']
export const REQUEST_MODEL = ['gen_ai.request.model']
export const RESPONSE_MODEL = ['gen_ai.response.model']
export const TOOL_NAME = ['gen_ai.tool.name', 'gen_ai.data_source.id']
export const TOOL_KIND = ['gen_ai.tool.type']
export const TOOL_CALL = ['gen_ai.tool.call.id']
/** Persons: they go to the subject index, and into no entry. */
export const PERSON = ['user.id', 'enduser.id']

/** Parts, by where in the pair they stand. Values are JSON in text, or structured. */
export const INPUTS: Readonly<Record<string, readonly string[]>> = {
  input: ['gen_ai.input.messages', 'gen_ai.tool.call.arguments', 'gen_ai.prompt', 'gen_ai.retrieval.query.text'],
  prompt: ['gen_ai.system_instructions'],
  tools: ['gen_ai.tool.definitions'],
}
export const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  output: ['gen_ai.output.messages', 'gen_ai.tool.call.result', 'gen_ai.completion', 'gen_ai.retrieval.documents'],
}
/** Numbered keys of older instrumentations, such as `gen_ai.prompt.0.content`. */
export const NUMBERED: Readonly<Record<string, string>> = { 'gen_ai.prompt.': 'input', 'gen_ai.completion.': 'output' }

export const USAGE: Readonly<Record<string, readonly string[]>> = {
  input_tokens: ['gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens'],
  output_tokens: ['gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens'],
  cached_input_tokens: ['gen_ai.usage.cache_read.input_tokens'],
  cache_write_tokens: ['gen_ai.usage.cache_creation.input_tokens', 'gen_ai.usage.cache_write.input_tokens'],
  reasoning_tokens: ['gen_ai.usage.reasoning.output_tokens'],
}

/** Small and not personal: they stand in the entry under their own names. */
export const ATTRIBUTES = [
  'gen_ai.operation.name',
  'gen_ai.output.type',
  'gen_ai.request.choice.count',
  'gen_ai.request.frequency_penalty',
  'gen_ai.request.max_tokens',
  'gen_ai.request.presence_penalty',
  'gen_ai.request.seed',
  'gen_ai.request.stream',
  'gen_ai.request.temperature',
  'gen_ai.request.top_k',
  'gen_ai.request.top_p',
  'gen_ai.response.finish_reasons',
  'gen_ai.response.id',
  'gen_ai.response.time_to_first_chunk',
  'mcp.method.name',
  'mcp.protocol.version',
]
