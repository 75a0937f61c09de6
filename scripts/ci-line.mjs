/** Vitest reporter: closes a run with one plain line, and says which tests were skipped and why. */
export default class {
  onTestRunEnd(modules) {
    const count = { passed: 0, failed: 0, skipped: 0 }
    for (const module of modules) {
      // A file that does not even load has no tests to count, and must not pass for that reason.
      if (module.errors().length > 0) count.failed++
      for (const test of module.children.allTests()) {
        const { state, note } = test.result()
        count[state in count ? state : 'skipped']++
        if (state === 'skipped') console.log(`skipped: ${test.fullName}${note ? ` (${note})` : ''}`)
      }
    }
    console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
  }
}
