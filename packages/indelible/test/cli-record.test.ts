import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { jsonLines, outcome, Sandbox, someEvent, someEvents } from './cli/kit.ts'

interface Receipt {
  readonly index: number
  readonly id: string
  readonly duplicate?: boolean
}

const line = (event: unknown) => `${JSON.stringify(event)}\n`
const idOf = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`

describe.concurrent('indelible record', () => {
  it('prints one receipt a line, in the order of the events', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const input = Array.from({ length: 3000 }, (_, i) => line({ ...someEvent(i), id: idOf(i) })).join('')
    const { code, stdout } = await box.indelible(['record'], { input })
    expect(code).toBe(0)
    const receipts = jsonLines<Receipt>(stdout)
    expect(receipts.map(({ id }) => id)).toEqual(Array.from({ length: 3000 }, (_, i) => idOf(i)))
    expect(receipts.map(({ index }) => index)).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1))
    const again = jsonLines<Receipt>((await box.indelible(['record'], { input })).stdout)
    expect(again.map(({ index }) => index)).toEqual(receipts.map(({ index }) => index))
    expect(again.every(({ duplicate }) => duplicate)).toBe(true)
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('answers while its input is still open', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const child = box.start(['record'])
    const done = outcome(child)
    child.stdin!.write(someEvents(1))
    const [first] = await new Promise<Receipt[]>((resolve) => {
      child.stdout!.once('data', (chunk) => resolve(jsonLines<Receipt>(String(chunk))))
    })
    expect(first!.index).toBe(1)
    child.stdin!.end(someEvents(1))
    expect(jsonLines<Receipt>((await done).stdout).map(({ index }) => index)).toEqual([1, 2])
  })

  it('takes blank lines, carriage returns, a byte order mark, a last line without an end', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const input = `\ufeff${JSON.stringify(someEvent(0))}\r\n\r\n  \n${JSON.stringify(someEvent(1))}`
    const { code, stdout } = await box.indelible(['record'], { input })
    expect(code).toBe(0)
    expect(jsonLines(stdout)).toHaveLength(2)
  })

  const SECRET = 'jane.doe@example.com'
  const MALFORMED = [
    // no JSON; no object; a duplicate key; an integer that a double rounds
    [`{"type": ${SECRET}`, 'ERR_JSON_INVALID'],
    [`"${SECRET}"`, 'ERR_EVENT_INVALID'],
    [`{"type":"tool.end","type":"${SECRET}"}`, 'ERR_JSON_INVALID'],
    ['{"parts":{"x":{"value":9007199254740993}}}', 'ERR_JSON_INVALID'],
    // an unknown member; an unknown type; an entry of the log itself; more assurance than this channel has
    [JSON.stringify({ ...someEvent(0), [SECRET]: 1 }), 'ERR_EVENT_INVALID'],
    [JSON.stringify({ ...someEvent(0), type: SECRET }), 'ERR_EVENT_INVALID'],
    [JSON.stringify({ ...someEvent(0), type: 'audit.erased' }), 'ERR_EVENT_INVALID'],
    [JSON.stringify({ ...someEvent(0), assurance: 'enforced' }), 'ERR_EVENT_INVALID'],
    // an id that names another event
    [JSON.stringify({ ...someEvent(7), id: idOf(0) }), 'ERR_ID_CONFLICT'],
  ] as const

  it('stops at a malformed line: what is before it stays, what is after it is not there', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    for (const [i, [bad, code]] of MALFORMED.entries()) {
      const input = `${line({ ...someEvent(0), id: idOf(0) })}\n${line(someEvent(1))}${bad}\n${someEvents(200)}`
      const refused = await box.indelible(['record', '--json'], { input })
      expect(refused.code).toBe(1)
      const [, second, last] = jsonLines<Receipt & { error?: { code: string; line: number; message: string } }>(
        refused.stdout,
      )
      expect(second!.index).toBe(i + 2)
      expect(last!.error).toMatchObject({ code, line: 4, message: expect.stringMatching(/^line 4: /) })
      expect(refused.stdout + refused.stderr).not.toContain(SECRET)
    }
    const report = JSON.parse((await box.indelible(['verify', '--json'])).stdout)
    expect(report).toMatchObject({ verdict: 'verified', size: MALFORMED.length + 2 })
  })

  it('refuses bytes that are not UTF-8, and a line without end', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const broken = await box.indelible(['record'], { input: Buffer.from([0x22, 0xff, 0x22, 0x0a]) })
    expect(broken).toMatchObject({ code: 1, stderr: 'error: line 1: not UTF-8 (ERR_JSON_INVALID)\n' })
    const endless = await box.run('bash', ['-c', 'indelible record < <(head -c 40000000 /dev/zero)'])
    expect(endless).toMatchObject({
      code: 1,
      stderr: 'error: line 1: longer than 16777216 bytes (ERR_JSON_INVALID)\n',
    })
  })

  it('records what agents put into parts and attributes, whatever it is, and shows it harmlessly', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    writeFileSync(
      join(box.home, 'config.json'),
      JSON.stringify({
        log: { origin: JSON.parse((await box.indelible(['keys', 'show', '--json'])).stdout).origin },
        privacy: { mode: 'full' },
      }),
    )
    const hostile = '\u001b[2J\u009b31m\u202egnp.exe\r\n\u0000</script>"}'
    const event = `{"type":"tool.error","actor":{"type":"agent","id":${JSON.stringify(hostile)}},"outcome":"failure",
      "tool":{"name":${JSON.stringify(hostile.repeat(50))}},"error":{"type":"","message":${JSON.stringify(hostile)}},
      "attributes":{"__proto__":{"polluted":true},"a":"b","${'k'.repeat(300)}":1},
      "parts":{"output":{"value":{"__proto__":1,"constructor":2,"10":3,"deep":${'['.repeat(50)}${']'.repeat(50)}}}}}`
    const { code, stdout, stderr } = await box.indelible(['record'], { input: event.replaceAll('\n', ' ') })
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const receipts = jsonLines(stdout) as { index: number }[]
    expect(receipts).toHaveLength(1)
    // The change of configuration is an entry of its own.
    const index = String(receipts[0]!.index)
    const shown = await box.indelible(['show', index])
    expect(shown.code).toBe(0)
    expect(shown.stdout).toContain('\\u{1b}[2J\\u{9b}31m\\u{202e}gnp.exe\\r\\n\\u{0}')
    expect(shown.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
    expect(JSON.parse((await box.indelible(['show', '--json', index])).stdout).entry.tool.name).toBe('[moved to part]')
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('keeps its memory bounded however much comes', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const command = `node -e '
      const line = JSON.stringify(${JSON.stringify({ ...someEvent(0), parts: { output: { value: 'x'.repeat(20_000) } } })}) + "\\n"
      let left = 3500
      const more = () => { while (left-- > 0) if (!process.stdout.write(line)) return process.stdout.once("drain", more) }
      more()' | NODE_OPTIONS=--max-old-space-size=48 indelible record | wc -l`
    const path = `${join(process.execPath, '..')}:${box.env().PATH}`
    const { stdout, stderr } = await box.run('bash', ['-c', `set -o pipefail; ${command}`], { env: { PATH: path } })
    expect(stderr).toBe('')
    expect(stdout.trim()).toBe('3500')
  })

  it('stops at Ctrl-C with everything that it acknowledged, and leaves the log closed', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const child = box.start(['record'])
    const done = outcome(child)
    child.stdin!.on('error', () => {})
    child.stdin!.write(someEvents(50))
    await new Promise((resolve) => child.stdout!.once('data', resolve))
    child.kill('SIGINT')
    const { code, stdout, stderr } = await done
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' })
    const after = jsonLines<Receipt>((await box.indelible(['record'], { input: someEvents(1) })).stdout)
    // One entry more, so nothing was found that told of a writer killed.
    expect(after[0]!.index).toBe(jsonLines(stdout).length + 1)
  })

  it('ends quietly when nobody reads the receipts', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    writeFileSync(join(box.work, 'events'), someEvents(20_000))
    const { stdout, stderr } = await box.run('bash', [
      '-c',
      'indelible record < events | head -n 1; echo "$PIPESTATUS"',
    ])
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^\{.*\}\n141\n$/)
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('fails where the database is gone, and records nothing', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    rmSync(join(box.home, 'log.db'))
    const { code, stderr } = await box.indelible(['record'], { input: someEvents(1) })
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('ERR_STORE_MISSING') })
  })

  it('refuses a copied home until it is told to adopt it', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(1)
    await box.run('cp', ['-r', '.indelible', 'copy'])
    const refused = await box.indelible(['--home', 'copy', 'record'], { input: someEvents(1) })
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('ERR_HOME_COPIED') })
    expect((await box.indelible(['--home', 'copy', 'record', '--adopt'], { input: someEvents(1) })).code).toBe(0)
    expect((await box.indelible(['--home', 'copy', 'record'], { input: someEvents(1) })).code).toBe(0)
  })

  it('waits a little, at a terminal, and says for what', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const script = await box.run('sh', ['-c', 'command -v script'])
    test.skip(script.code !== 0, 'no script(1) here')
    const child = box.run('script', ['-qec', 'indelible record', '/dev/null'])
    await sleep(0)
    expect((await child).stdout).toContain('waiting for events on stdin')
  })
})
