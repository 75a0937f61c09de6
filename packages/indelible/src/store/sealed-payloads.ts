/**
 * Payloads encrypted with AES-256-GCM before a back-end sees them. Back-ends whose logs, replicas and backups keep what was
 * deleted keep ciphertext: without the keys, which are elsewhere, it says nothing (crypto-shredding).
 *
 * A payload of an entry that concerns persons is under all of their keys together: whoever of them is forgotten, it can be
 * read no more. Others are under a key of the day on which they were recorded.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { formatSealed, isSealed, parseSealed, sealedContext } from '../record/sealed.ts'
import { payloadKey } from './payload-key.ts'
import type { Batch, EntrySubjects, LogStore, StoredPayload } from './store.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Stands for a sealed payload that its own key does not open: it matches no commitment. */
export const BROKEN_SEAL = 'indelible/broken-seal'

export interface PayloadKey {
  readonly id: string
  /** 32 bytes. */
  readonly key: Uint8Array
}

/** Where the keys come from: a vault. */
export interface PayloadKeys {
  readonly id: string
  /** Keys for payloads of an entry that concerns `subjects`, made where there are none yet; of a `day` if it is nobody's. */
  keysFor(
    entries: readonly { readonly subjects: readonly string[]; readonly day: string }[],
  ): readonly (readonly PayloadKey[])[]
  /** `forgotten` once its person was erased; `null` for a key that was never of this vault. */
  key(id: string): Uint8Array | 'forgotten' | null
}

export interface SealOptions {
  readonly origin: string
  /** Whether new payloads are sealed. Old ones are opened in any case. */
  readonly seal: boolean
}

/**
 * Puts encryption before a store. What the keys at hand do not open is handed on sealed, for `isSealed` to tell; what they
 * should open and do not is `BROKEN_SEAL`.
 */
export function sealPayloads(store: LogStore, keys: PayloadKeys, { origin, seal }: SealOptions): LogStore {
  const open = (payload: StoredPayload) => openPayload(payload, keys, origin)
  const sealed = (batch: Batch) => (seal ? sealBatch(batch, keys, origin) : batch)
  const { appendAfter } = store
  const own: Partial<LogStore> = {
    append: (ids, make) =>
      store.append(ids, async (locked) => {
        const batch = await make(locked)
        return batch && sealed(batch)
      }),
    ...(appendAfter && { appendAfter: (head, batch) => appendAfter.call(store, head, sealed(batch)) }),
    payload: async (index, name) => {
      const disclosure = await store.payload(index, name)
      return disclosure === null ? null : open({ index, name, disclosure })
    },
    sealedUnder: async (index) => {
      const found = new Map<string, readonly string[]>()
      for await (const rows of store.payloads(index, index + 1)) {
        for (const { name, disclosure } of rows) {
          const sealed = isSealed(disclosure) ? parseSealed(disclosure) : null
          found.set(name, sealed?.vault === keys.id ? sealed.keys : [])
        }
      }
      return found
    },
    async *payloads(start, end) {
      for await (const rows of store.payloads(start, end)) {
        yield rows.map((row) => (isSealed(row.disclosure) ? { ...row, disclosure: open(row) } : row))
      }
    },
  }
  // Whatever else a back-end can do, it does itself.
  return new Proxy(store, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof LogStore]
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

function sealBatch(batch: Batch, keys: PayloadKeys, origin: string): Batch {
  const day = batch.head.observed.slice(0, 10)
  const subjects = new Map((batch.subjects ?? []).map((one: EntrySubjects) => [one.index, one.subjects]))
  const indexes = [...new Set(batch.payloads.map(({ index }) => index))]
  const found = keys.keysFor(indexes.map((index) => ({ subjects: subjects.get(index) ?? [], day })))
  const keysOf = new Map(indexes.map((index, i) => [index, found[i]!]))
  const nonces = randomBytes(NONCE_BYTES * batch.payloads.length)
  const payloads = batch.payloads.map((payload, i) => {
    const nonce = nonces.subarray(i * NONCE_BYTES, (i + 1) * NONCE_BYTES)
    return sealPayload(payload, { origin, vault: keys.id, keys: keysOf.get(payload.index)!, nonce })
  })
  return { ...batch, payloads }
}

function sealPayload(
  { index, name, disclosure }: StoredPayload,
  {
    origin,
    vault,
    keys,
    nonce,
  }: {
    readonly origin: string
    readonly vault: string
    readonly keys: readonly PayloadKey[]
    readonly nonce: Uint8Array
  },
): StoredPayload {
  const at = { origin, index, name, vault, keys: keys.map(({ id }) => id) }
  const key = payloadKey(
    keys.map(({ key }) => key),
    nonce,
  )
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(sealedContext(at)))
  const box = Buffer.concat([nonce, cipher.update(disclosure, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return { index, name, disclosure: formatSealed({ ...at, box: toBase64Url(box) }) }
}

function openPayload({ index, name, disclosure }: StoredPayload, keys: PayloadKeys, origin: string): string {
  if (!isSealed(disclosure)) return disclosure
  const sealed = parseSealed(disclosure)
  if (sealed === null) return BROKEN_SEAL
  if (sealed.vault !== keys.id) return disclosure
  const material: Uint8Array[] = []
  for (const id of sealed.keys) {
    const key = keys.key(id)
    if (key === 'forgotten') return disclosure
    if (key === null) return BROKEN_SEAL
    // A copy: the next call may wipe this one, should somebody be forgotten meanwhile.
    material.push(key.slice())
  }
  try {
    const box = fromBase64Url(sealed.box)
    const nonce = box.subarray(0, NONCE_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', payloadKey(material, nonce), nonce)
    decipher.setAAD(Buffer.from(sealedContext({ origin, index, name, ...sealed })))
    decipher.setAuthTag(box.subarray(box.length - TAG_BYTES))
    return `${decipher.update(box.subarray(NONCE_BYTES, box.length - TAG_BYTES), undefined, 'utf8')}${decipher.final('utf8')}`
  } catch {
    return BROKEN_SEAL
  }
}
