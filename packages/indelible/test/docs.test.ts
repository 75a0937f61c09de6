/** The documents say what the code does. `UPDATE_DOCS=1` writes the generated parts anew. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { describeFailure } from '../src/cli/exit.ts'
import { ERROR_CODES, IndelibleError } from '../src/errors.ts'
import { allPacks, packHash, rulesOf } from '../src/privacy/redaction/packs/index.ts'
import { AUDIT_TYPES, jsonSchemas } from '../src/record/schema.ts'
import { FINDING_CODES } from '../src/verify/report.ts'
import { VERSION } from '../src/version.ts'
import { ATTACKS, type Attack } from './attack-table.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const bin = join(root, 'packages/indelible/bin/indelible.js')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const json = (path: string) => JSON.parse(read(path)) as unknown

function* markdown(folder = root): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name === 'dist' || entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* markdown(path)
    else if (entry.name.endsWith('.md')) yield relative(root, path)
  }
}
const documents = [...markdown()]

/** Cells of the rows of tables whose first cell is one of our codes, or another single word in code quotes. */
function rows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => /^\| `[A-Za-z_]+` \|/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}
const code = (cell: string | undefined) => cell?.replaceAll('`', '') ?? ''

/** Codes that the server alone answers with. What is a bug of ours has its place in the text. */
function serverCodes(): string[] {
  const folder = 'packages/indelible/src/server'
  const sources = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((name) =>
    /(?<!\.test)\.ts$/.test(name),
  )
  const codes = sources.flatMap((name) =>
    [...read(join(folder, name)).matchAll(/'(ERR_[A-Z_]+)'/g)].map(([, found]) => found!),
  )
  const known = new Set<string>([...ERROR_CODES, 'ERR_UNEXPECTED'])
  return [...new Set(codes)].filter((name) => !known.has(name))
}

describe('errors.md', () => {
  const table = rows(read('docs/errors.md'))

  it('has each error code once, and no other', () => {
    const codes = table.map(([first]) => code(first)).filter((name) => name.startsWith('ERR_'))
    expect(codes.sort()).toEqual([...ERROR_CODES, ...serverCodes()].sort())
  })

  it('has each finding once, and no other', () => {
    const codes = table.map(([first]) => code(first)).filter((name) => !name.startsWith('ERR_'))
    expect(codes.sort()).toEqual([...FINDING_CODES].sort())
  })

  it('states the exit codes of the command line', () => {
    const stated = Object.fromEntries(
      table.filter((row) => row.length === 5).map((row) => [code(row[0]), Number(row[4])]),
    )
    const actual = ERROR_CODES.map((name) => [name, describeFailure(new IndelibleError(name, '')).exitCode])
    expect(stated).toEqual(Object.fromEntries(actual))
  })

  it('leaves no cell empty', () => {
    expect(table.filter((row) => row.slice(0, -1).some((cell) => cell === ''))).toEqual([])
  })
})

