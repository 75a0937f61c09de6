import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { toBase64, toBase64Url, toHex } from '../src/bytes.ts'
import { Ratchet } from '../src/chain/chain.ts'
import { IndelibleError } from '../src/errors.ts'
import { FileKeys } from '../src/keys/file-keys.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { openLog } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy } from '../src/privacy/policy.ts'
import {
  EVENT,
  expectVerified,
  nextEpoch,
  openError,
  opened,
  recordAndClose,
  recoveredIn,
  rejection,
  sizeOf,
  testHome,
  testLog,
  until,
} from './faults-kit.ts'

function* filesBelow(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else yield path
  }
}

describe('keys', () => {
  it('of another log are refused', async () => {
    const [one, two] = [await testHome(), await testHome()]
    renameSync(join(one.home, 'keys'), join(one.folder, 'aside'))
    renameSync(join(two.home, 'keys'), join(one.home, 'keys'))
    expect(await openError(one.home)).toMatchObject({ code: 'ERR_KEY_MISMATCH' })
  })

  it('of another log of the same name sign nothing', async () => {
    const origin = 'twin.example/log'
    const [one, two] = [await testHome({ origin }), await testHome({ origin })]
    await recordAndClose(one.home)
    renameSync(join(one.home, 'keys'), join(one.folder, 'aside'))
    renameSync(join(two.home, 'keys'), join(one.home, 'keys'))
    expect(await openError(one.home)).toMatchObject({ code: expect.stringMatching(/^ERR_(HEAD_FORGED|KEY_MISMATCH)$/) })
    // Only the ratchet is the other's.
    copyFileSync(join(one.folder, 'aside', 'log.skey'), join(one.home, 'keys', 'log.skey'))
    expect(await openError(one.home)).toMatchObject({ code: expect.stringMatching(/^ERR_(HEAD_FORGED|KEY_MISMATCH)$/) })
    await expectVerified(one)
  })

  it('are those that entry 0 names, or the log is not opened', async () => {
    const made = await testLog()
    const keys = new MemoryKeys(made.keys.origin, {
      clock: { ...made.keys.clock, seconds: 1800 },
      firstKey: made.keys.firstKey,
    })
    keys.signer = made.keys.signer
    keys.trusted = made.keys.trusted
    const privacy = new PrivacyPolicy(DEFAULT_PRIVACY, keys.origin, keys.fingerprint)
    expect(await rejection(Log.open({ store: made.store, keys, privacy }))).toMatchObject({ code: 'ERR_KEY_MISMATCH' })
  })

  it('that are damaged are named, and not quoted', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    // What is left of a rotation that was interrupted.
    await new FileKeys(join(made.home, 'keys')).prepareRotation('01890000-0000-7000-8000-000000000000')
    await log.close()
    const folder = join(made.home, 'keys')
    const secrets = ['log.skey', 'ids.key', 'fingerprint.key', 'subjects.key', 'state.json', 'next.json'].flatMap(
      (name) => readFileSync(join(folder, name), 'utf8').match(/[A-Za-z0-9+/]{40,}=?/g)!,
    )
    const damages: [string, (text: string) => string][] = [
      ['half', (text) => text.slice(0, text.length / 2)],
      ['empty', () => ''],
      ['no JSON', (text) => `x${text}`],
      ['a byte more', (text) => `${text.trim()}A`],
      [
        'another letter',
        (text) => text.replace(/([A-Za-z0-9+/]{20})([A-Za-z0-9+/]{22}=|[A-Za-z0-9+/]{19,}$)/m, '$1*$2'),
      ],
    ]
    for (const name of ['state.json', 'log.skey', 'ids.key', 'fingerprint.key', 'subjects.key', 'next.json']) {
      const path = join(folder, name)
      const whole = readFileSync(path, 'utf8')
      for (const [kind, damage] of damages) {
        // The key of a rotation that the log does not have is never read.
        if (name === 'next.json' && kind === 'another letter') continue
        writeFileSync(path, damage(whole))
        const error = await rejection(
          openLog({ home: made.home }).then(async (log) => {
            await log.rotateKey()
          }),
        )
        expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_KEY_(INVALID|MISMATCH)$/) })
        const shown = inspect(error, { depth: 10, showHidden: true })
        for (const secret of secrets) expect(shown).not.toContain(secret.slice(-24, -8))
      }
      writeFileSync(path, whole)
    }
    for (const name of ['state.json', 'log.skey', 'ids.key', 'fingerprint.key', 'subjects.key']) {
      renameSync(join(folder, name), join(made.folder, name))
      expect(await openError(made.home)).toMatchObject({ code: 'ERR_HOME_NOT_FOUND' })
      renameSync(join(made.folder, name), join(folder, name))
    }
    await recordAndClose(made.home)
  })

  it('that others may read are refused', async () => {
    const made = await testHome()
    const folder = join(made.home, 'keys')
    for (const name of ['.', 'state.json', 'log.skey', 'ids.key', 'fingerprint.key']) {
      const path = join(folder, name)
      const { mode } = statSync(path)
      for (const loose of [0o040, 0o004, 0o020]) {
        chmodSync(path, mode | loose)
        expect(await openError(made.home)).toMatchObject({ code: 'ERR_KEY_PERMISSIONS' })
      }
      chmodSync(path, mode)
    }
    await recordAndClose(made.home)
    for (const path of filesBelow(folder)) expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
  })

  it('of epochs that were sealed are in no file of the home', async () => {
    const made = await testHome({ epochSeconds: 1 })
    const log = await opened(made.home)
    const idle = await opened(made.home)
    await log.record(EVENT)
    for (let n = 0; n < 2; n++) {
      await nextEpoch(made)
      await log.record(EVENT)
    }
    const epoch = Number((await log.read((await sizeOf(log)) - 1)).record.audit?.first_epoch ?? 1)
    await log.flush()
    const ratchet = new Ratchet(0, made.macKey.key)
    const gone: Uint8Array[] = []
    for (; ratchet.epoch < Math.max(epoch, 2); ratchet.advance(ratchet.epoch + 1)) gone.push(ratchet.key)
    const search = () => {
      const found: string[] = []
      for (const path of filesBelow(made.home)) {
        const bytes = readFileSync(path)
        const text = bytes.toString('latin1')
        for (const [i, key] of gone.entries()) {
          const forms = [toBase64(key).slice(0, 42), toBase64Url(key).slice(0, 42), toHex(key)]
          if (bytes.includes(Buffer.from(key)) || forms.some((form) => text.includes(form)))
            found.push(`K_${i} in ${path}`)
        }
      }
      return found
    }
    // The batch is acknowledged before the old key is replaced.
    await until(() => search().length === 0, 'old keys are gone')
    await Promise.all([log.close(), idle.close()])
    expect(search()).toEqual([])
    await expectVerified(made)
  })

  it('are erased the next time if it could not be done at once', async () => {
    const made = await testHome()
    const keys = new FileKeys(join(made.home, 'keys'))
    const state = join(made.home, 'keys', 'state.json')
    renameSync(state, join(made.folder, 'state.json'))
    const ratchet = keys.ratchet()
    ratchet.advance(1)
    await rejection(keys.erase(ratchet))
    renameSync(join(made.folder, 'state.json'), state)
    expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ epoch: 0 })
    await keys.erase(ratchet)
    expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ epoch: 1, key: toBase64(ratchet.key) })
  })

  it('that cannot be saved are worth one entry, not one for each batch', async () => {
    const made = await testLog()
    const erase = made.keys.erase.bind(made.keys)
    made.keys.erase = () => Promise.reject(new IndelibleError('ERR_STORE_FULL', 'made up'))
    for (let n = 0; n < 3; n++) await made.log.record(EVENT)
    await made.log.flush()
    expect(await recoveredIn(made.log)).toEqual(['keys_not_saved'])
    made.keys.erase = erase
    await made.log.record(EVENT)
    await made.verify()
  })

  it('of a writer that was idle during two rotations are renewed', async () => {
    const made = await testHome()
    const [busy, idle] = [await opened(made.home), await opened(made.home)]
    // The file of the second may get the inode of the first.
    for (let n = 0; n < 4; n++) await busy.rotateKey()
    const { index } = await busy.record(EVENT)
    expect((await idle.prove(index)).index).toBe(index)
    await idle.record(EVENT)
    await Promise.all([busy.close(), idle.close()])
    await expectVerified(made)
  })

  it('are rotated by several at once, one after the other', async () => {
    const made = await testHome()
    const logs = await Promise.all([1, 2, 3].map(() => opened(made.home)))
    const vkeys = await Promise.all([...logs, ...logs].map((log) => log.rotateKey()))
    expect(new Set(vkeys).size).toBe(6)
    await Promise.all(logs.map((log) => log.record(EVENT)))
    await Promise.all(logs.map((log) => log.close()))
    const report = await expectVerified(made)
    expect(vkeys).toContain(report.key)
    expect(existsSync(join(made.home, 'keys', 'next.json'))).toBe(false)
  })
})
