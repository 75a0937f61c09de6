/**
 * The promises of `store.ts` as tests. A back-end is done when they pass unchanged; what it cannot promise its harness
 * declares, with the reason. They need no test runner of their own: `describe` and `it` are handed in.
 */
import { aheadCases } from './store-ahead.ts'
import { appendCases } from './store-append.ts'
import { eraseCases } from './store-erase.ts'
import type { DefineCase, StoreHarness, TestApi } from './store-kit.ts'
import { lockCases } from './store-lock.ts'
import { openCases } from './store-open.ts'
import { processCases } from './store-processes.ts'
import { purgeCases } from './store-purge.ts'
import { readCases } from './store-read.ts'

/**
 * Declares the tests of a store.
 *
 * @param setup called for each test; gives a new, empty log
 * @param api of the test runner, such as `{ describe, it }` from vitest or node:test
 */
export function describeStore(name: string, setup: () => Promise<StoreHarness>, { describe, it }: TestApi): void {
  const define: DefineCase = (title, body, needs) => {
    it(title, async (context) => {
      const harness = await setup()
      const opened: { close(): Promise<void> }[] = []
      const open = async () => {
        const store = await harness.open()
        opened.push(store)
        return store
      }
      try {
        const reason = needs && harness.lacks?.[needs]
        if (reason) context.skip(reason)
        else await body({ ...harness, open })
      } finally {
        for (const store of opened) await store.close()
        await harness.dispose?.()
      }
    })
  }
  describe(`${name} store`, () => {
    describe('append', () => appendCases(define))
    describe('append ahead of the lock', () => aheadCases(define))
    describe('lock', () => lockCases(define))
    describe('reading', () => readCases(define))
    describe('erasure', () => eraseCases(define))
    describe('purge', () => purgeCases(define))
    describe('open and close', () => openCases(define))
    describe('processes', () => processCases(define))
  })
}
