/** Members that hold a secret whatever it looks like, known by their names. Part of the pack `secrets`. */

const PASSWORD =
  /(?:password|passwd|passphrase|passwordhash|passcode)$|^(?:pwd|userpwd|dbpwd|passwort|kennwort|motdepasse|contrasena)$/
const SECRET =
  /(?:secret|apikey|secretkey|privatekey|secretaccesskey|encryptionkey|signingkey|accesskey|connectionstring)$|^(?:xapikey|apisecret)$/
const AUTHORIZATION = /^(?:proxy)?authorization$|^(?:set)?cookies?$/
/** Also the name of things that are not secret, such as words of a language model. */
const TOKEN = /token$/

/** The name of a card verification code. */
const CVV =
  /^(?:card)?(?:cvv2?|cvc2?|csc|cvn2?|cav2?|cid|securitycode|verificationcode|verificationvalue|cardsecuritycode)$/

interface NameFacts {
  readonly kind: string | undefined
  readonly isToken: boolean
  readonly isCvv: boolean
}

/** Few names are met again and again. */
const MOST_NAMES = 4096
const names = new Map<string, NameFacts>()

function factsOf(key: string): NameFacts {
  const known = names.get(key)
  if (known) return known
  const plain = key
    .slice(-64)
    .replace(/[^A-Za-z0-9]/g, '')
    .toLowerCase()
  const kind = PASSWORD.test(plain)
    ? 'PASSWORD'
    : SECRET.test(plain)
      ? 'SECRET'
      : AUTHORIZATION.test(plain)
        ? 'AUTHORIZATION'
        : undefined
  const facts = { kind, isToken: TOKEN.test(plain), isCvv: CVV.test(plain) }
  if (names.size >= MOST_NAMES) names.clear()
  if (key.length <= 64) names.set(key, facts)
  return facts
}

/** The kind of what member `key` holds, if its name says that it is secret. */
export function secretKind(key: string, value: unknown): string | undefined {
  const { kind, isToken } = factsOf(key)
  if (kind !== undefined) return kind
  return isToken && typeof value === 'string' && /^[^\s]{12,}$/.test(value) && /[0-9]/.test(value)
    ? 'SECRET'
    : undefined
}

/** Whether member `key` holds a card verification code. */
export function isCvv(key: string, value: unknown): boolean {
  return factsOf(key).isCvv && /^[0-9]{3,4}$/.test(String(value))
}
