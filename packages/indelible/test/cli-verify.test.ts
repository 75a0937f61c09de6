import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Sandbox, someEvents } from './cli/kit.ts'

interface Report {
  readonly verdict: string
  readonly size: number
  readonly ranges: readonly { start: number; end: number; state: string }[]
  readonly findings: readonly { code: string; index?: number }[]
  readonly not_checked: readonly string[]
}

async function verify(box: Sandbox, ...args: string[]): Promise<Report & { code: number | null }> {
  const { code, stdout, stderr } = await box.indelible(['verify', '--json', ...args])
  if (!stdout.startsWith('{"verdict"')) throw new Error(`${code} ${stdout} ${stderr}`)
  return { code, ...JSON.parse(stdout) }
}

describe.concurrent('indelible verify', () => {
  it('names the entry of which one byte was changed', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(20)
    box.tamper(
      `UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), 'call-9', 'call-8') AS BLOB) WHERE idx = 10`,
    )
    const report = await verify(box)
    expect(report).toMatchObject({ code: 1, verdict: 'failed' })
    expect(report.findings).toContainEqual(expect.objectContaining({ code: 'entry_altered', index: 10 }))
    const { code, stdout } = await box.indelible(['verify'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^failed: indelible\.invalid\/[0-9a-f]+, \d+ findings?\n/)
    expect(stdout).toMatch(/^next\n {2}write nothing more to this log/m)
    expect(stdout).toMatch(/^ {2}entry_altered at 10: /m)
  })

  it.for([
    ['an entry deleted', 'DELETE FROM entries WHERE idx = 5', 'entry_missing'],
    [
      'a disclosure altered',
      `UPDATE payloads SET disclosure = replace(disclosure, 'null', 'true') WHERE idx = 5`,
      'disclosure_altered',
    ],
    ['a mac altered', `UPDATE entries SET mac = zeroblob(32) WHERE idx = 20`, 'mac_head_mismatch'],
  ] as const)('finds %s', async ([, sql, finding], test) => {
    const box = new Sandbox(test)
    await box.makeLog(20)
    box.tamper(sql)
    const { code, findings } = await verify(box)
    expect(code).toBe(1)
    expect(findings.map((one) => one.code)).toContain(finding)
  })

  it('notices a log that was rolled back as a whole, and one that is gone', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(3)
    cpSync(box.home, box.path('backup'), { recursive: true })
    await box.indelible(['record'], { input: someEvents(3) })
    expect((await verify(box)).code).toBe(0)
    rmSync(box.home, { recursive: true })
    renameSync(box.path('backup'), box.home)
    const report = await verify(box)
    expect(report.code).toBe(1)
    expect(report.findings.map(({ code }) => code)).toContain('rolled_back')
    expect((await verify(box, '--no-pin')).code).toBe(0)

    for (const path of [join(box.home, 'log.db'), box.home]) {
      rmSync(path, { recursive: true })
      const gone = await verify(box)
      expect(gone.code).toBe(1)
      expect(gone.findings.map(({ code }) => code)).toContain('log_missing')
    }
  })

  it('is not taken in by another log in the place of the one that it knows', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(3, ['--origin', 'example.com/a'])
    rmSync(box.home, { recursive: true })
    await box.indelible(['init', '--origin', 'example.com/b'], { env: { XDG_CONFIG_HOME: box.path('attacker') } })
    expect((await verify(box)).code).toBe(1)
  })

  it('checks the HMAC chain with the mac key, and does not take a wrong key for tampering', async (test) => {
    const box = new Sandbox(test)
    const { mac_key: key } = await box.makeLog(3, ['--origin', 'example.com/a'])
    const other = new Sandbox(test)
    const { mac_key: otherKey } = await other.makeLog(0, ['--origin', 'example.com/a'])
    const { mac_key: foreignKey } = await other.makeLog(0, ['--home', 'second', '--origin', 'example.com/b'])
    const file = (name: string, text: string) => {
      writeFileSync(join(box.work, name), `${text}\n`)
      return name
    }
    const report = await verify(box, '--mac-key', file('mac.key', key!))
    expect(report.code).toBe(0)
    expect(report.not_checked.join()).not.toContain('HMAC')
    for (const wrong of [otherKey!, foreignKey!]) {
      const { code, stdout } = await box.indelible(['verify', '--json', '--mac-key', file('wrong.key', wrong)])
      expect(code).toBe(3)
      expect(JSON.parse(stdout).error.code).toBe('ERR_KEY_MISMATCH')
      expect(stdout).not.toContain(wrong)
    }
    // As a password manager would hand it over.
    const piped = await box.run('bash', ['-c', `indelible verify --mac-key <(cat mac.key)`])
    expect(piped.code).toBe(0)
  })

  it('trusts the keys of a file, or the log lines of a policy, and no others', async (test) => {
    const box = new Sandbox(test)
    const { vkey } = await box.makeLog(3, ['--origin', 'example.com/a'])
    const other = new Sandbox(test)
    const { vkey: otherVkey } = await other.makeLog(0, ['--origin', 'example.com/a'])
    const { vkey: thirdVkey } = await other.makeLog(0, ['--home', 'third', '--origin', 'example.com/c'])
    const trust = (text: string) => {
      writeFileSync(join(box.work, 'trust'), text)
      return ['--no-pin', '--trust', 'trust']
    }
    expect((await verify(box, ...trust(`# from the operator\n${vkey}\n`))).code).toBe(0)
    expect(
      (await verify(box, ...trust(`log ${vkey}\nlog ${thirdVkey} https://example.com/c\nquorum none\n`))).code,
    ).toBe(0)
    const wrong = await verify(box, ...trust(`${otherVkey}\n`))
    expect(wrong.code).toBe(1)
    expect(wrong.findings.map(({ code }) => code)).toContain('checkpoint_unverified')
    expect((await verify(box, ...trust(`${thirdVkey}\n`))).code).toBe(1)
    const witness = 'example.com/w+00000000+AAAA'
    for (const [text, exit] of [
      ['', 3],
      ['neither key nor policy\n', 3],
      [`${vkey}\n${thirdVkey}\n`, 3],
      [`log ${vkey}\n`, 2],
      [`log ${thirdVkey}\nlog ${vkey}\nwitness w ${witness}\nquorum w\n`, 2],
    ] as const) {
      expect((await box.indelible(['verify', ...trust(text)])).code).toBe(exit)
    }
  })

  it('checks a range, and says what it left out', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(600)
    const report = await verify(box, '--from', '300', '--to', '400')
    expect(report).toMatchObject({ code: 0, verdict: 'verified' })
    expect(report.not_checked.join('\n')).toMatch(/before 300.*\n.*from 400 on/)
    const noPin = await verify(box, '--from', '300', '--to', '400', '--no-pin')
    expect(noPin).toMatchObject({ code: 0, verdict: 'verified' })
    expect(noPin.ranges).toEqual([
      { start: 0, end: 300, state: 'unchecked' },
      { start: 300, end: 400, state: 'signed' },
      { start: 400, end: 601, state: 'unchecked' },
    ])
    expect((await box.indelible(['verify', '--no-pin', '--from', '300', '--to', '400'])).stdout).toContain(
      'entries 0 to 299',
    )
  })

  it('needs no keys folder, and no right to write the log', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(3)
    rmSync(join(box.home, 'keys'), { recursive: true })
    for (const command of [['verify'], ['show', '1'], ['prove', '1'], ['checkpoint']]) {
      expect((await box.indelible(command)).code).toBe(0)
    }
  })

  it('cannot tell without a home, nor from a file that is no log', async (test) => {
    const box = new Sandbox(test)
    expect((await box.indelible(['verify'])).code).toBe(3)
    await box.makeLog(1)
    writeFileSync(join(box.home, 'log.db'), 'not a database, '.repeat(1000))
    expect((await box.indelible(['verify', '--json'])).stdout).toContain('ERR_STORE_CORRUPT')
  })
})
