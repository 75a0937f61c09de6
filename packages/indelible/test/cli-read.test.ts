import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Sandbox } from './cli/kit.ts'

describe.concurrent('indelible check', () => {
  it('refuses whatever is not that proof, that entry and that key', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(9)
    const stranger = box.path('stranger')
    mkdirSync(stranger)
    const { vkey } = JSON.parse(
      (await box.indelible(['prove', '4', '--json', '--out', '../stranger/p', '--entry-out', '../stranger/e'])).stdout,
    )
    await box.indelible(['prove', '5', '--out', '../stranger/p5', '--entry-out', '../stranger/e5'])
    copyFileSync(join(box.home, 'log.vkey'), join(stranger, 'v'))
    expect(readdirSync(stranger).toSorted()).toEqual(['e', 'e5', 'p', 'p5', 'v'])
    const check = async (proof: string, entry: string, key: string) => {
      const { code, stdout } = await box.indelible(['check', proof, '--json', '--entry', entry, '--vkey', key], {
        cwd: stranger,
      })
      const { verdict, index, error } = JSON.parse(stdout)
      return { code, said: verdict ?? error.code, ...(index !== undefined && { index }) }
    }
    expect(await check('p', 'e', 'v')).toEqual({ code: 0, said: 'verified', index: 4 })
    expect(await check('p', 'e', vkey)).toEqual({ code: 0, said: 'verified', index: 4 })
    expect(existsSync(box.path('config/indelible/pins'))).toBe(true)
    expect(await check('p', 'e5', 'v')).toEqual({ code: 1, said: 'ERR_PROOF_INVALID' })
    expect(await check('p5', 'e', 'v')).toEqual({ code: 1, said: 'ERR_PROOF_INVALID' })

    const proof = readFileSync(join(stranger, 'p'), 'utf8')
    const alter = (text: string) => {
      writeFileSync(join(stranger, 'altered'), text)
      return check('altered', 'e', 'v')
    }
    expect(await alter(proof.replace('index 4', 'index 6'))).toEqual({ code: 1, said: 'ERR_PROOF_INVALID' })
    expect(await alter(proof.replace(/^— .*\n/m, ''))).toMatchObject({ code: 1 })
    expect(await alter(proof.replace(/(?<=^— \S+ .{20})./m, (c) => (c === 'A' ? 'B' : 'A')))).toEqual({
      code: 1,
      said: 'ERR_NOTE_INVALID',
    })
    expect(await alter(`${proof}\n`)).toMatchObject({ code: 1 })
    expect(await alter('')).toEqual({ code: 1, said: 'ERR_PROOF_INVALID' })

    const other = new Sandbox(test)
    await other.makeLog()
    expect(await check('p', 'e', join(other.home, 'log.vkey'))).toEqual({ code: 3, said: 'ERR_NOTE_UNVERIFIED' })
    expect(await check('p', 'e', 'p')).toEqual({ code: 3, said: 'ERR_KEY_INVALID' })
    expect(await check('p', '/dev/zero', 'v')).toEqual({ code: 1, said: 'ERR_ENTRY_INVALID' })
    expect(await check('/dev/zero', 'e', 'v')).toEqual({ code: 1, said: 'ERR_PROOF_INVALID' })
  })
})

describe.concurrent('indelible prove', () => {
  it('gives out nothing that it has not checked', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(9)
    box.tamper('UPDATE entries SET entry = (SELECT entry FROM entries WHERE idx = 3) WHERE idx = 4')
    const refused = await box.indelible(['prove', '4'])
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('ERR_PROOF_INVALID') })
    expect(readdirSync(box.work)).toEqual(['.indelible'])
    box.tamper('DELETE FROM entries WHERE idx = 4')
    for (const command of ['prove', 'show']) {
      const missing = await box.indelible([command, '4'])
      expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('entry 4 is missing') })
    }
  })
})

describe.concurrent('indelible show', () => {
  it('prints the record verbatim and what is disclosed, as JSON', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(2)
    const { stdout } = await box.indelible(['show', '1', '--json'])
    const { entry, parts, index } = JSON.parse(stdout)
    expect(index).toBe(1)
    expect(entry).toMatchObject({ type: 'tool.end', assurance: 'reported', call: 'call-0' })
    expect(parts.output).toMatchObject({ state: 'disclosed', mode: 'fingerprint', value: null, meta: { bytes: 10 } })
    await box.indelible(['prove', '1'])
    expect(stdout).toContain(`"entry":${readFileSync(join(box.work, 'entry-1.json'), 'utf8')},`)
  })

  it('says which parts are gone and which are not what the entry commits to', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(2)
    box.tamper(
      `DELETE FROM payloads WHERE idx = 1; UPDATE payloads SET disclosure = replace(disclosure, 'null', 'true')`,
    )
    const gone = await box.indelible(['show', '1'])
    expect(gone).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('not here, and no audit.erased entry says that it was erased'),
    })
    const altered = await box.indelible(['show', '2'])
    expect(altered).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('altered: it is not what the entry commits to'),
    })
  })
})
