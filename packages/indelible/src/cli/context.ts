/** What a command has besides its own options. */
import type { Command } from 'commander'
import { type ExitCode, OK } from './exit.ts'
import { Output } from './output.ts'

export class Context {
  readonly out = new Output()
  /** What the process ends with, unless an error is thrown. */
  exitCode: ExitCode = OK
  readonly #program: Command

  constructor(program: Command) {
    this.#program = program
  }

  /** `--home`, if given. */
  get home(): string | undefined {
    return this.#program.opts().home
  }

  /** The same, as the options of what opens a log have it. */
  get homeOption(): { home?: string } {
    return this.home === undefined ? {} : { home: this.home }
  }

  /** `--json`: print for programs. Known before the command line has been read to its end, so that errors in it are JSON too. */
  get isJson(): boolean {
    return this.#program.opts().json ?? process.argv.includes('--json')
  }

  /** Says something to people that is no result. */
  say(text: string): void {
    process.stderr.write(`${text}\n`)
  }

  /** Prints the answer: `value` for programs, `text` for people. */
  answer(value: unknown, text: () => string): Promise<void> {
    return this.isJson ? this.out.json(value) : this.out.write(text())
  }
}

/** A command adds itself to the program. Its file is light; what it needs it imports when it runs. */
export type CommandModule = (program: Command, context: Context) => void

/** Adds examples to a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExample${lines.length > 1 ? 's' : ''}:\n${lines.map((line) => `  $ ${line}\n`).join('')}`
}
