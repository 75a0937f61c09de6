/**
 * Timestamp tokens (RFC 3161, with RFC 5816): an authority's signed word that some bytes existed at a time. Reads ASN.1 and
 * certificates with pkijs, which runs in a browser; what RFC 3161 demands beyond a valid CMS signature is checked here.
 * Revocation is not looked up: whoever wants that takes an authority out of the certificates that he trusts.
 */

import { Integer, ObjectIdentifier, OctetString, Sequence } from 'asn1js'
import {
  type Attribute,
  BasicConstraints,
  Certificate,
  CertificateChainValidationEngine,
  ContentInfo,
  ExtKeyUsage,
  getCrypto,
  SignedData,
  type SignerInfo,
  TSTInfo,
} from 'pkijs'
import { sha256 } from '#crypto'
import { fromBase64, isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'

/** Which authorities a verifier believes. */
export interface TimestampTrust {
  /** DER. A chain has to lead to one of these; the authority's own certificate will do. */
  readonly certificates: readonly Uint8Array[]
  /** OID of the policy under which the token has to be issued, if it matters. */
  readonly policy?: string
}

/** What a token that was checked says. */
export interface Timestamp {
  /** `genTime`, POSIX seconds. */
  readonly time: number
  /** Common name of the authority's certificate, or its whole subject. */
  readonly authority: string
  /** End of the first certificate of the chain that ends, POSIX seconds: after that the token is judged at its own time. */
  readonly chainEnds: number
  /** Of the request, as an unsigned big-endian integer; `null` if the token has none. */
  readonly nonce: Uint8Array | null
}

const ID_SIGNED_DATA = '1.2.840.113549.1.7.2'
const ID_TST_INFO = '1.2.840.113549.1.9.16.1.4'
const ID_CONTENT_TYPE = '1.2.840.113549.1.9.3'
const ID_MESSAGE_DIGEST = '1.2.840.113549.1.9.4'
const ID_SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.12'
const ID_SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47'
const ID_EXT_KEY_USAGE = '2.5.29.37'
const ID_BASIC_CONSTRAINTS = '2.5.29.19'
const ID_TIME_STAMPING = '1.3.6.1.5.5.7.3.8'
const ID_SHA256 = '2.16.840.1.101.3.4.2.1'

/** Hashes that an authority may sign with, by OID. SHA-1 is not among them. */
const DIGESTS: ReadonlyMap<string, string> = new Map([
  [ID_SHA256, 'SHA-256'],
  ['2.16.840.1.101.3.4.2.2', 'SHA-384'],
  ['2.16.840.1.101.3.4.2.3', 'SHA-512'],
])

/** Signatures over SHA-1 and MD5, by OID: for anybody to forge, sooner or later. */
const WEAK: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.4',
  '1.2.840.113549.1.1.5',
  '1.3.14.3.2.29',
  '1.2.840.10040.4.3',
  '1.2.840.10045.4.1',
])

/** Most certificates that a token may carry. */
const MAX_CERTIFICATES = 16

interface WebDigest {
  digest(algorithm: string, data: Uint8Array): Promise<ArrayBuffer>
}

/** What the chain engine of pkijs says of a certificate before or after its time. */
const OUTSIDE_VALIDITY = 8

/**
 * The certificates in a PEM text, as DER.
 * @throws IndelibleError `ERR_KEY_INVALID` if there is none, or one that cannot be read
 */
export function parseCertificates(pem: string): Uint8Array[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)
  const certificates = Array.from(blocks, ([, base64]) => {
    try {
      const der = fromBase64(base64!.replace(/\s/g, ''))
      Certificate.fromBER(der)
      return der
    } catch (cause) {
      throw new IndelibleError('ERR_KEY_INVALID', 'a certificate cannot be read', { cause })
    }
  })
  if (certificates.length === 0) throw new IndelibleError('ERR_KEY_INVALID', 'there is no PEM certificate')
  return certificates
}

