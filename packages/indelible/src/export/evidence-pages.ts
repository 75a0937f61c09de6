/** The pages of an evidence bundle that are for people. They prove nothing, and say so. */
import { BUNDLE_FORMAT } from '../verify/bundle-format.ts'
import type { ExportedEntry } from './exporter.ts'
import type { Release } from './release.ts'

/** Entries that `index.html` shows. A browser copes with more, a reader does not. */
export const MAX_ROWS = 1000

/** Characters of a disclosed value that `index.html` shows. */
const MAX_SHOWN = 2000

export interface BundleFacts {
  readonly origin: string
  readonly created: string
  readonly scope: string
  readonly size: number
  readonly entries: number
  readonly layout: 'files' | 'packs'
  readonly release: Release
}

const LAYOUTS = {
  files: `entries/<index>.json           one entry of the log, byte for byte
proofs/<index>.tlog-proof      where it stands in the tree that the checkpoint signs (C2SP tlog-proof)
disclosures/<index>/<part>.json
                               what the entry committed to: the base64url form of this file's SHA-256 is the
                               commitment in the entry, under parts.<part>.commit`,
  packs: `packs/<n>.jsonl                entries as lines {"index":…,"entry":…,"disclosures":{…}}: the entry's text is embedded
                               byte for byte; a disclosure is a string whose SHA-256, in base64url, is the commitment
                               in the entry, under parts.<part>.commit; null: asked for, and gone from the log
packs/<n>.hashes               SHA-256 hashes of 32 bytes, one after the other: the subtrees between those entries.
                               Append to an empty tree (RFC 6962) what comes next, an entry's leaf hash where the
                               bundle has the entry, else the hash of the largest perfect subtree that begins here
                               and ends before the next entry or, after the last one, at the size of the checkpoint.
                               The root is the one that the checkpoint signs.`,
} as const

export function formatReadme({ origin, layout, release }: Pick<BundleFacts, 'origin' | 'layout' | 'release'>): string {
  return `Evidence from the audit log ${printable(origin)}
Format ${BUNDLE_FORMAT}, written by ${release.name}

WHO SAYS SO
Everything in this bundle is supplied by the party under examination. Believe what you check yourself, with software and a
key that you got from somebody else:

    indelible check BUNDLE --vkey FILE

FILE holds the log's verifier key as it was handed to you. ${'proposed.vkey'} in this bundle is a proposal, and no check reads
it. Software: ${release.name}${release.digest === null ? '' : `; its checking code has the digest\n\n    ${release.digest}\n\nas printed, in the folder node_modules/indelible/dist of an installation of yours, by\n\n    ${release.command}`}

WHAT IT CAN SHOW
That each entry in here is in the log that the checkpoint signs, unaltered and at its place, and that each part disclosed in
here is the one that its entry committed to. Not that the log has no further entries that fit: the scope in manifest.json is
the exporter's word, unless the bundle holds the whole log. There is no page in here that verifies in a browser: this
version writes none.

FILES
manifest.json                  what was asked for, and every other file with its SHA-256
checkpoint                     what the log signed about its tree (C2SP tlog-checkpoint)
proposed.vkey                  the key that the exporter says signed it
index.html                     the entries as a table, for reading
schemas/                       JSON Schemas of an entry and of the manifest
${LAYOUTS[layout]}
`
}

const STYLE = `body{font:14px/1.45 system-ui,sans-serif;margin:2rem;color:#1a1a1a;background:#fff}h1{font-size:1.3rem}
.notice{border:2px solid #9a3412;padding:.75rem 1rem;max-width:60rem}table{border-collapse:collapse;margin-top:1rem}
th,td{border:1px solid #bbb;padding:.25rem .5rem;text-align:left;vertical-align:top}th{background:#eee}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.25rem 0;max-width:40rem}code{overflow-wrap:anywhere}`

/** @param rows those of {@link formatTableRow} */
export function formatIndexPage(facts: BundleFacts, rows: readonly string[]): string {
  const { origin, created, scope, size, entries, release } = facts
  const shown =
    entries > rows.length ? `<p>The first ${rows.length} of ${entries} entries; the bundle has them all.</p>` : ''
  const digest = release.digest === null ? '' : `, whose checking code has the digest <code>${release.digest}</code>`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evidence from ${html(origin)}</title><style>${STYLE}</style></head><body>
<h1>Evidence from ${html(origin)}</h1>
<p class="notice">This page is supplied by the party under examination, and so is everything on it. It shows what the bundle
contains and proves nothing. To check the bundle, use software and a key that you got from somebody else:
<code>indelible check BUNDLE --vkey FILE</code>. It was written by ${html(release.name)}${digest}; compare that with a release
of your own, as README.txt says.</p>
<dl><dt>Created</dt><dd>${html(created)}</dd><dt>Asked for</dt><dd><code>${html(scope)}</code></dd>
<dt>Entries</dt><dd>${entries}, of a log of ${size}</dd></dl>
${shown}
<table><thead><tr><th>Index</th><th>Time</th><th>Type</th><th>Actor</th><th>Tool or model</th><th>Outcome</th><th>Run</th>
<th>Parts</th></tr></thead><tbody>
${rows.join('')}</tbody></table>
</body></html>
`
}

export function formatTableRow({ index, record, disclosures }: ExportedEntry): string {
  const { time, type, actor, tool, model, outcome, run } = record
  const parts = Object.keys(record.parts ?? {}).map((name) => formatPart(name, disclosures.get(name)))
  const cells = [String(index), time, type, actor.id, tool?.name ?? model?.name ?? '', outcome, run?.id ?? '']
  return `<tr>${cells.map((cell) => `<td>${html(cell)}</td>`).join('')}<td>${parts.join('')}</td></tr>\n`
}

function formatPart(name: string, disclosure: string | null | undefined): string {
  if (disclosure === undefined) return `<div>${html(name)}: withheld</div>`
  if (disclosure === null) return `<div>${html(name)}: gone from the log</div>`
  const value = JSON.stringify((JSON.parse(disclosure) as unknown[])[5])
  const cut = value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN).toWellFormed()} …` : value
  return `<details><summary>${html(name)}</summary><pre>${html(cut)}</pre></details>`
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Any value as text of a page: nothing in it is markup, and nothing reorders what stands around it. */
export function html(value: unknown): string {
  return printable(typeof value === 'string' ? value : JSON.stringify(value)).replace(/[&<>"']/g, (c) => ENTITIES[c]!)
}

/** Controls and direction marks are shown by number. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`)
}
