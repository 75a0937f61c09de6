/**
 * Makes `worked-example.json`: a log of three entries under fixed keys, with every intermediate value. `docs/format.md` walks
 * through it, and a test keeps the three equal. All keys are public; they sign nothing that matters.
 *
 *     npm run build && npx node vectors/worked-example.mjs            writes the file
 *     npm run build && npx node vectors/worked-example.mjs --check    exits 1 if the file is another
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const library = (path) => import(new URL(`../packages/indelible/dist/${path}`, import.meta.url).href)
const { concat, toBase64, toBase64Url, toHex, u64be, utf8, utf8Length } = await library('bytes.js')
const { entryMac, epochMacKey, GENESIS_MAC, macKeyId, Ratchet, sealMac } = await library('chain/chain.js')
const { formatMacVerificationKey, parseMacVerificationKey } = await library('chain/verification-key.js')
const { signerFromSkey } = await library('keys/signer.js')
const { formatCheckpoint, parseCheckpoint } = await library('note/checkpoint.js')
const { formatVkey, parseNote, parseVkey, signNote, verifierKey } = await library('note/signed-note.js')
const { formatSkey } = await library('note/skey.js')
const { formatTlogProof } = await library('note/tlog-proof.js')
const { hkdfSha256, hmacSha256, macKey, sha256 } = await library('platform/crypto-node.js')
const { disclose } = await library('record/disclosure.js')
const { formatId } = await library('record/id.js')
const { canonicalize } = await library('record/jcs.js')
const { MemoryStore } = await library('store/memory.js')
const { Frontier } = await library('tree/frontier.js')
const { leafHash } = await library('tree/hash.js')
const { proveConsistency, proveInclusion } = await library('tree/proof.js')
const { sourceNodeReader } = await library('tree/source.js')
const { checkProof } = await library('verify/check-proof.js')
const { formatRotation } = await library('verify/key-history.js')
const { verifyLog } = await library('verify/verify-log.js')

const ORIGIN = 'example.com/worked-example'
const START = '2026-01-01T00:00:00.000Z'
const CLOCK = { startMs: Date.parse(START), seconds: 3600 }

/** 32 bytes that count up from `first`. */
const counting = (first) => Uint8Array.from({ length: 32 }, (_, i) => first + i)
const SEED = counting(0x00)
const FIRST_KEY = counting(0x20)
const SALT = counting(0x40)
const FINGERPRINT_KEY = counting(0x60)
const NEXT_SEED = counting(0x80)

// Everything before the seed in the PKCS#8 form of an Ed25519 key is fixed (RFC 8410); the public key is asked of OpenSSL.
async function signerOf(seed) {
  const { createPrivateKey, createPublicKey } = await import('node:crypto')
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const publicKey = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }))
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const key = verifierKey({ name: ORIGIN, type: 1, publicKey: new Uint8Array(raw) })
  const skey = formatSkey(key, seed)
  return { skey, signer: signerFromSkey(skey) }
}

const idAt = (time, first) =>
  formatId(
    Date.parse(time),
    Uint8Array.from({ length: 10 }, (_, i) => first + i),
  )

