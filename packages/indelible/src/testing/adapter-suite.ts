/**
 * The promises of an adapter as tests: the same scenes in every framework, the same entries out of each. What an adapter
 * cannot do its harness declares, with the reason; what it declares and what was shown becomes a row of `docs/adapters.md`.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isIndelibleError } from '../errors.ts'
import type { ReadRecord } from '../record/entry.ts'
import { canonicalLines, visibleLines } from './adapter-canonical.ts'
import { type EventKind, SCENES, type Scene, type SceneName, TURN_USAGE, USER } from './adapter-script.ts'
import { type Stage, TestStage } from './adapter-stage.ts'
import type { TestApi } from './store-kit.ts'

/** What an adapter cannot do, each with the reason. */
export interface AdapterLacks {
  /** Scenes that the framework has nothing for. They are not played. */
  readonly scenes?: Partial<Record<SceneName, string>>
  /** Entries that the framework gives no occasion to make. */
  readonly events?: Partial<Record<EventKind, string>>
  /** It cannot hold a tool back; then it must refuse the mode with `ERR_CAPTURE_UNSUPPORTED`. */
  readonly block?: string
  /** It cannot tell for whom the agent works. */
  readonly user?: string
}

/** A framework with its adapter. */
export interface AdapterHarness {
  /** As in `indelible/capture/<name>`. */
  readonly name: string
  /** Package and version that it was played with, such as `ai 7.0.173`. */
  readonly framework: string
  /**
   * Plays a scene: an agent {@link AGENT} of that framework, working for {@link USER}, whose model answers the scene's turns
   * (as {@link MODEL}, each with {@link TURN_USAGE}), with the stage's tools, policy, approver and signal, attached to its
   * recorder in its failure mode. Resolves when the framework is through; what that throws may come out.
   */
  play(scene: Scene, stage: Stage): Promise<unknown>
  readonly lacks?: AdapterLacks
  /** Attaches the adapter to a framework of a version that nobody knows; it must say so: `ERR_CAPTURE_UNSUPPORTED`. */
  readonly unknownVersion?: (stage: Stage) => unknown
  /** Ways by which a call escapes the adapter, for the documentation. */
  readonly bypasses?: readonly string[]
}

/** What was shown of an adapter: a row of the documentation. `true`, or the reason why not. */
export interface AdapterRow {
  readonly name: string
  readonly framework: string
  readonly scenes: Readonly<Record<SceneName, true | string>>
  readonly unseen: Readonly<Partial<Record<EventKind | 'user', string>>>
  readonly continue: true
  readonly block: true | string
  readonly bypasses: readonly string[]
}

export interface DescribeAdapterOptions extends TestApi {
  /** Folder to which `<name>.json` is written once everything has passed. Default `$INDELIBLE_ADAPTER_RESULTS`. */
  readonly results?: string
}

/** Longest that a scene may take, ms. */
const SCENE_MS = 20_000

/**
 * Declares the tests of an adapter.
 * @param api of the test runner, such as `{ describe, it }` from vitest or node:test
 */
export function describeAdapter(harness: AdapterHarness, api: DescribeAdapterOptions): void {
  const { describe, it, results = process.env.INDELIBLE_ADAPTER_RESULTS } = api
  const passed = new Set<string>()
  const define = (title: string, body: () => Promise<void>, lack?: string) => {
    it(title, async (context) => {
      if (lack !== undefined) {
        context.skip(lack)
        return
      }
      await body()
      passed.add(title)
    })
  }
  const wanted: string[] = []
  const must = (title: string, body: () => Promise<void>, lack?: string) => {
    if (lack === undefined) wanted.push(title)
    define(title, body, lack)
  }

  describe(`${harness.name} adapter (${harness.framework})`, () => {
    for (const scene of SCENES) {
      must(`records the scene ${scene.name}`, () => playScene(harness, scene), harness.lacks?.scenes?.[scene.name])
    }
    must('lets the agent go on while nothing can be recorded, and records it all later', () => continues(harness))
    const block = harness.lacks?.block
    if (block === undefined)
      must('runs no tool whose beginning cannot be recorded, in mode block', () => blocks(harness))
    else must('refuses mode block, which it cannot keep', () => refusesBlock(harness))
    must(
      'says so where it does not know the version of the framework',
      () => unsupported(harness.unknownVersion!),
      harness.unknownVersion ? undefined : 'it depends on no version',
    )
    it('gives its row of the documentation', async () => {
      const missing = wanted.filter((title) => !passed.has(title))
      assert.deepEqual(missing, [], 'cases that have not passed')
      if (results === undefined) return
      mkdirSync(results, { recursive: true })
      writeFileSync(join(results, `${harness.name}.json`), `${JSON.stringify(rowOf(harness), null, 2)}\n`)
    })
  })
}

