/** `secrets`: what opens a door. */
import type { Check, Pack, Rule } from '../rule.ts'

/** A token of a provider, known by how it starts. */
function token(name: string, kind: string, what: string, source: string, ...literals: string[]): Rule {
  return {
    id: `secrets/${name}`,
    kind,
    what,
    patterns: [new RegExp(`(?<![A-Za-z0-9_])(?:${source})`, 'g')],
    literals,
  }
}

/** Shannon entropy in bits for each character. */
export function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  let bits = 0
  for (const n of counts.values()) bits -= (n / text.length) * Math.log2(n / text.length)
  return bits
}

/** Words that stand where a secret would, and say that there is none. */
const NO_SECRET =
  /^(?:\[.*|<.*|\$\{?.*|%.*|\*+|x+|\.+|_+|-+|null|none|nil|undefined|true|false|yes|no|empty|redacted|required|optional|string|str|text|password|secret|token|bearer|basic|changed|reset|invalid|incorrect|wrong|expired|missing|protected|field|is|was|the|and|or|for|must|should|cannot|not|has|your|my|to|in|of|number|hash|hashed|input|form|manager|policy|length)[,.;:!?)]*$/i

const isPlaceholder = (candidate: string) => candidate.length <= 64 && NO_SECRET.test(candidate)

const value: Check = { name: 'not-a-placeholder', test: (candidate) => !isPlaceholder(candidate) }

const hasEntropy: Check = {
  name: 'entropy',
  test: (candidate) => {
    if (isPlaceholder(candidate) || candidate.length < 12) return false
    const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/].filter((kind) => kind.test(candidate)).length
    return kinds >= 2 && entropy(candidate) >= 3
  },
}

