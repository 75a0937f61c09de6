/** The built-in packs. */
import { sha256 } from '#crypto'
import { toHex, utf8 } from '../../../bytes.ts'
import { IndelibleError } from '../../../errors.ts'
import { canonicalize } from '../../../record/jcs.ts'
import { ALWAYS_ON, PACK_NAMES, type Pack, type PackName, type Rule } from '../rule.ts'
import { EU, UK } from './europe.ts'
import { GLOBAL } from './global.ts'
import { HIPAA, PCI } from './health.ts'
import { AU, BR, IN, SG } from './others.ts'
import { SECRETS } from './secrets.ts'
import { CA, US } from './us.ts'

const PACKS: readonly Pack[] = [SECRETS, GLOBAL, US, CA, UK, EU, AU, IN, BR, SG, PCI, HIPAA]

/** Every pack there is, in the order in which they are tried. */
export function allPacks(): readonly Pack[] {
  return PACKS
}

/**
 * The packs called `names`, and those that are always on.
 * @throws IndelibleError `ERR_CONFIG_INVALID` for a name that no pack has
 */
export function choosePacks(names: readonly string[]): readonly Pack[] {
  const wanted = new Set<string>([...ALWAYS_ON, ...names])
  for (const name of wanted) {
    if (!isPackName(name)) {
      throw new IndelibleError(
        'ERR_CONFIG_INVALID',
        `no redaction pack ${quoted(name)}; there are: ${PACK_NAMES.join(', ')}`,
      )
    }
  }
  return PACKS.filter(({ name }) => wanted.has(name))
}

function isPackName(name: string): name is PackName {
  return (PACK_NAMES as readonly string[]).includes(name)
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 64))
}

/** Rules of packs, each once: some packs share one. */
export function rulesOf(packs: readonly Pack[]): Rule[] {
  return [...new Set(packs.flatMap(({ rules }) => rules))]
}

/** SHA-256 over all that the rules of a pack say, except the code of their checks, which the version speaks for. */
export function packHash({ name, version, rules }: Pack): string {
  const said = rules.map(({ id, kind, patterns, literals = [], digits = 0, shape = '', near = [], check }) => ({
    id,
    kind,
    patterns: patterns.map(String),
    literals: [...literals],
    digits,
    shape,
    near: [...near],
    check: check?.name ?? '',
  }))
  return toHex(sha256(utf8(canonicalize({ name, version, rules: said }))))
}
