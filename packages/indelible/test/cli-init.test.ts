import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { findProgram, outcome, Sandbox } from './cli/kit.ts'

const openssl = findProgram('/usr/bin/openssl', '/bin/openssl', '/opt/homebrew/bin/openssl')

/** Writes a fresh RSA key pair to private.pem and public.pem. */
function makeRecipient({ work }: Sandbox, modulusLength: number): void {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength })
  writeFileSync(join(work, 'private.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }))
  writeFileSync(join(work, 'public.pem'), publicKey.export({ format: 'pem', type: 'spki' }))
}

describe.concurrent('indelible init', () => {
  it('answers in JSON and leaves the mac verification key nowhere in the home', async (test) => {
    const box = new Sandbox(test)
    const made = await box.makeLog(0, ['--origin', 'example.com/a'])
    expect(made).toMatchObject({ home: box.home, origin: 'example.com/a', keys_dir: join(box.home, 'keys') })
    expect(made.vkey).toMatch(/^example\.com\/a\+/)
    expect(made.mac_key).toMatch(/^INDELIBLE\+MAC\+example\.com\/a\+/)
    for (const name of readdirSync(box.home, { recursive: true, withFileTypes: true })) {
      if (name.isFile()) expect(readFileSync(join(name.parentPath, name.name), 'utf8')).not.toContain(made.mac_key)
    }
  })

  it('keeps keys from everybody else, and refuses them once they are not', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const keys = join(box.home, 'keys')
    expect(statSync(keys).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(keys)) expect(statSync(join(keys, name)).mode & 0o777).toBe(0o600)
    for (const name of ['log.skey', 'state.json', 'ids.key', '.']) {
      const path = join(keys, name)
      const mode = statSync(path).mode & 0o777
      chmodSync(path, name === '.' ? 0o755 : 0o644)
      const refused = await box.indelible(['record'])
      expect(refused).toMatchObject({ code: 3, stdout: '' })
      expect(refused.stderr).toContain('(ERR_KEY_PERMISSIONS)')
      chmodSync(path, mode)
    }
    expect((await box.indelible(['record'])).code).toBe(0)
  })

  it('puts the keys where it is told to', async (test) => {
    const box = new Sandbox(test)
    const made = await box.makeLog(2, ['--keys-dir', 'elsewhere'])
    expect(made.keys_dir).toBe(join(box.work, 'elsewhere'))
    expect(existsSync(join(box.home, 'keys'))).toBe(false)
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('makes a fips log that signs with ECDSA P-256', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(1, ['--profile', 'fips'])
    expect(JSON.parse((await box.indelible(['keys', 'show', '--json'])).stdout).algorithm).toBe('ecdsa-p256')
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('lets exactly one of several at once win', async (test) => {
    const box = new Sandbox(test)
    const outcomes = await Promise.all([1, 2, 3].map(() => box.indelible(['init', '--json'])))
    expect(outcomes.map(({ code }) => code).toSorted()).toEqual([0, 2, 2])
    for (const { code, stdout } of outcomes) {
      // One line: no key of a log that was not made.
      if (code === 2) expect(JSON.parse(stdout).error.code).toBe('ERR_HOME_EXISTS')
    }
    expect((await box.indelible(['record'])).code).toBe(0)
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('killed half-way leaves no home, and a second one works and clears up', async (test) => {
    const box = new Sandbox(test)
    const drafts = () => readdirSync(box.work).filter((name) => name.startsWith('.indelible.init-'))
    const child = box.start(['init'])
    const done = outcome(child)
    while (drafts().length === 0 && child.exitCode === null) await sleep(1)
    child.kill('SIGKILL')
    expect((await done).signal).toBe('SIGKILL')
    expect(existsSync(box.home)).toBe(false)
    expect(drafts()).toHaveLength(1)
    expect((await box.indelible(['verify'])).code).toBe(3)
    await box.makeLog(1)
    expect(drafts()).toEqual([])
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('makes nothing where nothing can be remembered', async (test) => {
    const box = new Sandbox(test)
    writeFileSync(box.path('config'), 'a file where a folder should be')
    expect((await box.indelible(['init'])).code).toBe(3)
    expect(existsSync(box.home)).toBe(false)
  })

  it('killed once its home stands has shown the key before', async (test) => {
    const box = new Sandbox(test)
    const child = box.start(['init', '--json'])
    const done = outcome(child)
    // Without a pause: what is looked for lasts for about a millisecond.
    while (!existsSync(box.home) && child.exitCode === null) await setImmediate()
    child.kill('SIGKILL')
    const { stdout } = await done
    expect(existsSync(box.home)).toBe(true)
    writeFileSync(join(box.work, 'mac.key'), JSON.parse(stdout).mac_key)
    expect((await box.indelible(['verify', '--mac-key', 'mac.key'])).code).toBe(0)
    expect((await box.indelible(['record'])).code).toBe(0)
  })

  it('makes nothing when nobody is there to read the key', async (test) => {
    const box = new Sandbox(test)
    const { stdout } = await box.run('bash', ['-c', 'indelible init 2> err | true; echo "$PIPESTATUS"; cat err'])
    expect(stdout).toContain('no log was made')
    expect(stdout).toMatch(/^3\n/)
    expect(readdirSync(box.work)).toEqual(['err'])
    await box.makeLog(1)
  })

  it('makes nothing when the key cannot be written', async (test) => {
    test.skip(!existsSync('/dev/full'), 'no /dev/full here')
    const box = new Sandbox(test)
    const { stdout } = await box.run('bash', ['-c', 'indelible init 2> err > /dev/full; echo "$?"'])
    expect(stdout).toBe('3\n')
    expect(readdirSync(box.work)).toEqual(['err'])
  })
})

describe.concurrent('indelible init --recipient', () => {
  it.for([2048, 4096])('encrypts the key so that openssl reads it (%i bits)', async (bits, test) => {
    test.skip(openssl === undefined, 'no openssl here')
    const box = new Sandbox(test)
    makeRecipient(box, bits)
    const made = await box.makeLog(3, ['--recipient', 'public.pem'])
    expect(made.mac_key).toBeUndefined()
    expect(made.mac_key_file).toBe(join(box.home, 'mac-key.enc'))
    const command = made.decrypt_command!.replace('PRIVATE.pem', '../private.pem')
    const decrypted = await box.run('bash', ['-c', command], { cwd: box.home })
    expect(decrypted.stdout).toMatch(/^INDELIBLE\+MAC\+/)
    writeFileSync(join(box.work, 'mac.key'), decrypted.stdout)
    const verified = await box.indelible(['verify', '--json', '--mac-key', 'mac.key'])
    expect(verified.code).toBe(0)
    expect(JSON.parse(verified.stdout).not_checked.join()).not.toContain('HMAC')
  })

  it.for([
    ['a modulus too small', 1024, 'public.pem', [], 'modulus of 1024 bits, this log needs 2048'],
    ['an origin too long for it', 2048, 'public.pem', ['--origin', 'x'.repeat(200)], 'bits, this log needs'],
    ['its private half', 2048, 'private.pem', [], 'is a private key'],
  ] as const)('refuses %s before anything is made', async ([, bits, file, init, message], test) => {
    const box = new Sandbox(test)
    makeRecipient(box, bits)
    const refused = await box.indelible(['init', '--recipient', file, ...init])
    expect(refused).toMatchObject({ code: 3, stdout: '' })
    expect(refused.stderr).toContain('(ERR_KEY_INVALID)')
    expect(refused.stderr).toContain(message)
    expect(existsSync(box.home)).toBe(false)
  })

  it('refuses a key that cannot encrypt', async (test) => {
    const box = new Sandbox(test)
    const { publicKey } = generateKeyPairSync('ed25519')
    writeFileSync(join(box.work, 'public.pem'), publicKey.export({ format: 'pem', type: 'spki' }))
    expect((await box.indelible(['init', '--recipient', 'public.pem'])).stderr).toContain('type ed25519, expected rsa')
  })
})