/** A password in prose, as in *my password is hunter2*: not a plain word. */
const spoken: Check = {
  name: 'not-a-word',
  test: (candidate) => !isPlaceholder(candidate) && /[^A-Za-z'.,;!?-]/.test(candidate),
}

const Q = '["\'`]'

export const SECRETS: Pack = {
  name: 'secrets',
  version: 1,
  what: 'keys, tokens and passwords',
  rules: [
    {
      id: 'secrets/private-key',
      kind: 'PRIVATE_KEY',
      what: 'private keys in PEM, whole or cut off',
      patterns: [
        /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]*-(?!----)){0,24}[^-]*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?/g,
        /(?:AGE-SECRET-KEY-1[0-9A-Z]{58}|PuTTY-User-Key-File-[0-9][^\r\n]*)/g,
      ],
      literals: ['-----begin', 'age-secret-key-1', 'putty-user-key-file-'],
    },
    token(
      'aws-key-id',
      'AWS_KEY',
      'AWS access key ids',
      '(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z2-7]{16}(?![A-Za-z0-9])',
      'akia',
      'asia',
      'abia',
      'acca',
      'aroa',
      'aida',
    ),
    {
      id: 'secrets/aws-secret',
      kind: 'AWS_SECRET_KEY',
      what: 'AWS secret access keys, where they are called so',
      patterns: [
        /(?:aws|secret|access)[a-z_ .-]{0,24}["'`]?[ \t]{0,4}(?::|=>?)[ \t]{0,4}["'`]?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])/gi,
      ],
      literals: ['aws', 'secret', 'access'],
    },
    token(
      'github',
      'GITHUB_TOKEN',
      'GitHub tokens',
      'gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}',
      'ghp_',
      'gho_',
      'ghu_',
      'ghs_',
      'ghr_',
      'github_pat_',
    ),
    token(
      'gitlab',
      'GITLAB_TOKEN',
      'GitLab tokens',
      'gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas)-[A-Za-z0-9_.-]{20,}',
      'glpat-',
      'glptt-',
      'gldt-',
      'glrt-',
      'glcbt-',
      'glsoat-',
      'glft-',
      'glimt-',
      'glagent-',
      'gloas-',
    ),
    token(
      'slack',
      'SLACK_TOKEN',
      'Slack tokens and webhooks',
      'xox[abeoprs]-[A-Za-z0-9-]{10,}|xoxe\\.xox[bp]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}|hooks\\.slack\\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}',
      'xox',
      'xapp-',
      'hooks.slack.com',
    ),
    token(
      'stripe',
      'STRIPE_KEY',
      'Stripe keys and webhook secrets',
      '(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{24,}',
      'sk_live_',
      'sk_test_',
      'rk_live_',
      'rk_test_',
      'whsec_',
    ),
    token('anthropic', 'ANTHROPIC_KEY', 'Anthropic keys', 'sk-ant-[A-Za-z0-9_-]{20,}', 'sk-ant-'),
    token(
      'openai',
      'OPENAI_KEY',
      'OpenAI keys, and others that start alike',
      'sk-(?!ant-)(?:(?:proj|svcacct|admin|or-v1|None)-)?[A-Za-z0-9_-]{20,}',
      'sk-',
    ),
    token(
      'huggingface',
      'HUGGINGFACE_TOKEN',
      'Hugging Face tokens',
      '(?:hf|api_org)_[A-Za-z0-9]{30,}',
      'hf_',
      'api_org_',
    ),
    token(
      'google',
      'GOOGLE_KEY',
      'Google API keys, OAuth tokens and client secrets',
      'AIza[A-Za-z0-9_-]{35,}|ya29\\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}',
      'aiza',
      'ya29.',
      'gocspx-',
    ),
    token('npm', 'NPM_TOKEN', 'npm tokens', 'npm_[A-Za-z0-9]{36,}', 'npm_'),
    token('pypi', 'PYPI_TOKEN', 'PyPI tokens', 'pypi-[A-Za-z0-9_-]{40,}', 'pypi-'),
    token('sendgrid', 'SENDGRID_KEY', 'SendGrid keys', 'SG\\.[A-Za-z0-9_-]{16,32}\\.[A-Za-z0-9_-]{16,64}', 'sg.'),
    token(
      'other',
      'API_KEY',
      'keys of Mailgun, DigitalOcean, Databricks, Shopify, Linear, Groq, Replicate, Vault',
      'key-[0-9a-f]{32}(?![0-9a-f])|do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|lin_api_[A-Za-z0-9]{32,}|gsk_[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{30,}|hv[sb]\\.[A-Za-z0-9_-]{24,}',
      'key-',
      'doo_v1_',
      'dop_v1_',
      'dor_v1_',
      'dapi',
      'shpat_',
      'shpca_',
      'shppa_',
      'shpss_',
      'lin_api_',
      'gsk_',
      'r8_',
      'hvs.',
      'hvb.',
    ),
    token(
      'telegram',
      'TELEGRAM_TOKEN',
      'Telegram bot tokens',
      '[0-9]{8,10}:AA[A-Za-z0-9_-]{32,33}(?![A-Za-z0-9_-])',
      ':aa',
    ),
    {
      id: 'secrets/jwt',
      kind: 'JWT',
      what: 'JSON Web Tokens, signed or encrypted',
      patterns: [/(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){0,3}/g],
      literals: ['eyj'],
    },
    {
      id: 'secrets/bearer',
      kind: 'AUTHORIZATION',
      what: 'credentials behind *Bearer*, *Basic* or *Digest*',
      patterns: [
        /(?<![A-Za-z0-9_])(?:bearer|basic|digest)[ \t]{1,4}(?=[^ \r\n]{0,64}[0-9+/=_.-])([A-Za-z0-9_~+/.=-]{12,})/gi,
      ],
      literals: ['bearer', 'basic', 'digest'],
      check: value,
    },
    {
      id: 'secrets/authorization',
      kind: 'AUTHORIZATION',
      what: 'the rest of an *Authorization* header',
      patterns: [
        /(?<![A-Za-z0-9_])(?:proxy-)?authorization["'`]?[ \t]{0,4}[:=][ \t]{0,4}["'`]?((?:bearer |basic |digest |token |apikey )?[^\s"'`,;[]{6,})/gi,
      ],
      literals: ['authorization'],
      check: value,
    },
    {
      id: 'secrets/cookie',
      kind: 'AUTHORIZATION',
      what: 'the rest of a *Cookie* or *Set-Cookie* header',
      patterns: [
        /(?<![A-Za-z0-9_])(?:set-)?cookie["'`]?[ \t]{0,4}:[ \t]{0,4}["'`]?([A-Za-z0-9_.-]{1,64}=[^\r\n"'`]{6,})/gi,
      ],
      literals: ['cookie'],
    },
    {
      id: 'secrets/url-credentials',
      kind: 'CREDENTIALS',
      what: 'user and password in a URL or a connection string',
      patterns: [/(?<=[a-z0-9+.]:\/\/)([^\s/@:"'`<>[\]]{0,128}:[^\s/"'`<>[\]]{1,256})(?=@)/gi],
      literals: ['://'],
    },
    {
      id: 'secrets/connection-string',
      kind: 'CONNECTION_SECRET',
      what: 'keys in connection strings of databases, queues and storage',
      patterns: [/(?<![A-Za-z])(?:accountkey|sharedaccesskey|sharedaccesssignature|sig)[ ]?=[ ]?([^\s;&"'`[]{4,})/gi],
      literals: ['accountkey', 'sharedaccess', 'sig'],
      check: value,
    },
    {
      id: 'secrets/password',
      kind: 'PASSWORD',
      what: 'values assigned to *password*, *passwd*, *pwd*, *passphrase*, and passwords told in prose',
      patterns: [
        new RegExp(
          `(?:password|passwd|passphrase|passcode|pwd|kennwort|passwort)${Q}?[ \\t]{0,4}(?::|=>?|:=)[ \\t]{0,4}${Q}?([^\\s"'\`,;&[<]{1,})`,
          'gi',
        ),
        new RegExp(`--?(?:password|passwd|pass)[ =]${Q}?([^\\s"'\`[-][^\\s"'\`]{2,})`, 'gi'),
      ],
      literals: ['password', 'passwd', 'passphrase', 'passcode', 'pwd', 'kennwort', 'passwort', '-pass'],
      check: value,
    },
    {
      id: 'secrets/password-told',
      kind: 'PASSWORD',
      what: 'passwords and PINs told in prose, if they are no plain words',
      patterns: [
        /(?<![A-Za-z])(?:password|passphrase|passcode|pwd|pin(?: code)?)[ ]{1,2}(?:is|was|to|of)?[ :]{0,2}["'`]?([^\s"'`,;[]{4,64})/gi,
      ],
      literals: ['password', 'passphrase', 'passcode', 'pwd', 'pin'],
      check: spoken,
    },
    {
      id: 'secrets/assigned',
      kind: 'SECRET',
      what: 'values of high entropy assigned to a name such as *api_key*, *token* or *secret*',
      patterns: [
        /(?:api[_-]?key|apikey|secret|token|access[_-]?key|private[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|auth[_-]?key|session[_-]?(?:id|key)|sessionid)["'`]?[ \t]{0,4}(?::|=>?|:=|\bis\b)[ \t]{0,4}["'`]?([A-Za-z0-9_~+/.=-]{12,})/gi,
      ],
      literals: ['key', 'secret', 'token', 'credential', 'session'],
      check: hasEntropy,
    },
  ],
}
