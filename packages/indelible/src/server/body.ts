/** Bodies of requests: bounded before and after decompression, and read as UTF-8 that is UTF-8. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { Readable as NodeReadable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { type Json, parseJson } from '../record/jcs.ts'
import { HttpProblem } from './problem.ts'
import type { Grow } from './waiting.ts'

/**
 * The body, decompressed.
 * @param grow told of the bytes as they come, unpacked; may throw
 * @throws HttpProblem 413 if it is longer than `most` bytes as sent or unpacked, 415 for another coding, 400 if it is damaged
 */
export async function readBody(
  request: Request,
  most: number,
  incoming?: IncomingMessage,
  grow: Grow = () => {},
): Promise<Uint8Array> {
  // Straight from the socket where there is one: the web's streams cost more than all that is done with the event.
  if (incoming?.headers['content-encoding'] === undefined && incoming?.readable)
    return readIncoming(incoming, most, grow)
  const declared = Number(request.headers.get('content-length') ?? 0)
  if (declared > most) throw tooLarge(most)
  if (!request.body) return new Uint8Array(0)
  const coding = (request.headers.get('content-encoding') ?? 'identity').toLowerCase()
  if (coding === 'identity') {
    try {
      return await collect(request.body as unknown as AsyncIterable<Uint8Array>, most, grow)
    } catch (error) {
      if (error instanceof HttpProblem) throw error
      throw new HttpProblem(400, 'ERR_BODY_CUT_OFF', 'the body was cut off')
    }
  }
  const unpack = coding === 'gzip' ? createGunzip() : coding === 'zstd' ? createZstdDecompress() : null
  if (!unpack)
    throw new HttpProblem(415, 'ERR_ENCODING_UNSUPPORTED', 'content-encoding: expected gzip, zstd or identity')
  const source = NodeReadable.fromWeb(request.body as unknown as ReadableStream)
  source.on('error', (error) => unpack.destroy(error))
  try {
    return await collect(source.pipe(unpack as unknown as NodeJS.WritableStream & Readable), most, grow)
  } catch (error) {
    if (error instanceof HttpProblem) throw error
    throw new HttpProblem(400, 'ERR_ENCODING_INVALID', `body is not ${coding}, or was cut off`)
  } finally {
    source.destroy()
    unpack.destroy()
  }
}

/**
 * The body of Node's own request, as it was sent.
 *
 * By events: the iterator of a stream costs more than all that is done with the event.
 * @param grow told of the bytes as they come; may throw
 * @throws HttpProblem 413 if it is longer than `most` bytes, 400 if it was cut off
 */
export function readIncoming(incoming: IncomingMessage, most: number, grow: Grow): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (Number(incoming.headers['content-length'] ?? 0) > most) throw tooLarge(most)
    const chunks: Uint8Array[] = []
    let length = 0
    let isSettled = false
    const fail = (error: unknown) => {
      if (isSettled) return
      isSettled = true
      reject(error)
    }
    const onData = (chunk: Uint8Array) => {
      length += chunk.length
      chunks.push(chunk)
      try {
        if (length > most) throw tooLarge(most)
        grow(chunk.length)
      } catch (error) {
        // Whoever sends too much is still answered.
        incoming.off('data', onData).pause()
        chunks.length = 0
        fail(error)
      }
    }
    const onEnd = () => {
      if (isSettled) return
      isSettled = true
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length))
    }
    // The last word of every request: of one that was read, none.
    const onCut = () => isSettled || fail(new HttpProblem(400, 'ERR_BODY_CUT_OFF', 'the body was cut off'))
    incoming.on('data', onData).on('end', onEnd).on('error', onCut).on('close', onCut)
  })
}

/** The body as JSON, with nothing said twice. Throws as {@link readBody}; IndelibleError `ERR_JSON_INVALID` */
export async function readJson(request: Request, most: number): Promise<Json> {
  return parseJson(textOf(await readBody(request, most)))
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** @throws HttpProblem 400 if it is not UTF-8 */
export function textOf(body: Uint8Array): string {
  try {
    return decoder.decode(body)
  } catch {
    throw new HttpProblem(400, 'ERR_JSON_INVALID', 'body is not UTF-8')
  }
}

async function collect(source: AsyncIterable<Uint8Array>, most: number, grow: Grow): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    length += chunk.length
    if (length > most) throw tooLarge(most)
    grow(chunk.length)
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)
}

function tooLarge(most: number): HttpProblem {
  return new HttpProblem(413, 'ERR_BODY_TOO_LARGE', `body is over ${most} bytes`)
}