/**
 * Checks that `token` is an authority's word that `data` existed.
 *
 * @param token DER of the TimeStampToken, a CMS ContentInfo
 * @throws IndelibleError `ERR_PROOF_INVALID` if it is malformed, of other data, or its signature does not verify;
 * `ERR_NOTE_UNVERIFIED` if its chain leads to none of the trusted certificates; `ERR_ANCHOR_REFUSED` if it does, and the
 * authority may not say so: outside the validity of its certificates, without the right to timestamp, under another policy
 */
export async function checkTimestamp(token: Uint8Array, data: Uint8Array, trust: TimestampTrust): Promise<Timestamp> {
  try {
    return await check(token, data, trust)
  } catch (error) {
    if (error instanceof IndelibleError) throw error
    // What reads certificates fails on hostile ones in many ways.
    throw invalid('it cannot be read', error)
  }
}

async function check(token: Uint8Array, data: Uint8Array, trust: TimestampTrust): Promise<Timestamp> {
  const { signed, signer, info } = readToken(token)
  const { messageImprint, policy, genTime } = info
  if (messageImprint.hashAlgorithm.algorithmId !== ID_SHA256) throw invalid('its imprint is not SHA-256')
  if (!isEqual(messageImprint.hashedMessage.valueBlock.valueHexView, sha256(data))) {
    throw invalid('it is a timestamp of something else')
  }
  const { digestAlgorithm, signatureAlgorithm } = signer
  if (!DIGESTS.has(digestAlgorithm.algorithmId) || WEAK.has(signatureAlgorithm.algorithmId)) {
    throw invalid('it is not signed with SHA-256, SHA-384 or SHA-512')
  }
  const certificates = (signed.certificates ?? []).filter((one) => one instanceof Certificate)
  if (certificates.length > MAX_CERTIFICATES) throw invalid(`it carries ${certificates.length} certificates`)
  const own = await signingCertificate(signer, certificates)
  await checkSignature(signed, data)
  const chain = await chainOf(own, certificates, trust, genTime)
  checkAuthority(own, chain)
  if (trust.policy !== undefined && policy !== trust.policy) throw refused(`it is issued under the policy ${policy}`)
  return {
    time: genTime.getTime() / 1000,
    authority: nameOf(own),
    chainEnds: Math.min(...chain.map(({ notAfter }) => notAfter.value.getTime() / 1000)),
    nonce: info.nonce ? withoutLeadingZeros(info.nonce.valueBlock.valueHexView) : null,
  }
}

function readToken(token: Uint8Array): { signed: SignedData; signer: SignerInfo; info: TSTInfo } {
  let signed: SignedData
  let info: TSTInfo
  try {
    const content = ContentInfo.fromBER(new Uint8Array(token))
    if (content.contentType !== ID_SIGNED_DATA) throw new TypeError('not signed data')
    signed = new SignedData({ schema: content.content })
    const { eContent, eContentType } = signed.encapContentInfo
    // The authority's key may sign other things; none of them is a timestamp.
    if (eContentType !== ID_TST_INFO || !eContent) throw new TypeError('not a TSTInfo')
    info = TSTInfo.fromBER(eContent.getValue())
    if (Number.isNaN(info.genTime.getTime())) throw new TypeError('no time')
  } catch (cause) {
    throw invalid('it cannot be read', cause)
  }
  const [signer, ...others] = signed.signerInfos
  // RFC 3161 §2.4.2: no signature but the authority's.
  if (!signer || others.length > 0) throw invalid(`it has ${signed.signerInfos.length} signatures`)
  if (info.version !== 1) throw invalid(`it is of version ${info.version}`)
  const contentType = onlyAttribute(signer, ID_CONTENT_TYPE)
  onlyAttribute(signer, ID_MESSAGE_DIGEST)
  if (!(contentType instanceof ObjectIdentifier) || contentType.valueBlock.toString() !== ID_TST_INFO) {
    throw invalid('its signature is over another type of content')
  }
  return { signed, signer, info }
}

