/** Every group of routes. A new one is a file beside the others and a line here. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Service, Variables } from '../service.ts'
import { addAdministration } from './administer.ts'
import { addAnchors } from './anchors.ts'
import { addClients } from './clients.ts'
import { addEvents } from './events.ts'
import { addExports } from './exports.ts'
import { addGovernance } from './govern.ts'
import { addLog } from './log.ts'
import { addOtlp } from './otlp.ts'
import { addProofFiles } from './proof-files.ts'
import { addReading } from './read.ts'
import { addStream } from './stream.ts'

export type AddRoutes = (app: OpenAPIHono<{ Variables: Variables }>, service: Service) => void

export const ROUTES: readonly AddRoutes[] = [
  addEvents,
  addOtlp,
  addClients,
  addReading,
  addProofFiles,
  addStream,
  addExports,
  addAnchors,
  addLog,
  addGovernance,
  addAdministration,
]
