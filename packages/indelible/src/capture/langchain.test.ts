import { beforeEach, describe, expect, it } from 'vitest'
import { KeptSink } from '../../test/kept-sink.ts'
import { type LangChainHandler, recordLangChain } from './langchain.ts'
import { Recorder } from './recorder.ts'

describe('recordLangChain', () => {
  let sink: KeptSink
  let recorder: Recorder
  let handler: LangChainHandler
  beforeEach(() => {
    sink = new KeptSink()
    recorder = new Recorder(sink)
    handler = recordLangChain({ recorder, version: '1.2.13' })
  })

  async function types(): Promise<string[]> {
    await recorder.flush()
    return sink.events.map(({ type, outcome }) => `${type} ${outcome}`)
  }

  it('takes ends that never began, and hooks with nothing in them', async () => {
    handler.handleChainEnd({}, 'nobody')
    handler.handleToolEnd(undefined, 'nobody')
    handler.handleToolError(null, 'nobody')
    handler.handleLLMEnd(null, 'nobody')
    handler.handleLLMError(undefined, 'nobody')
    handler.handleChainError(undefined, 'nobody')
    expect(await types()).toEqual([])
    handler.handleChainStart(null, null, 'root')
    await handler.handleChatModelStart(null, null, 'llm', 'root')
    handler.handleLLMEnd({ generations: 'none' }, 'llm')
    await handler.handleToolStart(null, '{not json', 'tool', 'root')
    handler.handleToolEnd({ toString: null }, 'tool')
    handler.handleToolEnd('a second time', 'tool')
    handler.handleChainEnd(null, 'root')
    expect(await types()).toEqual([
      'run.start pending',
      'llm.request pending',
      'llm.response success',
      'tool.start pending',
      'tool.end success',
      'run.end success',
    ])
  })

  it('makes a run of a model or a tool that is called by itself', async () => {
    await handler.handleLLMStart(null, ['hello'], 'llm')
    handler.handleLLMError(new RangeError('no'), 'llm')
    await handler.handleToolStart({}, '{}', 'tool', undefined, [], {}, 'look')
    handler.handleToolEnd('found', 'tool')
    expect(await types()).toEqual([
      'run.start pending',
      'llm.request pending',
      'llm.error failure',
      'run.error failure',
      'run.start pending',
      'tool.start pending',
      'tool.end success',
      'run.end success',
    ])
  })

  it('records an interrupt once, however many graphs it goes through, and an answer that is no yes as a no', async () => {
    const request = { actionRequests: [{ name: 'pay', args: { amount: 3 } }] }
    const interrupt = Object.assign(new Error('stop'), {
      name: 'GraphInterrupt',
      interrupts: [{ id: 'i1', value: request }],
    })
    handler.handleChainStart(null, {}, 'root', undefined, [], { thread_id: 't' })
    handler.handleChainStart(null, {}, 'node', 'root')
    handler.handleChainError(interrupt, 'node')
    handler.handleChainError(interrupt, 'root')
    handler.handleChainStart(null, { resume: { decisions: [{ type: 'perhaps' }] } }, 'again', undefined, [], {
      thread_id: 't',
    })
    handler.handleChainEnd({}, 'again')
    expect(await types()).toEqual([
      'run.start pending',
      'approval.requested pending',
      'run.end pending',
      'run.start pending',
      'approval.decided rejected',
      'run.end success',
    ])
    expect(sink.events[4]?.actor?.id).toBe('unknown')
  })

  it('says so where it does not know the version', () => {
    for (const version of ['0.3.72', '2.0.0', 'latest']) {
      expect(() => recordLangChain({ recorder, version })).toThrow(
        expect.objectContaining({ code: 'ERR_CAPTURE_UNSUPPORTED' }),
      )
    }
    // Here it is not installed.
    expect(() => recordLangChain({ recorder })).toThrow(expect.objectContaining({ code: 'ERR_CAPTURE_UNSUPPORTED' }))
  })
})
