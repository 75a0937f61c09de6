/** The script's agent: `createAgent` in a graph, with a second agent that it can hand over to. */
import { ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { Command, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph'
import { WRITER } from 'indelible/testing'
import { createAgent, createMiddleware } from 'langchain'
import { z } from 'zod'

/** `createAgent` ends with a tool that throws, unless a middleware makes an answer of the error, as this one does. */
export const errorsAreAnswers = createMiddleware({
  name: 'ErrorsAreAnswers',
  wrapToolCall: async (request, handler) => {
    try {
      return await handler(request)
    } catch (error) {
      const { id, name } = request.toolCall
      if (!['ERR_ACTION_DENIED', undefined].includes(error.code) || error.name === 'AbortError') throw error
      return new ToolMessage({ content: error.message, tool_call_id: id, name, status: 'error' })
    }
  },
})

export function planner(model, tools, middleware = []) {
  const given = Object.entries(tools).map(([name, run]) =>
    tool((args, config) => run(args, config?.signal), { name, description: name, schema: z.looseObject({}) }),
  )
  const transfer = tool(
    (_, config) => {
      const message = new ToolMessage({ content: 'over to you', tool_call_id: config.toolCall.id })
      return new Command({ goto: WRITER, graph: Command.PARENT, update: { messages: [message] } })
    },
    { name: `transfer_to_${WRITER}`, description: 'hands over', schema: z.object({}) },
  )
  const agent = createAgent({ model, tools: [...given, transfer], middleware: [errorsAreAnswers, ...middleware] })
  const writer = createAgent({ model, tools: [], middleware })
  return new StateGraph(MessagesAnnotation)
    .addNode('planner', agent.graph, { ends: [WRITER] })
    .addNode(WRITER, writer.graph)
    .addEdge(START, 'planner')
    .compile()
}
