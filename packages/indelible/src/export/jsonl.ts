/**
 * One line per entry: `{"index":…,"entry":…,"disclosures":{…}}`. The entry's text is embedded as it is, and it is canonical: a
 * reader who parses a line gets the entry's bytes back by writing `entry` as RFC 8785 JSON. A disclosure is a string, because
 * its bytes are what was committed to; `null` stands for one that is gone from the log.
 */
import { fromUtf8 } from '../bytes.ts'
import { formatEntryLine } from '../verify/bundle-format.ts'
import { ExportedEntries, type Exporter, TextSink } from './exporter.ts'

export const jsonl: Exporter = {
  name: 'jsonl',
  extension: '.jsonl',
  async write(source, sink) {
    const entries = new ExportedEntries(source)
    const text = new TextSink(sink)
    for await (const { index, entry, disclosures } of entries) {
      await text.write(`${formatEntryLine({ index, entry: fromUtf8(entry), disclosures })}\n`)
    }
    await text.flush()
    return entries.summary(null)
  },
}
