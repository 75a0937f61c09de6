/** Whoever edits the files of a log is noticed: by our verifier, and by the one in Python that knows nothing of ours. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBase64 } from '../src/bytes.ts'
import { formatMacVerificationKey } from '../src/chain/verification-key.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import type { FindingCode } from '../src/verify/report.ts'
import { cleanUp, makeSpecimen, type Specimen, temporary } from './attack-kit.ts'
import { Folder, inFiles } from './file-kit.ts'

const SCRIPT = fileURLToPath(new URL('../../../examples/verify_log.py', import.meta.url))

let specimen: Specimen
let original: string
let packages: string | undefined
let missing: string | undefined

beforeAll(async () => {
  specimen = await makeSpecimen({ rotateAt: [2], sleep: 3 })
  original = await inFiles(specimen)
  try {
    execFileSync('python3', ['-c', 'import cryptography'], { stdio: 'pipe' })
  } catch {
    try {
      packages = temporary()
      const args = [
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--target',
        packages,
        'cryptography',
      ]
      execFileSync('python3', args, { stdio: 'pipe', timeout: 90_000 })
    } catch (error) {
      missing = `no Python 3 with the package cryptography: ${(error as Error).message.split('\n')[0]}`
    }
  }
}, 120_000)
afterAll(cleanUp)

function python(folder: string, more: readonly string[] = []) {
  const { macKey, firstKey } = specimen
  const args = [SCRIPT, folder, '--vkey', formatVkey(firstKey), '--mac-key', formatMacVerificationKey(macKey), ...more]
  const env = { ...process.env, ...(packages && { PYTHONPATH: packages }) }
  const { status, stdout, stderr } = spawnSync('python3', args, { env, encoding: 'utf8' })
  return { status, text: stdout + stderr }
}

interface Attack {
  readonly name: string
  readonly attack: (folder: Folder) => void
  /** What our verifier and the one in Python must find, whatever else they do. */
  readonly finds: FindingCode | readonly [FindingCode, string]
}

const at = (text: string, line: string) => line.indexOf(text) + text.length

const flip = (line: string, place: number) =>
  line.slice(0, place) + (line[place] === 'A' ? 'B' : 'A') + line.slice(place + 1)

const ATTACKS: readonly Attack[] = [
  {
    name: 'a letter of an entry',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.with(70, lines[70]!.replace('agent-1', 'agent-2'))),
    finds: 'entry_altered',
  },
  {
    name: 'a mac',
    attack: (folder) =>
      folder.lines(folder.day, (lines) => lines.with(70, flip(lines[70]!, at('"mac":"', lines[70]!)))),
    finds: 'mac_mismatch',
  },
  {
    name: 'a leaf hash on its line',
    attack: (folder) =>
      folder.lines(folder.day, (lines) => lines.with(70, flip(lines[70]!, at('"leaf":"', lines[70]!)))),
    finds: 'leaf_altered',
  },
  {
    name: 'an epoch',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.with(5, lines[5]!.replace('"epoch":0', '"epoch":1'))),
    finds: 'epoch_mismatch',
  },
  {
    name: 'a line, by removing it',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.toSpliced(300, 1)),
    finds: 'entry_missing',
  },
  {
    name: 'two lines, by swapping them',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.with(300, lines[301]!).with(301, lines[300]!)),
    finds: 'entry_missing',
  },
  {
    name: 'two entries, by swapping them under their numbers',
    attack: (folder) =>
      folder.lines(folder.day, (lines) => {
        const entries = [300, 301].map((i) => lines[i]!.slice(at('"entry":', lines[i]!)))
        const put = (i: number, entry: string) => lines[i]!.slice(0, at('"entry":', lines[i]!)) + entry
        return lines.with(300, put(300, entries[1]!)).with(301, put(301, entries[0]!))
      }),
    finds: 'entry_altered',
  },
  {
    name: 'the file, by slipping in a line of his own',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.toSpliced(300, 0, lines[200]!)),
    finds: 'entry_missing',
  },
  {
    name: 'the file, by writing something that people would read',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.toSpliced(300, 0, '{"note":"all is well"}')),
    finds: 'entry_missing',
  },
  {
    name: 'the end of the file, by cutting it off',
    attack: (folder) => folder.lines(folder.day, (lines) => lines.slice(0, -20)),
    finds: 'entry_missing',
  },
  {
    name: 'all of the file, by deleting it',
    attack: (folder) => rmSync(join(folder.path, folder.day)),
    finds: 'entry_missing',
  },
  {
    name: 'a hash of the tree',
    attack: (folder) =>
      folder.change('tree/0', (bytes) => {
        bytes[70 * 32]! ^= 1
        return bytes
      }),
    finds: ['tile_altered', 'entry_altered'],
  },
  {
    name: 'a disclosure',
    attack: (folder) =>
      folder.lines(join('payloads', folder.day), (lines) =>
        lines.map((line) => line.replace('"answer 2"', '"answer 3"')),
      ),
    finds: 'disclosure_altered',
  },
  {
    name: 'a disclosure, by blanking it',
    attack: (folder) =>
      folder.lines(join('payloads', folder.day), (lines) => lines.with(9, ' '.repeat(lines[9]!.length))),
    finds: 'disclosure_missing',
  },
  {
    name: 'the head, by taking one that he signed himself',
    attack: (folder) => {
      const text = readFileSync(join(folder.path, 'head'), 'utf8')
      // A slot whose checksum is wrong does not count; the other one is that of the batch before, or none.
      writeFileSync(join(folder.path, 'head'), text.replaceAll(/[0-9a-f]{64} \{/g, `${'0'.repeat(64)} {`))
    },
    finds: 'log_missing',
  },
]

