import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { recordApproval } from '../src/decision/decisions.ts'
import { hashDataset } from '../src/lifecycle/dataset-hash.ts'
import {
  attestDataset,
  deployModel,
  recordEvaluation,
  registerDataset,
  registerModel,
  startTraining,
} from '../src/lifecycle/lifecycle.ts'
import { lineageOf } from '../src/lifecycle/lineage.ts'
import { drawLineage } from '../src/lifecycle/picture.ts'
import { office } from './decision-kit.ts'

const DIGEST = `sha256:${'A'.repeat(43)}`
const OTHER = `sha256:${'B'.repeat(43)}`
const owner = 'dana'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-data-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

describe('the digest of a dataset', () => {
  it('depends on names and contents of its files, and on nothing else', async () => {
    const make = (names: string[]) => {
      const path = folder()
      mkdirSync(join(path, 'deep'))
      for (const name of names) writeFileSync(join(path, name), `contents of ${name}`)
      return path
    }
    const first = await hashDataset(make(['b', 'a', 'deep/c']))
    const second = await hashDataset(make(['deep/c', 'a', 'b']))
    expect(second.digest).toBe(first.digest)
    expect(first.manifest!.map(({ path }) => path)).toEqual(['a', 'b', 'deep/c'])
    expect((await hashDataset(make(['a', 'b']))).digest).not.toBe(first.digest)
  })

  it('is refused of a file or folder that changes while it is read, and of links', async () => {
    const path = folder()
    const file = join(path, 'big')
    writeFileSync(file, Buffer.alloc(3 << 20))
    const appended = hashDataset(file, { onProgress: () => appendFileSync(file, 'x') })
    await expect(appended).rejects.toMatchObject({ code: 'ERR_DATASET_CHANGED' })
    const grown = hashDataset(path, { onProgress: () => writeFileSync(join(path, 'new'), '') })
    await expect(grown).rejects.toMatchObject({ code: 'ERR_DATASET_CHANGED' })
    symlinkSync(file, join(path, 'link'))
    await expect(hashDataset(path)).rejects.toMatchObject({ code: 'ERR_DATASET_INVALID' })
  })

  it('is that of the bytes, for one file', async () => {
    const file = join(folder(), 'abc')
    writeFileSync(file, 'abc')
    // FIPS 180-4, the one-block example.
    const expected = Buffer.from('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 'hex')
    expect(await hashDataset(file)).toMatchObject({
      digest: `sha256:${expected.toString('base64url')}`,
      bytes: 3,
      files: 1,
    })
  })
})

describe('the life of a model', () => {
  it.each([
    ['no owner', { datasetId: 'd', version: '1', source: 's', contentHash: DIGEST }],
    ['a blank source', { owner, datasetId: 'd', version: '1', source: ' ', contentHash: DIGEST }],
    ['no digest', { owner, datasetId: 'd', version: '1', source: 's' }],
    ['a digest that is none', { owner, datasetId: 'd', version: '1', source: 's', contentHash: 'md5:x' }],
  ])('refuses a dataset with %s', async (_, input) => {
    const { log } = await office()
    await expect(registerDataset(log, input as never)).rejects.toMatchObject({ code: 'ERR_DECISION_INVALID' })
  })

  it('is walked both ways, from dataset to run, without gaps where there are none', async () => {
    const { log, query } = await office()
    await registerDataset(log, { owner, datasetId: 'tickets', version: '3', source: 's', contentHash: DIGEST })
    await attestDataset(log, { owner, datasetId: 'tickets', version: '3', statement: 'ok' })
    const training = await startTraining(log, {
      owner,
      runId: 't',
      modelId: 'm',
      datasets: [{ id: 'tickets', version: '3', digest: DIGEST }],
    })
    await training.epoch(1, { loss: 0.5 })
    await training.checkpoint({ step: 10, location: 'disk', digest: DIGEST })
    await training.end({ version: '1', modelDigest: DIGEST })
    await registerModel(log, { owner, modelId: 'm', version: '1', modelDigest: DIGEST, runId: 't' })
    await recordEvaluation(log, { owner, modelId: 'm', version: '1', metrics: { accuracy: 0.9 }, passed: true })
    await recordApproval(log, { owner, rationale: 'ok', modelId: 'm', modelVersion: '1' })
    await deployModel(log, { owner, modelId: 'm', version: '1', modelDigest: DIGEST, deploymentId: 'eu' })
    await log.record({
      type: 'run.start',
      actor: { type: 'agent', id: 'bot' },
      run: { id: 'r1' },
      deployment: { id: 'eu' },
      outcome: 'success',
    })
    for (const name of ['tickets', 'm', 'm@1', 'eu', 'r1', 'training:t']) {
      const { nodes, gaps } = await lineageOf(query, name)
      expect(gaps).toEqual([])
      expect(nodes.map(({ kind }) => kind).sort(), name).toEqual([
        'dataset',
        'decision',
        'deployment',
        'evaluation',
        'model',
        'run',
        'training',
      ])
    }
    await expect(lineageOf(query, 'nothing')).rejects.toMatchObject({ code: 'ERR_LINEAGE_NOT_FOUND' })
  })

  it('shows each gap in the chain', async () => {
    const { log, query } = await office()
    const gapsOf = async (name: string) => (await lineageOf(query, name)).gaps.map(({ code }) => code).sort()
    await registerDataset(log, { owner, datasetId: 'known', version: '1', source: 's', contentHash: DIGEST })
    const training = await startTraining(log, {
      owner,
      runId: 't',
      modelId: 'm',
      datasets: [
        { id: 'known', version: '1', digest: OTHER },
        { id: 'unknown', version: '1' },
      ],
    })
    await training.end({ version: '1' })
    expect(await gapsOf('training:t')).toEqual(['dataset_changed', 'dataset_unattested', 'dataset_unregistered'])

    await registerModel(log, { owner, modelId: 'found', version: '1', modelDigest: DIGEST })
    await recordApproval(log, { owner, rationale: 'no', modelId: 'found', decision: 'rejected' })
    await deployModel(log, { owner, modelId: 'found', version: '1', modelDigest: OTHER, deploymentId: 'a' })
    expect(await gapsOf('found')).toEqual([
      'deployed_after_rejection',
      'deployed_without_evaluation',
      'model_changed',
      'model_untrained',
    ])
    await recordApproval(log, { owner, rationale: 'ok', deploymentId: 'b', timeBoundUntil: '2026-01-01' })
    await deployModel(log, { owner, modelId: 'other', deploymentId: 'b' })
    expect(await gapsOf('b')).toEqual([
      'deployed_on_expired_approval',
      'deployed_without_evaluation',
      'model_unregistered',
    ])
    await deployModel(log, { owner, modelId: 'third', deploymentId: 'c' })
    expect(await gapsOf('c')).toContain('deployed_without_approval')
    await log.record({
      type: 'run.start',
      actor: { type: 'agent', id: 'bot' },
      run: { id: 'r' },
      deployment: { id: 'z' },
    })
    expect(await gapsOf('r')).toEqual(['run_of_unknown_deployment'])
  })

  it('is drawn without letting names break out of the picture', async () => {
    const { log, query } = await office()
    const hostile = '"><script>alert(1)</script>&\u0000'
    await registerModel(log, { owner, modelId: hostile.replace('\u0000', ''), version: '1' })
    const svg = drawLineage(await lineageOf(query, hostile.replace('\u0000', '')))
    expect(svg).not.toContain('<script')
    expect(svg).toContain('&#60;script&#62;')
    expect(svg).toContain('model_untrained')
  })
})
