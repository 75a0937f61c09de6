import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, beforeEach, describe, it } from 'node:test'
import * as tf from '@tensorflow/tfjs'
import { isIndelibleError } from 'indelible'
import { digestWeights, recordTraining } from 'indelible/capture/tfjs'
import { TestStage } from 'indelible/testing'
import { versionOf } from '../lib.mjs'

const framework = `@tensorflow/tfjs ${versionOf('@tensorflow/tfjs')}`
const input = { owner: 'dana', modelId: 'line', version: '1', runId: 'train-1', datasets: [{ id: 'points' }] }
const shown = {}

const PROMISES = ['epochs', 'checkpoints', 'digest', 'failure', 'continue', 'block', 'versions']

describe(`tfjs adapter (${framework})`, () => {
  let model
  let x
  let y
  beforeEach(async () => {
    await tf.setBackend('cpu')
    const kernelInitializer = tf.initializers.ones()
    model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1], kernelInitializer })] })
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError', metrics: ['mse'] })
    x = tf.tensor2d([[1], [2], [3]])
    y = tf.tensor2d([[3], [5], [7]])
  })

  let stage
  afterEach(() => stage.close())

  const types = async () => (await stage.records()).map(({ record }) => `${record.type} ${record.outcome}`)
  const epochs = (count) => ({ epochs: count, shuffle: false, verbose: 0 })
  const weights = () => Array.from(model.getWeights()[0].dataSync())

  it('records beginning, epochs, checkpoints and the digest of the weights that came out', async () => {
    stage = await TestStage.open('continue')
    const kept = []
    const training = recordTraining(model, {
      recorder: stage.recorder,
      ...input,
      parameters: { why: 'a test' },
      checkpointEvery: 2,
      keep: (artifacts, epoch) => `weights-${kept.push(digestWeights(artifacts))}-${epoch}`,
    })
    const result = await training.fit(x, y, epochs(3))
    assert.equal(result.epoch.length, 3)
    assert.deepEqual(await types(), [
      'train.start success',
      'train.epoch success',
      'train.epoch success',
      'train.checkpoint success',
      'train.epoch success',
      'train.end success',
    ])
    const [start, first, , checkpoint, , end] = await stage.records()
    assert.deepEqual(start.parts.parameters.fit, { epochs: 3, shuffle: false, verbose: 0 })
    assert.equal(start.parts.parameters.optimizer.name, 'SGD')
    assert.deepEqual(start.parts.parameters.given, { why: 'a test' })
    assert.equal(start.record.dataset.id, 'points')
    assert.equal(first.record.attributes.loss, result.history.loss[0])
    assert.deepEqual([checkpoint.record.model.digest], kept)
    assert.equal(checkpoint.parts.location, 'weights-1-1')
    let saved
    const handler = tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } }
    })
    await model.save(handler)
    assert.equal(end.record.model.digest, digestWeights(saved))
    assert.equal(end.record.model.digest, training.digest)
    assert.notEqual(end.record.model.digest, kept[0])
    shown.epochs = true
    shown.checkpoints = true
    shown.digest = true
  })

  it('records a training that fails, with a loss that is no number', async () => {
    stage = await TestStage.open('continue')
    const onEpochEnd = (epoch) => {
      if (epoch === 1) throw new RangeError('stop')
    }
    const training = recordTraining(model, { recorder: stage.recorder, ...input })
    const bad = tf.tensor2d([[Number.NaN], [1], [2]])
    await assert.rejects(training.fit(x, bad, { ...epochs(3), callbacks: { onEpochEnd } }), RangeError)
    assert.deepEqual(await types(), ['train.start success', 'train.epoch success', 'train.end failure'])
    const { record } = (await stage.records()).at(-1)
    assert.equal(record.attributes.loss, 'NaN')
    assert.equal(record.attributes.error, 'RangeError')
    assert.equal(training.digest, null)
    shown.failure = true
  })

  it('goes on while nothing can be recorded, and records it all later, in mode continue', async () => {
    stage = await TestStage.open('continue')
    stage.fail(() => true)
    await recordTraining(model, { recorder: stage.recorder, ...input }).fit(x, y, epochs(2))
    assert.deepEqual(await types(), [])
    stage.recover()
    assert.deepEqual(await types(), [
      'train.start success',
      'train.epoch success',
      'train.epoch success',
      'train.end success',
    ])
    shown.continue = true
  })

  it('trains nothing where the beginning cannot be recorded, and stops where an epoch cannot, in mode block', async () => {
    stage = await TestStage.open('block')
    const before = weights()
    stage.fail(() => true)
    const blocked = (error) => isIndelibleError(error, 'ERR_CAPTURE_BLOCKED')
    await assert.rejects(recordTraining(model, { recorder: stage.recorder, ...input }).fit(x, y, epochs(2)), blocked)
    assert.deepEqual(weights(), before)
    stage.fail(({ type }) => type === 'train.epoch')
    let ended = 0
    const callbacks = { onEpochEnd: () => ended++ }
    const training = recordTraining(model, { recorder: stage.recorder, ...input, runId: 'train-2' })
    await assert.rejects(training.fit(x, y, { ...epochs(5), callbacks }), blocked)
    assert.equal(ended, 1)
    stage.recover()
    assert.deepEqual(await types(), ['train.start success', 'train.end failure'])
    shown.block = true
  })

  it('refuses a second beginning, input that names no owner, and a version that it does not know', async () => {
    stage = await TestStage.open('continue')
    const training = recordTraining(model, { recorder: stage.recorder, ...input })
    await training.fit(x, y, epochs(1))
    await assert.rejects(training.fit(x, y, epochs(1)), TypeError)
    const nobody = recordTraining(model, { recorder: stage.recorder, ...input, owner: ' ' })
    await assert.rejects(nobody.fit(x, y, epochs(1)), (error) => isIndelibleError(error, 'ERR_DECISION_INVALID'))
    assert.throws(
      () => recordTraining(model, { recorder: stage.recorder, ...input, frameworkVersion: '5.0.0' }),
      (error) => isIndelibleError(error, 'ERR_CAPTURE_UNSUPPORTED'),
    )
    assert.equal((await types()).filter((type) => type.startsWith('train.start')).length, 1)
    shown.versions = true
  })

  after(() => {
    const results = process.env.INDELIBLE_ADAPTER_RESULTS
    const training = Object.fromEntries(PROMISES.map((name) => [name, shown[name] === true]))
    if (results === undefined || Object.values(training).includes(false)) return
    mkdirSync(results, { recursive: true })
    const bypasses = [
      "the model's own `fit` and `trainOnBatch`; variables that are changed by hand",
      'the digest is that of the weights, and says nothing of the topology',
      'data are as the caller names them: hash them with `hashDataset`, and register them, before',
    ]
    writeFileSync(
      join(results, 'tfjs.json'),
      `${JSON.stringify({ name: 'tfjs', framework, training, bypasses }, null, 2)}\n`,
    )
  })
})
