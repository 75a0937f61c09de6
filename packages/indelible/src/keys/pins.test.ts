import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { defaultPinDirectory, type LogPin, Pins } from './pins.ts'

function fresh(): Pins {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-pins-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return new Pins(join(folder, 'deep', 'pins'))
}

const pin = (size: number, root = size): LogPin => ({
  origin: 'a.example/log',
  key: 'key',
  size,
  root: new Uint8Array(32).fill(root),
  home: '/home/a',
})

describe('pins', () => {
  it('are kept per origin, and found by home', async () => {
    const pins = fresh()
    expect(pins.read('a.example/log')).toBeNull()
    expect(pins.findByHome('/home/a')).toBeNull()
    await pins.raise(null, pin(1))
    await pins.raise(null, { ...pin(7), origin: 'b.example/log', home: undefined })
    expect(pins.read('a.example/log')).toEqual(pin(1))
    expect(pins.findByHome('/home/a')).toEqual(pin(1))
    expect(pins.findByHome('/home/b')).toBeNull()
  })

  it('rise, and keep the home that they were made with', async () => {
    const pins = fresh()
    await pins.raise(null, pin(1))
    await pins.raise(pin(1), { ...pin(5), home: undefined })
    expect(pins.read('a.example/log')).toEqual(pin(5))
    // The same once more, as two verifiers do.
    await pins.raise(pin(5), pin(5))
    await pins.raise(pin(1), pin(5))
    await pins.raise(null, pin(5))
    expect(pins.read('a.example/log')).toEqual(pin(5))
  })

  it('never go back, nor change their root', async () => {
    const pins = fresh()
    await pins.raise(null, pin(5))
    for (const next of [pin(4), pin(5, 9)]) {
      await expect(pins.raise(pin(5), next)).rejects.toMatchObject({ code: 'ERR_PIN_CONFLICT' })
    }
    expect(pins.read('a.example/log')).toEqual(pin(5))
  })

  it('that changed under foot are a conflict, unless they went further', async () => {
    const pins = fresh()
    await pins.raise(null, pin(5))
    await pins.raise(pin(5), pin(8))
    await expect(pins.raise(pin(5), pin(9))).rejects.toMatchObject({ code: 'ERR_PIN_CONFLICT' })
    await expect(pins.raise(pin(5), pin(8, 1))).rejects.toMatchObject({ code: 'ERR_PIN_CONFLICT' })
    await expect(pins.raise(null, pin(9))).rejects.toMatchObject({ code: 'ERR_PIN_CONFLICT' })
    await pins.raise(pin(5), pin(7))
    expect(pins.read('a.example/log')).toEqual(pin(8))
  })

  it('that are damaged are never made anew', async () => {
    const pins = fresh()
    await pins.raise(null, pin(5))
    const path = join(pins.directory, readdirSync(pins.directory)[0]!)
    const damages = [
      '',
      'x',
      '{}',
      JSON.stringify({ ...pin(5), root: 'x' }),
      JSON.stringify({ ...pin(5), origin: 'b', root: '' }),
    ]
    for (const damage of damages) {
      writeFileSync(path, damage)
      expect(() => pins.read('a.example/log')).toThrow(expect.objectContaining({ code: 'ERR_PIN_CONFLICT' }))
      await expect(pins.raise(null, pin(6))).rejects.toMatchObject({ code: 'ERR_PIN_CONFLICT' })
    }
    writeFileSync(path, 'x')
    expect(() => pins.findByHome('/home/a')).toThrow(expect.objectContaining({ code: 'ERR_PIN_CONFLICT' }))
  })

  it('rise one after the other when many raise at once', async () => {
    const pins = fresh()
    await pins.raise(null, pin(1))
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => pins.raise(pin(1), pin(n + 2))))
    const kept = pins.read('a.example/log')!
    expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'ERR_PIN_CONFLICT' })
    }
    expect(kept.root[0]).toBe(kept.size)
    expect(readdirSync(pins.directory)).toHaveLength(1)
  })

  it('live in the user’s configuration folder', () => {
    expect(defaultPinDirectory({ XDG_CONFIG_HOME: '/x' })).toBe('/x/indelible/pins')
    expect(defaultPinDirectory({})).toMatch(/\.config\/indelible\/pins$/)
  })
})
