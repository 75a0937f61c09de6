import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(`packages/indelible/src/${path}`, import.meta.url))

export default defineConfig({
  test: {
    reporters: ['default', './scripts/ci-line.mjs'],
    testTimeout: 60_000,
    projects: [
      {
        extends: true,
        resolve: { alias: { '#crypto': source('platform/crypto-node.ts'), '#text': source('platform/text-node.ts') } },
        test: {
          name: 'node',
          include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
          globalSetup: ['packages/indelible/test/postgres/setup.ts'],
        },
      },
      {
        // The pure half once more, on the cryptography that a browser gets.
        extends: true,
        resolve: {
          alias: { '#crypto': source('platform/crypto-portable.ts'), '#text': source('platform/text-portable.ts') },
        },
        test: {
          name: 'portable',
          include: [
            'packages/indelible/src/bytes.test.ts',
            'packages/indelible/src/{record,privacy,tree,note,chain,verify}/**/*.test.ts',
          ],
        },
      },
    ],
  },
})
