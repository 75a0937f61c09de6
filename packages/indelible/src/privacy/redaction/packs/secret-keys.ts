/** Members that hold a secret whatever it looks like, known by their names. Part of the pack `secrets`. */

const PASSWORD =
  /(?:password|passwd|passphrase|passwordhash|passcode)$|^(?:pwd|userpwd|dbpwd|passwort|kennwort|motdepasse|contrasena)$/
const SECRET =
  /(?:secret|apikey|secretkey|privatekey|secretaccesskey|encryptionkey|signingkey|accesskey|connectionstring)$|^(?:xapikey|apisecret)$/
const AUTHORIZATION = /^(?:proxy)?authorization$|^(?:set)?cookies?$/
/** Also the name of things that are not secret, such as words of a language model. */
const TOKEN = /token$/

/** The kind of what member `key` holds, if its name says that it is secret. */
export function secretKind(key: string, value: unknown): string | undefined {
  const plain = plainKey(key)
  if (PASSWORD.test(plain)) return 'PASSWORD'
  if (SECRET.test(plain)) return 'SECRET'
  if (AUTHORIZATION.test(plain)) return 'AUTHORIZATION'
  if (TOKEN.test(plain) && typeof value === 'string' && /^[^\s]{12,}$/.test(value) && /[0-9]/.test(value))
    return 'SECRET'
  return undefined
}

/** A member's name in small letters, without separators. */
export function plainKey(key: string): string {
  return key
    .slice(-64)
    .replace(/[^A-Za-z0-9]/g, '')
    .toLowerCase()
}
