import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const source = fileURLToPath(new URL('../src', import.meta.url))

const PURE = ['record', 'privacy', 'tree', 'note', 'chain', 'verify']

/** Where people and programs come in: everything is theirs to call. */
const SURFACE = [
  ...PURE,
  'decision',
  'lifecycle',
  'retention',
  'keys',
  'config',
  'store',
  'log',
  'query',
  'export',
  'import',
  'anchor',
  'capture',
]

/** What each folder may import, beside itself and the root's bytes and errors. The order is that of a record's way. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  '.': [
    'decision',
    'lifecycle',
    'config',
    'keys',
    'log',
    'query',
    'note',
    'record',
    'chain',
    'store',
    'anchor',
    'capture',
    'import',
    'export',
    'verify',
  ],
  platform: [],
  record: [],
  privacy: ['record'],
  tree: [],
  note: [],
  chain: ['record'],
  verify: ['record', 'privacy', 'tree', 'note', 'chain'],
  keys: ['note', 'chain'],
  config: ['record', 'privacy'],
  store: ['record', 'note', 'keys'],
  capture: ['record', 'keys'],
  client: ['record', 'privacy', 'keys', 'capture'],
  anchor: [...PURE, 'keys', 'config', 'store'],
  // Retention guards erasures: home.ts puts it in.
  log: [...PURE, 'keys', 'config', 'store', 'capture', 'anchor', 'retention'],
  query: [...PURE, 'config', 'store', 'log'],
  export: [...PURE, 'store', 'log', 'query'],
  import: ['record', 'log'],
  testing: [...PURE, 'keys', 'store', 'log', 'capture', 'anchor'],
  server: SURFACE,
  // An approval is what a run waits for.
  decision: ['record', 'note', 'keys', 'log', 'query', 'capture'],
  retention: [...PURE, 'keys', 'config', 'store', 'anchor', 'log', 'query', 'decision'],
  lifecycle: ['record', 'log', 'query', 'decision', 'capture'],
  cli: [...SURFACE, 'server'],
}

/** What a folder may name the types of, and not import: the client's answers are what these return on the server. */
const MAY_NAME_TYPES_OF: Record<string, readonly string[]> = {
  client: ['query', 'log', 'verify', 'decision', 'lifecycle', 'retention', 'anchor'],
}

function* files(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* files(path)
    else if (path.endsWith('.ts') && !path.endsWith('.test.ts')) yield path
  }
}

const top = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '.')

/** @param withTypes whether to give what `import type` names too, of which nothing is left at run time */
function importsOf(path: string, { withTypes = true } = {}): string[] {
  const text = readFileSync(path, 'utf8')
  const source = withTypes ? text : text.replace(/^import type [^;]*? from '[^']+'$/gm, '')
  return [...source.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!)
}

describe('layers', () => {
  it('are imported only from above', () => {
    const wrong: string[] = []
    for (const path of files(source)) {
      const from = top(relative(source, path))
      const imported = new Set(importsOf(path, { withTypes: false }))
      for (const name of importsOf(path).filter((name) => name.startsWith('.'))) {
        const target = relative(source, join(dirname(path), name))
        const to = top(target)
        const mayName = !imported.has(name) && MAY_NAME_TYPES_OF[from]?.includes(to)
        if (to !== from && to !== '.' && !mayName && !MAY_IMPORT[from]?.includes(to))
          wrong.push(`${relative(source, path)} → ${target}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('below the line import nothing that touches the world', () => {
    const wrong: string[] = []
    for (const path of files(source)) {
      const name = relative(source, path)
      const isPure = PURE.includes(top(name)) || ['bytes.ts', 'errors.ts', 'platform/crypto-portable.ts'].includes(name)
      if (!isPure) continue
      for (const module of importsOf(path).filter((module) => !module.startsWith('.'))) {
        // fflate is pure JavaScript; one file reads archives with it.
        if (module === 'fflate' && name === 'verify/zip.ts') continue
        // So is re2js; one file runs a deployment's own patterns on it.
        if (module === 're2js' && name === 'privacy/redaction/own-patterns.ts') continue
        // pkijs and asn1js are too, over WebCrypto; one file reads timestamp tokens with them.
        if (['pkijs', 'asn1js'].includes(module) && name === 'verify/timestamp-token.ts') continue
        if (module !== '#crypto' && module !== '#text' && module !== 'zod' && !module.startsWith('@noble/'))
          wrong.push(`${name} → ${module}`)
      }
    }
    expect(wrong).toEqual([])
  })
})
