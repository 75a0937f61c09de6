import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

  it('ingests, searches, proves and verifies over HTTP, line by line', async ({ skip }) => {
    skip(spawnSync('curl', ['--version']).error !== undefined, 'curl is not installed')
    const here = join(folder, 'server')
    mkdirSync(here)
    const server = spawn(process.execPath, [bin, 'serve', '--port', '0'], {
      cwd: here,
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    try {
      let said = ''
      for await (const text of server.stdout) {
        said += text
        if (said.includes('mac verification keys')) break
      }
      const url = /listening at (\S+)/.exec(said)![1]!
      const key = /^ {2}(ik_\S+)$/m.exec(said)![1]!
      const lines = blocks('sh').find((block) => block.includes('curl '))!
      const command = `${JSON.stringify(process.execPath)} ${JSON.stringify(bin)}`
      writeFileSync(join(here, 'readme.sh'), lines.replaceAll('npx indelible', command))
      const { stdout, status } = await new Promise<{ stdout: string; status: number | null }>((done) => {
        const script = spawn('bash', ['-e', 'readme.sh'], { cwd: here, env: { ...env, URL: url, KEY: key } })
        let out = ''
        script.stdout.on('data', (text) => {
          out += text
        })
        script.on('close', (code) => done({ stdout: out, status: code }))
      })
      expect(status).toBe(0)
      expect(stdout).toMatch(/"index":1,.*"checkpoint"/)
      expect(stdout).toMatch(/"hits":\[\{"index":1,"entry":\{/)
      expect(stdout).toMatch(/^verified: entry 1 of indelible\.invalid/m)
      expect(stdout).toMatch(/"verdict":"verified"/)
    } finally {
      server.kill('SIGTERM')
      await once(server, 'exit')
    }
    const { scripts } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
    expect(scripts.start).toMatch(/node packages\/indelible\/bin\/indelible\.js serve$/)
  })

  it('shows code that runs', () => {
    const [code] = blocks('js')
    // In the folder of the command lines, whose log they leave as it was.
    const home = join(folder, '.indelible')
    if (!existsSync(home)) execFileSync(process.execPath, [bin, 'init'], { env, cwd: folder })
    const entry = pathToFileURL(fileURLToPath(new URL('../dist/index.js', import.meta.url))).href
    writeFileSync(
      join(folder, 'readme.mjs'),
      `${code!.replace("'indelible'", `'${entry}'`)}\nconsole.log(JSON.stringify(receipt))`,
    )
    const out = execFileSync(process.execPath, ['readme.mjs'], {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
    const { index, checkpoint } = JSON.parse(out)
    expect(checkpoint.split('\n')[1]).toBe(String(index + 1))
    expect(execFileSync(process.execPath, [bin, 'verify'], { cwd: folder, env, encoding: 'utf8' })).toMatch(/^verified/)
  })

  it('names every command', () => {
    const help = execFileSync(process.execPath, [bin, '--help'], { env, encoding: 'utf8' })
    const commands = [...help.matchAll(/^ {2}([a-z][a-z-]+)(?= .* {2})/gm)]
      .map(([, name]) => name!)
      .filter((name) => name !== 'help')
    expect(commands.length).toBeGreaterThan(40)
    const [, table] = readme.split('## Commands')
    expect(commands.filter((name) => !table!.includes(`\`${name}\``))).toEqual([])
  })

  it('names what one needs to know first, in few words', () => {
    expect(readme.split(/\s+/).length).toBeLessThan(850)
  })
})