describe('format.md', () => {
  const text = read('docs/format.md')

  it('has every value of the worked example', () => {
    const { description, provenance, ...example } = json('vectors/worked-example.json') as Record<string, unknown>
    expect([description, provenance]).not.toContain(undefined)
    const lines: string[] = []
    const collect = (value: unknown): void => {
      if (typeof value === 'string') lines.push(...value.split('\n'))
      else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) collect(inner)
    }
    collect(example)
    expect(lines.filter((line) => !text.includes(line))).toEqual([])
  })

  it('has no hash, key or signature that is not of the worked example', () => {
    const example = read('vectors/worked-example.json')
    const values = text.match(/(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{43,}={0,2}/g) ?? []
    expect(values.length).toBeGreaterThan(40)
    expect(values.filter((value) => !example.includes(value))).toEqual([])
  })

  it('has a worked example that this code makes', async () => {
    const { workedExample } = await import(new URL('../../../vectors/worked-example.mjs', import.meta.url).href)
    expect(await workedExample()).toEqual(json('vectors/worked-example.json'))
  })

  it('names every event type of the log itself, and every finding', () => {
    const missing = [...AUDIT_TYPES, ...FINDING_CODES].filter((name) => !text.includes(`\`${name}\``))
    expect(missing).toEqual([])
  })

  it('names every kind of audit.recovered', () => {
    const sources = ['home', 'log', 'sequencer', 'sealer']
      .map((name) => read(`packages/indelible/src/log/${name}.ts`))
      .join('\n')
    const kinds = [...sources.matchAll(/(?:notice|add)\('([a-z_]+)'/g)].map(([, kind]) => kind!)
    expect(kinds).toContain('clock_jump')
    expect(kinds.filter((kind) => !text.includes(`| \`${kind}\` |`))).toEqual([])
  })
})

describe('architecture.md', () => {
  const text = read('docs/architecture.md')
  const source = 'packages/indelible/src'

  it('has each folder of the source', () => {
    const folders = readdirSync(join(root, source), { withFileTypes: true }).filter((entry) => entry.isDirectory())
    expect(folders.map(({ name }) => name).filter((name) => !text.includes(`\`${name}/\``))).toEqual([])
  })

  it('names files that there are, as do all documents', () => {
    const gone: string[] = []
    for (const document of documents) {
      for (const [, path] of read(document).matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|mjs|md|script))`/g)) {
        const places = ['', 'packages/indelible', source, dirname(document)]
        if (!places.some((place) => existsSync(join(root, place, path!)))) gone.push(`${document}: ${path}`)
      }
    }
    expect(gone).toEqual([])
  })
})

describe('threat-model.md', () => {
  const START = '<!-- attacks:start -->'
  const END = '<!-- attacks:end -->'

  it('has the table of attacks that the tests try', () => {
    const path = 'docs/threat-model.md'
    const text = read(path)
    const [start, end] = [text.indexOf(START) + START.length, text.indexOf(END)]
    const wanted = `\n\n${formatAttacks(ATTACKS)}\n`
    expect(end).toBeGreaterThanOrEqual(start)
    if (process.env.UPDATE_DOCS) writeFileSync(join(root, path), text.slice(0, start) + wanted + text.slice(end))
    else expect(text.slice(start, end), 'run again with UPDATE_DOCS=1').toBe(wanted)
  })

  it('has an attack for every finding', () => {
    const found = new Set<string>(ATTACKS.map(({ finding }) => finding))
    expect(FINDING_CODES.filter((name) => !found.has(name))).toEqual([])
  })
})

function formatAttacks(attacks: readonly Attack[]): string {
  const lines = attacks.map(({ attack, needs, finding }) => `| ${attack} | ${needs} | \`${finding}\` |\n`)
  return `| the attacker … | caught by | finding |\n| --- | --- | --- |\n${lines.join('')}`
}

describe('privacy.md', () => {
  const START = '<!-- packs:start -->'
  const END = '<!-- packs:end -->'

  it('has the packs and rules of the code', () => {
    const path = 'docs/privacy.md'
    const text = read(path)
    const [start, end] = [text.indexOf(START) + START.length, text.indexOf(END)]
    const wanted = `\n\n${formatPacks()}\n`
    expect(end).toBeGreaterThanOrEqual(start)
    if (process.env.UPDATE_DOCS) writeFileSync(join(root, path), text.slice(0, start) + wanted + text.slice(end))
    else expect(text.slice(start, end), 'run again with UPDATE_DOCS=1').toBe(wanted)
  })
})

/** A change of the rules of a pack changes its hash here: the version above it is to go up with it. */
function formatPacks(): string {
  const lines = allPacks().map((pack) => {
    const kinds = new Map<string, string[]>()
    for (const { kind, what } of rulesOf([pack])) kinds.set(kind, [...(kinds.get(kind) ?? []), what])
    const listed = [...kinds].map(([kind, whats]) => `\`${kind}\`: ${[...new Set(whats)].join('; ')}`)
    const hash = packHash(pack).slice(0, 12)
    return `| \`${pack.name}\` | ${pack.version}, \`${hash}\` | ${pack.what} | ${listed.join('<br>')} |\n`
  })
  return `| pack | version, hash | for | finds |\n| --- | --- | --- | --- |\n${lines.join('')}`
}

describe('documents', () => {
  it('link to what is there', () => {
    const broken: string[] = []
    for (const document of documents) {
      for (const [, target] of read(document).matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target!)) continue
        const [path, anchor] = target!.split('#') as [string, string?]
        const file = path === '' ? document : join(dirname(document), path)
        if (!existsSync(join(root, file))) broken.push(`${document}: ${target}`)
        else if (anchor !== undefined && !anchorsOf(file).has(anchor)) broken.push(`${document}: ${target}`)
      }
    }
    expect(broken).toEqual([])
  })

  it('use the words of the field', () => {
    const wrong = documents.filter((document) => /tamper-?proof|\bimmutab/i.test(read(document)))
    expect(wrong).toEqual([])
  })

  it('show code that the oldest Node we support can parse', () => {
    // `using` is of Node 24.
    const code = (text: string) =>
      Array.from(text.matchAll(/^```(?:js|ts)\n(.*?)^```/gms), ([, block]) => block!).join('')
    const wrong = documents.filter((document) => /\busing \w+ =/.test(code(read(document))))
    expect(wrong).toEqual([])
  })

  it('use commands and options that there are', ({ skip }) => {
    skip(!existsSync(join(root, 'packages/indelible/dist/cli/main.js')), 'the command line is not built')
    const used = documents.flatMap((document) => commandsIn(read(document)).map((words) => ({ document, words })))
    expect(used.length).toBeGreaterThan(3)
    expect(
      used.map(({ document, words }) => faultIn(words) && `${document}: ${words.join(' ')}`).filter(Boolean),
    ).toEqual([])
  })
})

/** As GitHub makes them of headings. */
function anchorsOf(file: string): Set<string> {
  if (statSync(join(root, file)).isDirectory()) return new Set()
  const headings = read(file)
    .replaceAll(/^```.*?^```/gms, '')
    .matchAll(/^#+ (.*)$/gm)
  return new Set(
    Array.from(headings, ([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** Words after `indelible` in every command line of the `sh` blocks. */
function commandsIn(text: string): string[][] {
  const blocks = Array.from(text.matchAll(/^```sh\n(.*?)^```/gms), ([, block]) => block!)
  return blocks
    .flatMap((block) => block.split('\n'))
    .flatMap((line) => line.replace(/\s#.*$/, '').split('|'))
    .map((command) => /^\s*(?:npx )?indelible(?:\s+(.*))?$/.exec(command)?.[1])
    .filter((rest) => rest !== undefined)
    .map((rest) => rest.replace(/\s*[<>].*$/, '').split(/\s+/))
}

const helps = new Map<string, string>()

function helpOf(path: readonly string[]): string {
  const key = path.join(' ')
  const help = helps.get(key) ?? execFileSync(process.execPath, [bin, ...path, '--help'], { encoding: 'utf8' })
  helps.set(key, help)
  return help
}

/** Whether a command or an option is not in the help. */
function faultIn(words: readonly string[]): boolean {
  const path: string[] = []
  for (const word of words) {
    const commands = helpOf(path).split(/^Commands:$/m)[1]
    if (commands === undefined || word.startsWith('-')) break
    if (!new RegExp(`^  ${word}[ |\\n]`, 'm').test(commands)) return true
    path.push(word)
  }
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/=.*/, ''))
  return path.length === 0 || options.some((option) => !helpOf(path).includes(option))
}

describe('package', () => {
  it('has the version that the code says', () => {
    expect(VERSION).toBe((json('packages/indelible/package.json') as { version: string }).version)
  })

  it('has the JSON Schemas of the code; scripts/write-schemas.mjs writes them', () => {
    const schemas = jsonSchemas()
    const folder = 'packages/indelible/schemas'
    for (const [name, schema] of Object.entries(schemas)) {
      expect(json(`${folder}/${name}`)).toEqual(JSON.parse(JSON.stringify(schema)))
    }
  })
})