describe('the files of a log', () => {
  it('verify as they are, by either program', async ({ skip }) => {
    const folder = new Folder(original)
    expect(await folder.verify(specimen)).toMatchObject({ verdict: 'verified', size: specimen.size, findings: [] })
    skip(missing !== undefined, missing)
    const { status, text } = python(folder.path, ['--pin', String(specimen.pin.size), toBase64(specimen.pin.root)])
    expect(text).toContain(
      `verified: ${specimen.origin}, ${specimen.size} entries, root ${toBase64(specimen.pin.root)}`,
    )
    expect(status).toBe(0)
  })

  for (const { name, attack, finds } of ATTACKS) {
    const [ours, theirs] = typeof finds === 'string' ? [finds, finds] : finds
    it(`show who altered ${name}`, async ({ skip }) => {
      const folder = new Folder(original)
      attack(folder)
      const report = await folder.verify(specimen).catch((error) => error)
      if (ours === 'log_missing') expect(report).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
      else expect(report.findings.map(({ code }: { code: string }) => code)).toContain(ours)
      skip(missing !== undefined, missing)
      const { status, text } = python(folder.path)
      expect(text).toContain(theirs)
      expect(status).toBe(1)
    })
  }

  it('show any flipped byte of a line', async () => {
    const folder = new Folder(original)
    const path = join(folder.path, folder.day)
    const bytes = readFileSync(path)
    const start = bytes.indexOf('{"index":100,')
    const end = bytes.indexOf(10, start)
    for (let place = start; place <= end; place += 17) {
      bytes[place]! ^= 1
      writeFileSync(path, bytes)
      expect((await folder.verify(specimen)).verdict, `byte ${place - start}`).toBe('failed')
      bytes[place]! ^= 1
    }
  }, 60_000)

  it('can be read where the index is gone, also without the right to write', async () => {
    const folder = new Folder(original)
    rmSync(join(folder.path, 'index'), { recursive: true })
    expect(await folder.verify(specimen)).toMatchObject({ verdict: 'verified', findings: [] })
    expect(existsSync(join(folder.path, 'index'))).toBe(false)
  })

  it('are told from a key of another log', ({ skip }) => {
    skip(missing !== undefined, missing)
    const { firstKey } = specimen
    const env = { ...process.env, ...(packages && { PYTHONPATH: packages }) }
    const wrong = spawnSync('python3', [SCRIPT, '/nowhere', '--vkey', formatVkey(firstKey)], { env, encoding: 'utf8' })
    expect(wrong.status).toBe(3)
    const usage = spawnSync('python3', [SCRIPT, '/nowhere'], { env, encoding: 'utf8' })
    expect(usage.status).toBe(2)
  })
})
