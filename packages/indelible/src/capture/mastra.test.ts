import { beforeEach, describe, expect, it } from 'vitest'
import { KeptSink } from '../../test/kept-sink.ts'
import { type MastraRecording, recordMastra } from './mastra.ts'
import { Recorder } from './recorder.ts'

describe('recordMastra', () => {
  let sink: KeptSink
  let recorder: Recorder
  let audit: MastraRecording
  beforeEach(() => {
    sink = new KeptSink()
    recorder = new Recorder(sink)
    audit = recordMastra({ recorder, version: '1.71.0' })
  })

  const span = (type: string, id: string, kind: string, more: object = {}) =>
    audit.exporter.exportTracingEvent({ type: `span_${type}`, exportedSpan: { id, traceId: 't', type: kind, ...more } })

  async function lines(): Promise<string[]> {
    await recorder.flush()
    return sink.events.map(({ type, outcome }) => `${type} ${outcome}`)
  }

  it('records tools that were not wrapped, and shows a run that waits for somebody', async () => {
    const call = { toolCallId: 'c1', toolName: 'pay', args: { amount: 3 } }
    await span('started', 'r', 'agent_run', {
      entityName: 'clerk',
      metadata: { threadId: 'thread', resourceId: 'u-1' },
    })
    await span('started', 'a', 'mcp_tool_call', { entityId: 'look', input: { at: 1 } })
    await span('ended', 'a', 'mcp_tool_call', { entityId: 'look', errorInfo: { message: 'no', name: 'RangeError' } })
    await span('ended', 'b', 'model_chunk', { attributes: { chunkType: 'tool-call-approval' }, output: call })
    await span('ended', 'r', 'agent_run', { output: { status: 'suspended' } })
    expect(await lines()).toEqual([
      'run.start pending',
      'tool.start pending',
      'tool.error failure',
      'approval.requested pending',
      'run.end pending',
    ])
    expect(sink.events[1]).toMatchObject({ session: 'thread', actor: { id: 'clerk', on_behalf_of: 'u-1' } })
    expect(sink.events[2]!.error!.type).toBe('RangeError')
    expect(sink.events[3]!.call).toBe('c1')
  })

  it('says what a model was asked, and does so where nobody tells', async () => {
    await span('started', 'r', 'workflow_run')
    await span('started', 'm1', 'model_inference', { parentSpanId: 's1', attributes: { model: 'm' } })
    await span('updated', 's1', 'model_step', { input: ['hello'] })
    await span('updated', 's1', 'model_step', { input: ['hello'] })
    await span('ended', 'm1', 'model_inference', { parentSpanId: 's1', attributes: { model: 'm' }, output: 'hi' })
    await span('started', 'm2', 'model_inference', { parentSpanId: 's2' })
    await span('ended', 'm2', 'model_inference', { parentSpanId: 's2', errorInfo: { message: 'gone' } })
    await span('ended', 'r', 'workflow_run', { output: { status: 'aborted', reason: 'abort' } })
    expect(await lines()).toEqual([
      'run.start pending',
      'llm.request pending',
      'llm.response success',
      'llm.request pending',
      'llm.error failure',
      'run.abort failure',
    ])
    expect(sink.events[1]!.parts!.input).toEqual({ value: ['hello'] })
  })

  it('takes spans of nobody, twice, and with nothing in them', async () => {
    await audit.exporter.exportTracingEvent(null)
    await audit.exporter.onTracingEvent({ type: 'span_ended', exportedSpan: null })
    await span('ended', 'x', 'tool_call')
    expect(await lines()).toEqual([])
    await span('started', 'r', 'agent_run')
    await span('started', 'r', 'agent_run')
    await span('ended', 'x', 'tool_call', { attributes: null })
    await span('ended', 'r', 'agent_run')
    await span('ended', 'r', 'agent_run')
    expect(await lines()).toEqual(['run.start pending', 'tool.end success', 'run.end success'])
  })

  it('records a wrapped tool that is called outside of any agent, and leaves those alone that run elsewhere', async () => {
    const elsewhere = { id: 'remote' }
    const { pay, remote } = audit.tools({ pay: { id: 'pay', execute: async (_: object) => 'paid' }, remote: elsewhere })
    expect(remote).toBe(elsewhere)
    expect(await pay.execute({ amount: 3 })).toBe('paid')
    expect(await lines()).toEqual(['run.start pending', 'tool.start pending', 'tool.end success', 'run.end success'])
  })
})
