/** Reads the answer to ListObjectVersions. */
import { fromUtf8 } from '../bytes.ts'
import { copyFailed } from './copy-store.ts'

export interface S3Version {
  readonly key: string
  /** `null` in a bucket without versions. */
  readonly version: string
  /** POSIX seconds, by the server's clock. */
  readonly time: number | null
  /** A delete marker: it hides what is beneath. */
  readonly isMarker: boolean
}

export interface S3Versions {
  readonly versions: readonly S3Version[]
  /** Where the next page begins; `null` after the last. */
  readonly next: { readonly key: string; readonly version: string } | null
}

/**
 * Its XML is flat, and the names in it are ours: no more of XML is read than that. What is not understood is not passed over.
 * @throws IndelibleError `ERR_ANCHOR_FAILED`
 */
export function parseVersions(body: Uint8Array, where: string): S3Versions {
  const garbage = () => copyFailed(where, 'answers with what is no list of versions')
  let xml: string
  try {
    xml = fromUtf8(body)
  } catch {
    throw garbage()
  }
  if (!/<ListVersionsResult[\s>]/.test(xml)) throw garbage()
  const versions = Array.from(xml.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs), ([, element, inner]) => {
    const [key, version] = [textOf(inner!, 'Key'), textOf(inner!, 'VersionId')]
    if (key === null) throw garbage()
    const time = Date.parse(textOf(inner!, 'LastModified') ?? '') / 1000
    const isMarker = element === 'DeleteMarker'
    return { key, version: version ?? 'null', time: Number.isNaN(time) ? null : time, isMarker }
  })
  if (versions.length !== [...xml.matchAll(/<(Version|DeleteMarker)[\s>]/g)].length) throw garbage()
  const truncated = textOf(xml, 'IsTruncated')
  if (truncated === 'false') return { versions, next: null }
  const [key, version] = [textOf(xml, 'NextKeyMarker'), textOf(xml, 'NextVersionIdMarker')]
  if (truncated !== 'true' || key === null || key === '' || version === null) throw garbage()
  return { versions, next: { key, version } }
}

function textOf(xml: string, element: string): string | null {
  const text = new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1]
  return text?.replace(/&(amp|lt|gt|quot|apos|#39|#34);/g, (_, name: string) => ENTITIES[name]!) ?? null
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", '#39': "'", '#34': '"' }
