/**
 * What each anchor catches alone, when the log, its home and its signing key are in the attacker's hands. `docs/anchors.md`
 * shows this table; `attacks-anchors.test.ts` tries every cell. A further anchor is a {@link Defence} in `anchor-defences.ts`.
 */
import type { FindingCode, Report } from '../src/verify/report.ts'
import type { Cleanup } from './anchor-kit.ts'

export const ANCHOR_ATTACKS = {
  truncate: {
    title: 'cuts off the end',
    /** Row of the matrix in research/formats.md §6. */
    row: 'truncate tail',
  },
  rollBack: { title: 'puts the whole home back as it was', row: 'roll back whole DB to a backup' },
  delete: { title: 'deletes the home', row: 'delete the whole log' },
  rewrite: {
    title: 'with the signing key: rewrites the past',
    row: 'signing key stolen + DB root, past',
  },
} as const

export type AnchorAttack = keyof typeof ANCHOR_ATTACKS

/** Caught by a finding, or why not. */
export type Cell = { readonly finding: FindingCode } | { readonly not: string }

/** A log that is being recorded, honest so far. */
export interface Scene {
  readonly cleanup: Cleanup
  readonly home: string
  readonly origin: string
  readonly vkey: string
}

export interface Held {
  /** Called twice while the log is honest, with forty entries between. */
  keep(): Promise<void>
  /** What a verifier says who has this, the vkey, and nothing else. */
  verify(home: string): Promise<Report>
  /** What else the attacker does to this anchor, once the home is as he wants it; not where he has deleted it. */
  attack?(home: string): Promise<void>
}

export interface Defence {
  readonly title: string
  /** Column of the matrix in research/formats.md §6; `null` if it has none. */
  readonly column: string | null
  readonly cells: Readonly<Record<AnchorAttack, Cell>>
  begin(scene: Scene): Promise<Held>
}

export function formatAnchorTable(defences: readonly Defence[]): string {
  const attacks = Object.entries(ANCHOR_ATTACKS) as [AnchorAttack, { title: string }][]
  const lines = defences.map(({ title, cells }) => {
    const row = attacks.map(([attack]) => {
      const cell = cells[attack]
      return 'finding' in cell ? `\`${cell.finding}\`` : `not caught: ${cell.not}`
    })
    return `| ${title} | ${row.join(' | ')} |\n`
  })
  const head = attacks.map(([, { title }]) => title)
  return `| who holds … | ${head.join(' | ')} |\n|${' --- |'.repeat(head.length + 1)}\n${lines.join('')}`
}
