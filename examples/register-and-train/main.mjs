/**
 * From a dataset to a running model, in one log: `npm run adapters -- tfjs`. TensorFlow.js is large, so it is installed beside
 * the adapters and not with the workspace.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  attestDataset,
  createIdentity,
  createLog,
  deployModel,
  hashDataset,
  loadIdentity,
  openApprovals,
  openLog,
  Pins,
  promoteModel,
  recordApproval,
  recordEvaluation,
  registerDataset,
  registerModel,
  verifyHome,
} from 'indelible'
import { digestWeights, recordTraining } from 'indelible/capture/tfjs'
import { parseMacVerificationKey } from 'indelible/verify'
import { load, SPECIES, split } from './data.mjs'

const adapters = createRequire(new URL('../../adapters/package.json', import.meta.url))
const tf = adapters('@tensorflow/tfjs')
const SEED = 42
const MODEL = { modelId: 'iris-classifier', version: '1.0.0' }
const step = (text) => console.log(`\n${text}`)

const folder = mkdtempSync(join(tmpdir(), 'indelible-train-'))
const home = join(folder, 'home')
const data = join(folder, 'data')
const pins = new Pins(join(folder, 'auditor'))
const { macVerificationKey } = await createLog({ home, origin: 'models.example/log', pins })
const log = await openLog({ home })

step('1. The data: split, hashed, registered, vouched for')
const rows = split(data, { seed: SEED, testShare: 0.2 })
const datasets = {}
for (const part of ['train', 'test']) {
  const { digest, bytes } = await hashDataset(join(data, part))
  const dataset = { datasetId: `iris-${part}`, version: '1936.1' }
  await registerDataset(log, {
    ...dataset,
    owner: 'dana',
    source: 'R. A. Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x',
    license: 'CC-BY-4.0',
    rows: rows[part],
    contentHash: digest,
    preprocessing: { shuffled: 'mulberry32', seed: SEED, share: part === 'test' ? 0.2 : 0.8 },
  })
  const statement = 'measures are in cm, species are balanced overall, no personal data'
  await attestDataset(log, { ...dataset, owner: 'quinn', statement, contentHash: digest })
  datasets[part] = { id: dataset.datasetId, version: dataset.version, digest }
  console.log(`   ${dataset.datasetId}@${dataset.version}: ${rows[part]} rows, ${bytes} bytes, ${digest}`)
}

step('2. Training')
await tf.setBackend('cpu')
const layer = (units, activation, seed, more) =>
  tf.layers.dense({ units, activation, kernelInitializer: tf.initializers.glorotUniform({ seed }), ...more })
const model = tf.sequential({
  layers: [layer(12, 'relu', SEED, { inputShape: [4] }), layer(SPECIES.length, 'softmax', SEED + 1)],
})
model.compile({ optimizer: tf.train.adam(0.02), loss: 'categoricalCrossentropy', metrics: ['accuracy'] })
const tensors = (part) => {
  const { x, y } = load(data, part)
  return [tf.tensor2d(x), tf.tensor2d(y)]
}
const checkpoints = join(folder, 'checkpoints')
mkdirSync(checkpoints)
const training = recordTraining(model, {
  recorder: log.recorder,
  onFailure: 'block',
  ...MODEL,
  owner: 'dana',
  runId: 'train-2026-11-21',
  datasets: [datasets.train],
  parameters: { seed: SEED },
  checkpointEvery: 20,
  keep: ({ weightData }, epoch) => {
    const file = join(checkpoints, `weights-${epoch + 1}.bin`)
    writeFileSync(file, new Uint8Array(weightData))
    return file
  },
})
const { history } = await training.fit(...tensors('train'), { epochs: 60, batchSize: 16, shuffle: false, verbose: 0 })
const modelDigest = training.digest
console.log(`   loss ${history.loss[0].toFixed(3)} → ${history.loss.at(-1).toFixed(3)}, weights ${modelDigest}`)
await registerModel(log, { ...MODEL, modelDigest, owner: 'dana', runId: 'train-2026-11-21' })

step('3. Evaluation, on data that it was not trained on')
const [loss, accuracy] = model.evaluate(...tensors('test')).map((value) => value.dataSync()[0])
const passed = accuracy >= 0.9
await recordEvaluation(log, {
  ...MODEL,
  modelDigest,
  owner: 'quinn',
  dataset: datasets.test,
  metrics: { loss, accuracy },
  passed,
})
console.log(`   accuracy ${accuracy.toFixed(3)}: ${passed ? 'passed' : 'failed'}`)
assert.ok(passed, 'the model is not good enough to be deployed')

step('4. A person approves it, and signs for it')
const identities = join(folder, 'identities')
const { vkey } = createIdentity('olga', { directory: identities })
const { register } = await openApprovals(log, { home })
await register.add({ vkey })
const approval = await recordApproval(
  log,
  {
    owner: 'olga',
    modelId: MODEL.modelId,
    modelVersion: MODEL.version,
    subjectDigest: modelDigest,
    rationale: `accuracy ${accuracy.toFixed(3)} on data it had not seen`,
    constraints: { use: 'demonstration' },
  },
  { signer: loadIdentity('olga', identities) },
)
console.log(`   entry ${approval.index}, signed with the key of olga`)

step('5. Deployment')
const served = join(folder, 'served')
mkdirSync(served)
await model.save(
  tf.io.withSaveHandler(async (artifacts) => {
    writeFileSync(join(served, 'weights.bin'), new Uint8Array(artifacts.weightData))
    const { modelTopology, weightSpecs } = artifacts
    writeFileSync(join(served, 'model.json'), JSON.stringify({ modelTopology, weightSpecs }))
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } }
  }),
)
await promoteModel(log, { ...MODEL, modelDigest, owner: 'olga', stage: 'production' })
await deployModel(log, { ...MODEL, modelDigest, owner: 'ops', deploymentId: 'iris-api', environment: 'production' })
console.log('   iris-api serves what was approved')

step('6. A run: what is served is what was approved, and it classifies')
const weights = readFileSync(join(served, 'weights.bin'))
const weightData = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength)
assert.equal(digestWeights({ weightData }), modelDigest)
const { modelTopology, weightSpecs } = JSON.parse(readFileSync(join(served, 'model.json'), 'utf8'))
const loaded = await tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }))
const classify = (measures) => {
  const scores = loaded.predict(tf.tensor2d([measures])).dataSync()
  return { species: SPECIES[scores.indexOf(Math.max(...scores))], score: Math.max(...scores) }
}
const facts = { name: MODEL.modelId, version: MODEL.version, digest: modelDigest }
await log.run({ agent: 'florist', user: 'fay', deployment: 'iris-api', model: facts }, async (run) => {
  const { species, score } = await run.tool('classify', [6.3, 3.3, 6.0, 2.5], classify)
  console.log(`   ${species}, ${(score * 100).toFixed(1)} %`)
})
await log.close()

step('7. Lineage')
const cli = fileURLToPath(new URL('../../packages/indelible/bin/indelible.js', import.meta.url))
const picture = join(folder, 'lineage.svg')
const indelible = (...args) => execFileSync(process.execPath, [cli, '--home', home, ...args], { encoding: 'utf8' })
const lineage = indelible('lineage', MODEL.modelId)
console.log(lineage)
assert.doesNotMatch(lineage, /in the chain/, 'the chain has a gap')
indelible('lineage', MODEL.modelId, '--format', 'svg', '--out', picture)
console.log(`picture: ${picture}`)

step('8. Verification')
const report = await verifyHome({ home, pins, macKey: parseMacVerificationKey(macVerificationKey) })
console.log(`${report.verdict}, ${report.size} entries`)
for (const finding of report.findings) console.log(`   ${finding.code}`)
if (report.verdict !== 'verified') process.exitCode = 1
for (const name of ['home', 'data', 'auditor', 'identities', 'checkpoints', 'served']) {
  rmSync(join(folder, name), { recursive: true, force: true })
}