/** The one value of a signed attribute that has to be there once. */
function onlyAttribute({ signedAttrs }: SignerInfo, type: string): unknown {
  const found = (signedAttrs?.attributes ?? []).filter((attribute) => attribute.type === type)
  if (found.length !== 1 || found[0]!.values.length !== 1) throw invalid(`signed attribute ${type} is not there once`)
  return found[0]!.values[0]
}

/**
 * The certificate that the signature names by its hash (ESSCertID, RFC 2634 §5.4; ESSCertIDv2, RFC 5035 §3): issuer and
 * serial number alone would let somebody exchange it.
 */
async function signingCertificate(signer: SignerInfo, certificates: readonly Certificate[]): Promise<Certificate> {
  const attributes = signer.signedAttrs?.attributes ?? []
  const v2 = attributes.find(({ type }) => type === ID_SIGNING_CERTIFICATE_V2)
  const attribute = v2 ?? attributes.find(({ type }) => type === ID_SIGNING_CERTIFICATE)
  const named = attribute && firstCertId(attribute)
  if (!named) throw invalid('its signature does not name a certificate')
  const algorithm = named.algorithm ?? (v2 ? 'SHA-256' : 'SHA-1')
  // WebCrypto's interface, which the pure half has no types of.
  const engine = getCrypto(true) as unknown as WebDigest
  for (const certificate of certificates) {
    const der = new Uint8Array(certificate.toSchema().toBER())
    if (isEqual(new Uint8Array(await engine.digest(algorithm, der)), named.hash)) return certificate
  }
  throw invalid('it does not carry the certificate that its signature names')
}

function firstCertId(attribute: Attribute): { hash: Uint8Array; algorithm: string | null } | null {
  const [value] = attribute.values as unknown[]
  const [list] = value instanceof Sequence ? value.valueBlock.value : []
  const [id] = list instanceof Sequence ? list.valueBlock.value : []
  if (!(id instanceof Sequence)) return null
  const [first, second] = id.valueBlock.value
  if (first instanceof OctetString) return { hash: first.valueBlock.valueHexView, algorithm: null }
  if (!(first instanceof Sequence) || !(second instanceof OctetString)) return null
  const [oid] = first.valueBlock.value
  const algorithm = oid instanceof ObjectIdentifier ? DIGESTS.get(oid.valueBlock.toString()) : undefined
  return algorithm === undefined ? null : { hash: second.valueBlock.valueHexView, algorithm }
}

async function checkSignature(signed: SignedData, data: Uint8Array): Promise<void> {
  let isGood: boolean
  try {
    isGood = await signed.verify({ signer: 0, data: new Uint8Array(data).buffer })
  } catch (cause) {
    throw invalid('its signature cannot be checked', cause)
  }
  if (!isGood) throw invalid('its signature does not verify')
}

/** From the authority's certificate to a trusted one, valid at the time of the token, both ends included. */
async function chainOf(
  own: Certificate,
  certificates: readonly Certificate[],
  trust: TimestampTrust,
  at: Date,
): Promise<readonly Certificate[]> {
  const outside = () => refused('its certificates were not valid at the time that it states')
  const trustedCerts = trust.certificates.map((der) => Certificate.fromBER(new Uint8Array(der)))
  if (trustedCerts.some(({ tbsView }) => isEqual(tbsView, own.tbsView))) {
    if (at < own.notBefore.value || at > own.notAfter.value) throw outside()
    return [own]
  }
  const between = await pathTo(trustedCerts, own, certificates.filter(isAuthority))
  if (between === null) throw unknown()
  const engine = new CertificateChainValidationEngine({ trustedCerts, certs: [...between, own], checkDate: at })
  const {
    result,
    resultCode,
    resultMessage,
    certificatePath = [],
  } = await engine.verify({
    passedWhenNotRevValues: true,
  })
  if (resultCode === OUTSIDE_VALIDITY) throw outside()
  if (!result) throw unknown(resultMessage)
  return certificatePath
}

