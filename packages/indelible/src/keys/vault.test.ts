import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createVault, Vault } from './vault.ts'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-vault-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function made(directory = folder()): { directory: string; vault: Vault } {
  createVault(directory)
  const vault = new Vault(directory)
  onTestFinished(() => vault.close())
  return { directory, vault }
}

const DAY = '2026-11-21'
const bytesIn = (directory: string) =>
  Buffer.concat(readdirSync(directory).map((name) => readFileSync(join(directory, name)))).toString('latin1')
const code = (expected: string) => expect.objectContaining({ code: expected })

describe('a vault', () => {
  it('is for its owner only, and tells backups to leave it out', () => {
    const { directory } = made()
    expect(readdirSync(directory).sort()).toEqual(['.nobackup', 'CACHEDIR.TAG', 'vault.db', 'vault.key'])
    for (const name of ['vault.db', 'vault.key']) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600)
  })

  it('gives the same keys again, to the next process as well', () => {
    const { directory, vault } = made()
    const [both, one, day] = vault.keysFor([
      { subjects: ['ann', 'bob', 'ann'], day: DAY },
      { subjects: ['bob'], day: DAY },
      { subjects: [], day: DAY },
    ])
    expect(both).toHaveLength(2)
    expect(both!.map(({ id }) => id)).toEqual(both!.map(({ id }) => id).toSorted())
    expect(both).toContainEqual(one![0])
    expect(new Set([...both!, ...day!].map(({ key }) => Buffer.from(key).toString('hex'))).size).toBe(3)
    const other = new Vault(directory)
    const copy = day!.map(({ id, key }) => ({ id, key: key.slice() }))
    expect(other.keysFor([{ subjects: [], day: DAY }])).toEqual([copy])
    expect(other.key(day![0]!.id)).toEqual(day![0]!.key)
    other.close()
  })

  it('names nobody in its file', () => {
    const { directory, vault } = made()
    vault.keysFor([{ subjects: ['zacharias@x.example'], day: DAY }])
    vault.pseudonym('person', 'zacharias@x.example')
    expect(bytesIn(directory)).not.toContain('zacharias')
  })

  it('has one pseudonym for a person, whoever asks, and knows who is behind it', () => {
    const { directory, vault } = made()
    const other = new Vault(directory)
    const token = vault.pseudonym('person', 'ann')
    expect(token).toMatch(/^p_[A-Za-z0-9_-]{22}$/)
    expect([other.pseudonym('person', 'ann'), vault.pseudonym('person', 'ann')]).toEqual([token, token])
    expect(vault.pseudonym('session', 'ann')).not.toBe(token)
    expect(other.resolve(token)).toEqual({ kind: 'person', id: 'ann' })
    expect(other.isPseudonym(token)).toBe(true)
    expect(other.isPseudonym(`p_${'A'.repeat(22)}`)).toBe(false)
    expect(other.token('person', 'bob')).toBe(null)
    other.close()
  })

  it('forgets a person for good, in other processes too', () => {
    const { directory, vault } = made()
    const other = new Vault(directory)
    const [[key]] = vault.keysFor([{ subjects: ['ann'], day: DAY }]) as unknown as [[{ id: string; key: Uint8Array }]]
    const token = vault.pseudonym('person', 'ann')
    const before = Buffer.from(key.key)
    expect(Buffer.from(other.key(key.id) as Uint8Array).equals(before)).toBe(true)
    const wrapped = readFileSync(join(directory, 'vault.db'))
    expect(vault.forget('ann')).toEqual({ keys: 1, pseudonyms: 1 })
    expect(vault.forget('ann')).toEqual({ keys: 0, pseudonyms: 0 })
    for (const one of [vault, other]) {
      expect(one.key(key.id)).toBe('forgotten')
      expect(one.resolve(token)).toBe(null)
    }
    const [[again]] = other.keysFor([{ subjects: ['ann'], day: DAY }]) as unknown as [[{ id: string }]]
    expect(again.id).not.toBe(key.id)
    expect(other.pseudonym('person', 'ann')).not.toBe(token)
    // The row was overwritten, and not only unlinked.
    const at = wrapped.indexOf(key.id, 0, 'latin1')
    const secret = wrapped.subarray(at + key.id.length + 32, at + key.id.length + 32 + 60)
    expect(readFileSync(join(directory, 'vault.db')).includes(secret)).toBe(false)
    other.close()
  })

  it('does not know keys that it never had', () => {
    expect(made().vault.key('A'.repeat(16))).toBe(null)
  })

  it('is refused with another key, without one, damaged, or open to others', () => {
    const { directory } = made()
    const key = join(directory, 'vault.key')
    const text = readFileSync(key, 'utf8')
    const open = () => new Vault(directory)
    writeFileSync(key, `${Buffer.alloc(32, 1).toString('base64')}\n`)
    expect(open).toThrow(code('ERR_KEY_MISMATCH'))
    writeFileSync(key, 'x')
    expect(open).toThrow(code('ERR_KEY_INVALID'))
    writeFileSync(key, text)
    chmodSync(key, 0o640)
    expect(open).toThrow(code('ERR_KEY_PERMISSIONS'))
    rmSync(key)
    expect(open).toThrow(code('ERR_VAULT_MISSING'))
    expect(() => createVault(directory)).toThrow(code('ERR_VAULT_MISSING'))
    writeFileSync(key, text, { mode: 0o600 })
    writeFileSync(join(directory, 'vault.db'), 'x'.repeat(8192))
    expect(open).toThrow(code('ERR_STORE_CORRUPT'))
  })

  it('whose making was interrupted is finished by the next one', () => {
    const directory = folder()
    createVault(directory)
    rmSync(join(directory, 'vault.db'))
    const { vault } = made(directory)
    createVault(directory)
    expect(new Vault(directory).id).toBe(vault.id)
  })
})