async function playScene(harness: AdapterHarness, scene: Scene): Promise<void> {
  await staged('continue', async (stage) => {
    await played(harness, scene, stage)
    await checkScene(harness, scene, stage)
  })
}

async function checkScene(harness: AdapterHarness, scene: Scene, stage: TestStage): Promise<void> {
  const unseen = new Set(Object.keys(harness.lacks?.events ?? {}) as EventKind[])
  const all = await stage.records()
  const records = all.map(({ record }) => record).filter((record) => !isEndOfWaiting(scene, record))
  assert.deepEqual(canonicalLines(records, unseen), visibleLines(scene.expected, unseen))
  if (scene.name === 'denied') assert.deepEqual(stage.ran, [], 'a tool that policy denied has run')
  checkPairs(records, unseen)
  checkActors(records, harness.lacks?.user !== undefined)
  for (const { record, parts } of all) {
    if (record.type === 'tool.start') assert.match(JSON.stringify(parts.input), argsPattern(scene, record))
    if (record.type === 'tool.end' && record.tool?.name === 'lookup') assert.match(textIn(parts.output), /found Oslo/)
    if (record.type === 'llm.response') {
      if (!unseen.has('usage')) assert.deepEqual({ ...record.usage, ...TURN_USAGE }, { ...record.usage })
      if (scene.name === 'stream') assert.match(textIn(parts.output), /Hello, world\./)
    }
  }
}

/** How a tool ends that was aborted, and a model that is not asked again, differs between frameworks. */
function isEndOfWaiting(scene: Scene, { type, tool, outcome }: ReadRecord): boolean {
  if (scene.name !== 'abort') return false
  return (
    (type === 'tool.error' || type === 'tool.end' || type === 'llm.error') &&
    (tool?.name === 'wait' || outcome === 'failure')
  )
}

function argsPattern(scene: Scene, record: ReadRecord): RegExp {
  for (const turn of scene.turns) {
    const call = 'calls' in turn ? turn.calls.find(({ tool }) => tool === record.tool?.name) : undefined
    if (call) return new RegExp(Object.values(call.args)[0]!)
  }
  return /(?!)/
}

/** Each end has a beginning of its call before it, and says how long that took. */
function checkPairs(records: readonly ReadRecord[], unseen: ReadonlySet<EventKind>): void {
  for (const [i, { type, call, run, duration_ms, attributes }] of records.entries()) {
    if (!/^(tool\.(end|error)|llm\.response)$/.test(type)) continue
    // An adapter may see answers of a model and not what was asked.
    if (type === 'llm.response' && unseen.has('llm')) continue
    const begins = type.startsWith('tool.') ? 'tool.start' : 'llm.request'
    const pair = records.slice(0, i).find((one) => one.type === begins && one.call === call && one.run?.id === run?.id)
    assert.ok(pair, `${type} without its ${begins}`)
    assert.equal(typeof duration_ms, 'number', `${type} does not say how long it took`)
    assert.notEqual(attributes?.unpaired, true)
  }
}

function checkActors(records: readonly ReadRecord[], hasNoUser: boolean): void {
  const runs = new Set(records.filter(({ run }) => run?.parent === undefined).map(({ run }) => run?.id))
  assert.equal(runs.size, 1, 'entries of one scene are of one run')
  for (const { actor, type } of records) {
    if (actor.type === 'agent' && !hasNoUser) assert.equal(actor.on_behalf_of, USER, `${type} does not say for whom`)
  }
}