/**
 * The authorities between `own` and one that is trusted, `null` if there is no way. The chain engine gets these alone: of
 * certificates that issued each other it would never come back.
 */
async function pathTo(
  trusted: readonly Certificate[],
  own: Certificate,
  candidates: readonly Certificate[],
): Promise<Certificate[] | null> {
  const seen = new Set<Certificate>([own])
  const issuedBy = async (one: Certificate, issuer: Certificate) =>
    one.issuer.isEqual(issuer.subject) && (await one.verify(issuer).catch(() => false))
  const walk = async (from: Certificate): Promise<Certificate[] | null> => {
    for (const issuer of trusted) if (await issuedBy(from, issuer)) return []
    for (const issuer of candidates) {
      if (seen.has(issuer) || !(await issuedBy(from, issuer))) continue
      seen.add(issuer)
      const rest = await walk(issuer)
      if (rest) return [issuer, ...rest]
    }
    return null
  }
  return walk(own)
}

/** What the chain engine leaves to its caller: RFC 3161 §2.3, and RFC 5280 §4.2.1.9 on the length of a path. */
function checkAuthority(own: Certificate, chain: readonly Certificate[]): void {
  const usages = (own.extensions ?? []).filter(({ extnID }) => extnID === ID_EXT_KEY_USAGE)
  const [usage] = usages
  const purposes = usage?.parsedValue instanceof ExtKeyUsage ? usage.parsedValue.keyPurposes : []
  if (usages.length !== 1 || !usage!.critical || purposes.length !== 1 || purposes[0] !== ID_TIME_STAMPING) {
    throw refused('its certificate is not one for timestamps alone (extendedKeyUsage critical, timeStamping)')
  }
  // The last one is trusted as it is.
  if (chain.slice(0, -1).some(({ signatureAlgorithm }) => WEAK.has(signatureAlgorithm.algorithmId))) {
    throw refused('its chain has a signature over SHA-1 or MD5')
  }
  for (const [i, certificate] of chain.entries()) {
    const most = constraintsOf(certificate)?.pathLenConstraint
    const limit = most instanceof Integer ? most.valueBlock.valueDec : most
    if (i > 0 && limit !== undefined && i - 1 > limit) throw refused('its chain is longer than its authorities allow')
  }
}

const isAuthority = (certificate: Certificate) => constraintsOf(certificate)?.cA === true

function constraintsOf({ extensions = [] }: Certificate): BasicConstraints | undefined {
  const value = extensions.find(({ extnID }) => extnID === ID_BASIC_CONSTRAINTS)?.parsedValue
  return value instanceof BasicConstraints ? value : undefined
}

function nameOf({ subject }: Certificate): string {
  const parts = subject.typesAndValues.map(({ type, value }) => ({ type: String(type), text: value.valueBlock.value }))
  const common = parts.find(({ type }) => type === '2.5.4.3')
  return common ? String(common.text) : parts.map(({ text }) => String(text)).join(', ')
}

/** An INTEGER in DER has a zero byte before a high bit. */
export function withoutLeadingZeros(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0)
  return new Uint8Array(start < 0 ? [] : bytes.subarray(start))
}

const invalid = (what: string, cause?: unknown) =>
  new IndelibleError('ERR_PROOF_INVALID', `timestamp token: ${what}`, cause === undefined ? undefined : { cause })
const unknown = (why = 'no way') =>
  new IndelibleError(
    'ERR_NOTE_UNVERIFIED',
    `timestamp token: its chain leads to no certificate that is trusted (${why})`,
  )
const refused = (what: string) => new IndelibleError('ERR_ANCHOR_REFUSED', `timestamp token: ${what}`)