/** The example, as the value of the JSON file. */
export async function workedExample() {
  const { skey, signer } = await signerOf(SEED)
  const { signer: next } = await signerOf(NEXT_SEED)
  const store = new MemoryStore()
  const frontier = Frontier.empty()
  const ratchet = new Ratchet(0, FIRST_KEY)
  const entries = []
  const checkpoints = []
  let mac = GENESIS_MAC

  /** Appends one entry as a batch of its own, and publishes the checkpoint. */
  const append = async (record, epoch, payloads = []) => {
    const index = entries.length
    const text = canonicalize(record)
    const entry = utf8(text)
    const leaf = leafHash(entry)
    frontier.append(leaf)
    ratchet.advance(epoch)
    const key = ratchet.macKey(ORIGIN)
    const input = concat(utf8('indelible/mac@1\n'), u64be(epoch), u64be(index), mac, leaf)
    mac = entryMac(key, epoch, index, mac, leaf)
    assert.deepEqual(new Uint8Array(hmacSha256(key, input)), new Uint8Array(mac))
    const note = await signNote(formatCheckpoint({ origin: ORIGIN, size: index + 1, root: frontier.root() }), [signer])
    const { observed } = record
    const head = {
      size: index + 1,
      frontier: frontier.hashes,
      mac,
      epoch,
      observed,
      checkpoint: note,
      published: observed,
      minIndex: 0,
    }
    await store.append([], () => ({
      from: index,
      entries: [entry],
      leaves: [leaf],
      macs: [mac],
      epochs: [epoch],
      payloads: payloads.map(([name, disclosure]) => ({ index, name, disclosure })),
      ids: [{ id: record.id, index, digest: null }],
      tiles: [],
      head,
      publish: true,
    }))
    const hashes = { leaf: toHex(leaf), mac_input: toHex(input), mac: toHex(mac) }
    entries.push({ index, epoch, bytes: entry.length, entry: text, ...hashes })
    checkpoints.push({ size: index + 1, root: toHex(frontier.root()), note })
  }

  const system = {
    schema: 'indelible/entry@1',
    actor: { type: 'system', id: 'indelible' },
    outcome: 'success',
    assurance: 'observed',
  }
  const macId = macKeyId(FIRST_KEY, ORIGIN)
  const opened = {
    origin: ORIGIN,
    vkey: formatVkey(signer.key),
    profile: 'default',
    epoch_start: START,
    epoch_seconds: CLOCK.seconds,
    mac_id: toBase64Url(macId),
    software: 'indelible/0.1.0',
  }
  await append(
    { ...system, id: idAt(START, 0xa0), time: START, observed: START, type: 'audit.opened', audit: opened },
    0,
  )

  const time = '2026-01-01T00:20:00.250Z'
  const id = idAt(time, 0xb0)
  const value = canonicalize({ temperature: 21.5, unit: '°C' })
  const fingerprint = `hmac-sha256:${toBase64Url(hmacSha256(macKey(FINGERPRINT_KEY), value))}`
  const meta = canonicalize({ bytes: utf8Length(value), fingerprint })
  const { disclosure, commit } = disclose({ origin: ORIGIN, id, name: 'output', salt: toBase64Url(SALT), value, meta })
  const event = {
    ...system,
    id,
    time,
    observed: '2026-01-01T00:20:00.251Z',
    type: 'tool.end',
    actor: { type: 'agent', id: 'weather-agent', on_behalf_of: 'customer-7' },
    tool: { name: 'get_weather' },
    call: 'call-1',
    duration_ms: 12.5,
    parts: { output: { commit, mode: 'full' } },
  }
  await append(event, 0, [['output', disclosure]])

  const sealTime = '2026-01-01T01:05:00.000Z'
  const sealedRoot = frontier.root()
  const seal = sealMac(epochMacKey(FIRST_KEY, ORIGIN, 0), 0, 2, sealedRoot)
  const sealed = { size: 2, root: toBase64Url(sealedRoot), first_epoch: 0, seals: [toBase64Url(seal)] }
  const sealRecord = { ...system, id: idAt(sealTime, 0xc0), time: sealTime, observed: sealTime }
  await append({ ...sealRecord, type: 'audit.epoch.sealed', audit: sealed }, 1)

  const read = sourceNodeReader(store, 3)
  const inclusion = await proveInclusion(1, 3, read)
  const proof = formatTlogProof({ index: 1, proof: inclusion, checkpoint: checkpoints[2].note })
  const verificationKey = formatMacVerificationKey({ origin: ORIGIN, clock: CLOCK, key: FIRST_KEY })
  const rotation = await signNote(formatRotation(ORIGIN, signer.key, next.key), [signer, next])

  const keys = [parseVkey(opened.vkey)]
  const { size, root } = parseCheckpoint(parseNote(checkpoints[0].note).text)
  const policy = { origin: ORIGIN, keys, pin: { size, root }, macKey: parseMacVerificationKey(verificationKey) }
  assert.equal((await verifyLog(store, policy)).verdict, 'verified')
  checkProof(proof, utf8(entries[1].entry), policy)

  const firstKey = new Ratchet(0, FIRST_KEY)
  const epochs = [0, 1].map((epoch) => {
    firstKey.advance(epoch)
    const info = concat(utf8('indelible/mac-key@1\n'), sha256(ORIGIN), u64be(epoch))
    return { epoch, ratchet_key: toHex(firstKey.key), mac_key: toHex(hkdfSha256(firstKey.key, info, 32)) }
  })
  return {
    description: 'A log of three entries under fixed keys; docs/format.md walks through it.',
    provenance:
      'Own output, made by vectors/worked-example.mjs and checked by verifyLog and checkProof. The keys are public.',
    origin: ORIGIN,
    keys: {
      seed: toHex(SEED),
      skey,
      vkey: opened.vkey,
      first_ratchet_key: toHex(FIRST_KEY),
      mac_verification_key: verificationKey,
      mac_id: toHex(macId),
      fingerprint_key: toHex(FINGERPRINT_KEY),
    },
    epochs: { start: START, seconds: CLOCK.seconds, keys: epochs },
    entries,
    part: { name: 'output', salt: toBase64Url(SALT), value, fingerprint, disclosure, commit },
    seal: {
      epoch: 0,
      size: 2,
      root: toHex(sealedRoot),
      input: toHex(concat(utf8('indelible/seal@1\n'), u64be(0), u64be(2), sealedRoot)),
      seal: toHex(seal),
    },
    checkpoints,
    frontier: frontier.hashes.map(toHex),
    inclusion_proof: { index: 1, size: 3, hashes: inclusion.map(toBase64) },
    consistency_proof: { from: 1, to: 3, hashes: (await proveConsistency(1, 3, read)).map(toBase64) },
    tlog_proof: proof,
    rotation: { next_seed: toHex(NEXT_SEED), next_vkey: formatVkey(next.key), statement: rotation },
  }
}

const path = fileURLToPath(import.meta.url)
if (process.argv[1] === path) {
  const file = path.replace(/\.mjs$/, '.json')
  const text = `${JSON.stringify(await workedExample(), null, 2)}\n`
  if (!process.argv.includes('--check')) writeFileSync(file, text)
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`${file} is not what this code makes`)
    process.exitCode = 1
  }
}
