/** The commands by name. Which file a command line needs is known by its first word, and only that is loaded. */
import type { CommandModule } from './context.ts'

interface CommandFile {
  /** Of all commands that it adds to the program; a test compares. */
  readonly names: readonly string[]
  load(): Promise<CommandModule>
}

/** In the order of the help. */
export const COMMANDS: readonly CommandFile[] = [
  { names: ['init'], load: async () => (await import('./init.ts')).addInit },
  { names: ['record'], load: async () => (await import('./record.ts')).addRecord },
  { names: ['list'], load: async () => (await import('./list.ts')).addList },
  { names: ['show'], load: async () => (await import('./show.ts')).addShow },
  { names: ['tail'], load: async () => (await import('./tail.ts')).addTail },
  { names: ['mcp-proxy'], load: async () => (await import('./mcp-proxy.ts')).addMcpProxy },
  { names: ['import'], load: async () => (await import('./import-command.ts')).addImport },
  { names: ['export'], load: async () => (await import('./export.ts')).addExport },
  { names: ['erase'], load: async () => (await import('./erase.ts')).addErase },
  { names: ['subject'], load: async () => (await import('./subject.ts')).addSubject },
  { names: ['verify'], load: async () => (await import('./verify.ts')).addVerify },
  { names: ['prove'], load: async () => (await import('./prove.ts')).addProve },
  { names: ['check'], load: async () => (await import('./check.ts')).addCheck },
  { names: ['checkpoint'], load: async () => (await import('./checkpoint.ts')).addCheckpoint },
  { names: ['approve', 'waive', 'attest'], load: async () => (await import('./decide.ts')).addDecisions },
  { names: ['waivers'], load: async () => (await import('./waivers.ts')).addWaivers },
  { names: ['dataset'], load: async () => (await import('./dataset.ts')).addDataset },
  { names: ['model', 'eval'], load: async () => (await import('./model.ts')).addModel },
  { names: ['lineage'], load: async () => (await import('./lineage.ts')).addLineage },
  { names: ['approvals'], load: async () => (await import('./approvals.ts')).addApprovals },
  { names: ['identity'], load: async () => (await import('./identity.ts')).addIdentity },
  { names: ['anchor'], load: async () => (await import('./anchor.ts')).addAnchor },
  { names: ['witness'], load: async () => (await import('./witness.ts')).addWitness },
  { names: ['retention'], load: async () => (await import('./retention.ts')).addRetention },
  { names: ['hold'], load: async () => (await import('./hold.ts')).addHold },
  { names: ['serve'], load: async () => (await import('./serve.ts')).addServe },
  { names: ['keys'], load: async () => (await import('./keys.ts')).addKeys },
  { names: ['index'], load: async () => (await import('./index-command.ts')).addIndex },
  { names: ['copy'], load: async () => (await import('./copy.ts')).addCopy },
  { names: ['archive'], load: async () => (await import('./archive.ts')).addArchive },
  { names: ['privacy'], load: async () => (await import('./privacy.ts')).addPrivacy },
  { names: ['fingerprint'], load: async () => (await import('./fingerprint.ts')).addFingerprint },
  { names: ['redact'], load: async () => (await import('./redact.ts')).addRedact },
  { names: ['config'], load: async () => (await import('./config-command.ts')).addConfig },
  { names: ['status'], load: async () => (await import('./status.ts')).addStatus },
  { names: ['store'], load: async () => (await import('./store-command.ts')).addStore },
  { names: ['doctor'], load: async () => (await import('./doctor.ts')).addDoctor },
  { names: ['completion'], load: async () => (await import('./completion.ts')).addCompletion },
]

/**
 * What a command line has to know of commands: the one that it names; none to print the version; all for help, for the scripts
 * of `completion`, and to say what is nearest to a word that is no command.
 *
 * @param args as typed, without the program
 */
export function neededBy(args: readonly string[]): readonly CommandFile[] {
  const word = firstWord(args)
  if (word === '--version' || word === '-V') return []
  const named = word === 'completion' ? undefined : COMMANDS.find(({ names }) => names.includes(word ?? ''))
  return named ? [named] : COMMANDS
}

/** The first that is none of the program's own options with an effect on every command. */
function firstWord(args: readonly string[]): string | undefined {
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!
    if (word === '--home') i++
    else if (word !== '--json' && !word.startsWith('--home=')) return word
  }
  return undefined
}
