/** Stands in for the network: the chat completions of an endpoint, by a script. */
import { fakeFetch as chat } from '../openai/fake.mjs'

export const ENDPOINT = 'http://endpoint.example'

/** A `fetch` whose model gives `turns`, one after the other. */
export const fakeFetch = chat
