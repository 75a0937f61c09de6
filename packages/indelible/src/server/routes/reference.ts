/** `/docs`: the API for people, made from what `/openapi.json` says. One page: no script, nothing from elsewhere. */
import { createHash } from 'node:crypto'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Variables } from '../service.ts'

const STYLE = `
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f5f5f5;padding:.75rem;overflow-x:auto}
section{border-top:1px solid #ddd;padding:.5rem 0 1rem}
h2{font-size:1rem;margin:.5rem 0}
h2 code{font-size:.95rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .75rem .2rem 0;border-bottom:1px solid #eee}
.method{display:inline-block;min-width:4rem;font-weight:700;text-transform:uppercase}
nav ul{columns:2;list-style:none;padding:0}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}pre{background:#222}a{color:#8ab4ff}section{border-color:#333}td,th{border-color:#2a2a2a}}
`

/** For the Content-Security-Policy: the only style that may be applied. */
export const REFERENCE_STYLE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`

type Schema = Readonly<Record<string, unknown>>
interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly description?: string
  readonly security?: readonly unknown[]
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly schema?: Schema
    readonly description?: string
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: Schema }>> }
  readonly responses: Readonly<
    Record<
      string,
      { readonly description?: string; readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }
    >
  >
}
export interface OpenApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string }
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> }
}

/** @param document what `/openapi.json` answers */
export function addReference(app: OpenAPIHono<{ Variables: Variables }>, document: () => OpenApiDocument): void {
  let page: string | null = null
  app.get('/docs', (c) => {
    page ??= referencePage(document())
    return c.html(page)
  })
}

export function referencePage({ info, paths = {}, components }: OpenApiDocument): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const links = operations.map(({ path, method, operation }) => {
    const label = `<span class="method">${html(method)}</span> <code>${html(path)}</code>`
    return `<li><a href="#${html(operation.operationId ?? `${method} ${path}`)}">${label}</a></li>`
  })
  const sections = operations.map(({ path, method, operation }) => section(path, method, operation))
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<section id="schema-${html(name)}"><h2><code>${html(name)}</code></h2>${json(schema)}</section>`,
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${html(info.title)} ${html(info.version)}: HTTP API</title><style>${STYLE}</style></head><body>
<h1>${html(info.title)} ${html(info.version)}</h1><p>${html(info.description ?? '')} For programs: <a href="/openapi.json">openapi.json</a>.</p>
<nav><ul>${links.join('')}</ul></nav><main>${sections.join('\n')}</main>
<h1>Schemas</h1>${schemas.join('\n')}</body></html>
`
}

function section(path: string, method: string, operation: Operation): string {
  const { operationId, summary = '', description, parameters = [], requestBody, responses, security } = operation
  const isOpen = !security || security.length === 0
  return `<section id="${html(operationId ?? `${method} ${path}`)}">
<h2><span class="method">${html(method)}</span> <code>${html(path)}</code></h2>
<p><strong>${html(summary)}.</strong> ${html(description ?? '')}${isOpen ? ' Needs no key.' : ''}</p>
${parameters.length > 0 ? parameterTable(parameters) : ''}
${requestBody ? contents('Body', requestBody.content) : ''}
<table><tr><th>Status</th><th>Meaning</th></tr>${Object.entries(responses)
    .map(([status, { description: meaning = '' }]) => `<tr><td>${html(status)}</td><td>${html(meaning)}</td></tr>`)
    .join('')}</table>
${Object.entries(responses)
  .filter(([status]) => status.startsWith('2'))
  .map(([status, { content = {} }]) => contents(status, content))
  .join('')}</section>`
}

function parameterTable(parameters: NonNullable<Operation['parameters']>): string {
  const rows = parameters.map(({ name, in: where, required, schema = {}, description }) => {
    const type = String(schema.type ?? (schema.enum ? 'one of' : ''))
    const values = Array.isArray(schema.enum) ? ` ${schema.enum.join(', ')}` : ''
    const note = description ?? String(schema.description ?? '')
    return `<tr><td><code>${html(name)}</code>${required ? ' (required)' : ''}</td><td>${html(where)}</td><td>${html(type + values)}</td><td>${html(note)}</td></tr>`
  })
  return `<table><tr><th>Name</th><th>In</th><th>Type</th><th></th></tr>${rows.join('')}</table>`
}

function contents(title: string, content: Readonly<Record<string, { readonly schema?: Schema }>>): string {
  return Object.entries(content)
    .map(
      ([type, { schema }]) =>
        `<details><summary>${html(title)}: <code>${html(type)}</code></summary>${json(schema ?? {})}</details>`,
    )
    .join('')
}

function json(schema: Schema): string {
  return `<pre>${html(JSON.stringify(schema, null, 2))}</pre>`
}

function html(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
