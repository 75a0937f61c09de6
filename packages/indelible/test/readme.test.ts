import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
const bin = fileURLToPath(new URL('../bin/indelible.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'indelible-readme-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const env = { ...process.env, XDG_CONFIG_HOME: join(folder, 'config'), HOME: folder, NO_COLOR: '1' }

const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map((match) => match[1]!)

describe('README', () => {
  const script = blocks('sh').find((block) => block.includes('npx indelible init'))!

  it('records, proves, alters and fails to verify, line by line', ({ skip }) => {
    skip(spawnSync('sqlite3', ['--version']).error !== undefined, 'sqlite3 is not installed')
    const lines = script.split('\n').filter((line) => !line.startsWith('npm install'))
    const command = `${JSON.stringify(process.execPath)} ${JSON.stringify(bin)}`
    writeFileSync(join(folder, 'readme.sh'), lines.join('\n').replaceAll('npx indelible', command))
    const { stdout, status } = spawnSync('bash', ['readme.sh'], { cwd: folder, env, encoding: 'utf8' })
    expect(stdout).toMatch(/^verified: example\.com\/agents, 2 entries$/m)
    expect(stdout).toMatch(/^verified: entry 1 of example\.com\/agents/m)
    expect(stdout).toMatch(/^failed: example\.com\/agents/m)
    expect(stdout).toMatch(/entry_altered at 1/)
    expect(status).toBe(1)
  })

  it('shows code that runs', () => {
    const [code] = blocks('js')
    const home = join(folder, 'code')
    execFileSync(process.execPath, [bin, '--home', home, 'init'], { env })
    const entry = pathToFileURL(fileURLToPath(new URL('../dist/index.js', import.meta.url))).href
    writeFileSync(
      join(folder, 'readme.mjs'),
      `${code!.replace("'indelible'", `'${entry}'`)}\nconsole.log(JSON.stringify(receipt))`,
    )
    const out = execFileSync(process.execPath, ['readme.mjs'], {
      cwd: folder,
      env: { ...env, INDELIBLE_HOME: home },
      encoding: 'utf8',
    })
    expect(JSON.parse(out)).toMatchObject({ index: 1, checkpoint: expect.stringContaining('\n2\n') })
  })

  it('names what one needs to know first, in few words', () => {
    expect(readme.split(/\s+/).length).toBeLessThan(650)
  })
})
