import { once } from 'node:events'
import { describe, expect, it, type TestContext } from 'vitest'
import { jsonLines, outcome, Sandbox } from './cli/kit.ts'
import { request, SERVER } from './mcp-kit.ts'

async function sandbox(context: TestContext): Promise<Sandbox> {
  const box = new Sandbox(context)
  await box.makeLog()
  return box
}

const command = ['--', process.execPath, SERVER]
const lines = (...messages: readonly object[]) => messages.map((message) => `${JSON.stringify(message)}\n`).join('')

interface Entry {
  readonly type: string
  readonly outcome: string
  readonly tool?: { readonly name: string }
}

async function entries(box: Sandbox): Promise<string[]> {
  const { stdout } = await box.indelible(['list', '--json'])
  return jsonLines<{ entry?: Entry }>(stdout)
    .flatMap(({ entry }) => entry ?? [])
    .filter(({ type }) => !type.startsWith('audit.'))
    .map(({ type, tool, outcome: how }) => [type, tool?.name, how].filter(Boolean).join(' '))
}

describe.concurrent('indelible mcp-proxy', () => {
  it('stands before a server as if it were that, and records what goes by', async (context) => {
    const box = await sandbox(context)
    const input = lines(request(1, 'echo', { text: 'a' }), request(2, 'fail'))
    const { code, stdout, stderr } = await box.indelible(['mcp-proxy', '--agent', 'desk', ...command], { input })
    expect(code).toBe(0)
    expect(stderr).toBe('server is up\n')
    expect(jsonLines<{ id: number }>(stdout).map(({ id }) => id)).toEqual([1, 2])
    expect((await entries(box)).toSorted()).toEqual(
      [
        'run.start pending',
        'tool.start echo pending',
        'tool.end echo success',
        'tool.start fail pending',
        'tool.error fail failure',
        'run.end success',
      ].toSorted(),
    )
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('refuses by --deny and --allow', async (context) => {
    const box = await sandbox(context)
    const input = lines(request(1, 'echo', { text: 'a' }), request(2, 'slow', { text: 'b' }), request(3, 'fail'))
    const flags = ['--deny', 's*w', '--allow', 'ech*', '--allow', 'slow']
    const { stdout } = await box.indelible(['mcp-proxy', ...flags, ...command], { input })
    const answers = jsonLines<{ id: number; error?: { data: { code: string } } }>(stdout)
    const byId = Object.fromEntries(answers.map(({ id, error }) => [id, error?.data.code ?? 'ok']))
    expect(byId).toEqual({ 1: 'ok', 2: 'ERR_ACTION_DENIED', 3: 'ERR_ACTION_DENIED' })
    expect((await entries(box)).filter((line) => line.endsWith('denied'))).toHaveLength(2)
  })

  it('ends with the code of the server', async (context) => {
    const box = await sandbox(context)
    const { code } = await box.indelible(['mcp-proxy', ...command], { input: lines(request(1, 'crash')) })
    expect(code).toBe(7)
    expect((await entries(box)).toSorted()).toContain('run.error failure')
  })

  it('ends by the signal that ended the server', async (context) => {
    const box = await sandbox(context)
    const { code, signal } = await box.indelible(['mcp-proxy', ...command], { input: lines(request(1, 'die')) })
    expect({ code, signal }).toEqual({ code: null, signal: 'SIGKILL' })
    expect(await entries(box)).toContain('run.error failure')
  })

  it('hands signals on', async (context) => {
    const box = await sandbox(context)
    const child = box.start(['mcp-proxy', ...command])
    const ended = outcome(child)
    child.stdin!.write(lines(request(1, 'echo', { text: 'a' })))
    await once(child.stdout!, 'data')
    child.kill('SIGTERM')
    // The test server ends with 9 on SIGTERM.
    expect(await ended).toMatchObject({ code: 9, signal: null })
    expect(await entries(box)).toContain('run.end success')
  })

  it('leaves a run that shows as incomplete when it is killed itself, with all that was acknowledged', async (context) => {
    const box = await sandbox(context)
    const child = box.start(['mcp-proxy', '--on-failure', 'block', ...command])
    const ended = outcome(child)
    child.stdin!.write(lines(request(1, 'echo', { text: 'a' })))
    await once(child.stdout!, 'data')
    child.kill('SIGKILL')
    await ended
    expect((await entries(box)).toSorted()).toEqual(
      ['run.start pending', 'tool.start echo pending', 'tool.end echo success'].toSorted(),
    )
  })

  it('says what is missing', async (context) => {
    const box = await sandbox(context)
    expect((await box.indelible(['mcp-proxy'])).code).toBe(2)
    expect((await box.indelible(['mcp-proxy', '--on-failure', 'maybe', ...command])).code).toBe(2)
    const { code, stderr } = await box.indelible(['mcp-proxy', '--', '/no/such/server'])
    expect(code).toBe(3)
    expect(stderr).toContain('ENOENT')
    expect((await box.indelible(['--home', 'elsewhere', 'mcp-proxy', ...command])).code).toBe(3)
  })
})