async function continues(harness: AdapterHarness): Promise<void> {
  const scene = scenePlayable(harness)
  await staged('continue', async (stage) => {
    stage.fail(() => true)
    await played(harness, scene, stage)
    assert.ok(stage.ran.length > 0, 'no tool ran, although the agent was to go on')
    assert.deepEqual(await recordsNow(stage), [])
    stage.recover()
    await checkScene(harness, scene, stage)
  })
}

async function recordsNow(stage: TestStage): Promise<string[]> {
  return canonicalLines((await stage.records()).map(({ record }) => record))
}

async function blocks(harness: AdapterHarness): Promise<void> {
  // Once with nothing going through, and once with only the tool's beginning failing: a gate further up must not hide that the
  // tool has none of its own.
  for (const fails of [() => true, ({ type }: { type: string }) => type === 'tool.start']) {
    await staged('block', async (stage) => {
      stage.fail(fails)
      await played(harness, scenePlayable(harness), stage)
      assert.deepEqual(stage.ran, [], 'a tool has run whose beginning was not recorded')
      stage.recover()
      const refusals = (await stage.records()).filter(({ record }) => record.policy?.id === 'indelible.capture')
      assert.ok(refusals.length > 0, 'the refusal is not in the log')
    })
  }
  await staged('block', async (stage) => {
    const scene = scenePlayable(harness)
    await played(harness, scene, stage)
    await checkScene(harness, scene, stage)
    const starts = (await stage.records()).filter(({ record }) => record.type === 'tool.start')
    for (const { record } of starts) assert.equal(record.assurance, 'enforced')
  })
}

async function refusesBlock(harness: AdapterHarness): Promise<void> {
  await staged('block', async (stage) => {
    stage.fail(() => true)
    await unsupported(() => harness.play(scenePlayable(harness), stage))
    assert.deepEqual(stage.ran, [])
  })
}

async function unsupported(work: (stage: Stage) => unknown): Promise<void> {
  await staged('continue', async (stage) => {
    await assert.rejects(
      async () => work(stage),
      (error) => isIndelibleError(error, 'ERR_CAPTURE_UNSUPPORTED'),
    )
  })
}

function scenePlayable(harness: AdapterHarness): Scene {
  const scene = SCENES.find(({ name }) => harness.lacks?.scenes?.[name] === undefined && name === 'parallel')
  assert.ok(scene, 'an adapter that cannot play the scene parallel has nothing to show')
  return scene
}

/** Frameworks may hand on what went wrong in a scene; what counts is what was recorded. But not for ever. */
async function played(harness: AdapterHarness, scene: Scene, stage: Stage): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new assert.AssertionError({ message: `scene ${scene.name} does not end` })),
      SCENE_MS,
    )
  })
  const mayFail =
    scene.name === 'abort' || scene.name === 'denied' || scene.name === 'failing' || stage.onFailure === 'block'
  try {
    await Promise.race([harness.play(scene, stage), late])
  } catch (error) {
    if (!mayFail || error instanceof assert.AssertionError) throw error
    if (isIndelibleError(error, 'ERR_CAPTURE_UNSUPPORTED', 'ERR_EVENT_INVALID')) throw error
  } finally {
    clearTimeout(timer)
  }
}

async function staged(onFailure: Stage['onFailure'], work: (stage: TestStage) => Promise<void>): Promise<void> {
  const stage = await TestStage.open(onFailure)
  try {
    await work(stage)
  } finally {
    await stage.close()
  }
}

/** All texts in a value, one after the other: chunks of a stream, or content of messages. */
function textIn(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return ''
  return Object.values(value).map(textIn).join('')
}

function rowOf({ name, framework, lacks = {}, bypasses = [] }: AdapterHarness): AdapterRow {
  const scenes = Object.fromEntries(SCENES.map((scene) => [scene.name, lacks.scenes?.[scene.name] ?? true]))
  const unseen = { ...lacks.events, ...(lacks.user !== undefined && { user: lacks.user }) }
  return {
    name,
    framework,
    scenes: scenes as AdapterRow['scenes'],
    unseen,
    continue: true,
    block: lacks.block ?? true,
    bypasses,
  }
}
