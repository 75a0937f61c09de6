/** A log that `indelible doctor` is asked about. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Check } from '../../src/cli/doctor-check.ts'
import { type RunOptions, Sandbox } from './kit.ts'

export interface Diagnosis {
  readonly failures: number
  readonly warnings: number
  readonly checks: readonly Check[]
  readonly not_checked: readonly string[]
}

export class Clinic extends Sandbox {
  readonly keys = join(this.home, 'keys')
  readonly pins = this.path('config/indelible/pins')

  async diagnose(args: string[] = [], options: RunOptions = {}): Promise<Diagnosis & { readonly code: number | null }> {
    const { stdout, code, stderr } = await this.indelible(['doctor', '--json', ...args], options)
    expect(stderr).toBe('')
    return { ...JSON.parse(stdout), code }
  }

  /** What is not ok, but for the keys that stand where `init` puts them. */
  async complaints(args: string[] = [], options: RunOptions = {}): Promise<Check[]> {
    const { checks } = await this.diagnose(args, options)
    return checks.filter(({ state, check }) => state !== 'ok' && check !== 'keys_folder')
  }

  editState(change: (state: Record<string, number>) => object): void {
    const path = join(this.keys, 'state.json')
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))))
  }

  get pin(): string {
    return join(this.pins, readdirSync(this.pins)[0]!)
  }
}
