/** How well the rules do on texts of which somebody has said what is in them. */

export interface LabelledSpan {
  readonly type: string
  /** In UTF-16 code units; in code points where `value` says so. */
  readonly start: number
  readonly end: number
  readonly value?: string
}

export interface LabelledText {
  readonly text: string
  readonly spans: readonly LabelledSpan[]
}

export interface KindMeasure {
  /** Share of what was found under this kind that lies on a label of it; `null` if nothing was found. */
  readonly precision: number | null
  /** Share of the labels that were found whole under this kind; `null` if there is no label. */
  readonly recall: number | null
  readonly found: number
  readonly labelled: number
  /** Labels that stand for this kind. */
  readonly labels: readonly string[]
}

export interface Measure {
  readonly texts: number
  readonly kinds: Readonly<Record<string, KindMeasure>>
  /** Labels that no kind stands for, such as names, and how many there are. */
  readonly labels_without_kind: Readonly<Record<string, number>>
  /** Kinds that were found and that no label in the file stands for. */
  readonly kinds_without_label: Readonly<Record<string, number>>
}

/** Labels of other systems and the kinds of ours that mean the same; a label that is one of our kinds means that. */
const KIND_OF_LABEL: Readonly<Record<string, string>> = {
  CREDIT_CARD_NUMBER: 'CREDIT_CARD',
  EMAIL_ADDRESS: 'EMAIL',
  IBAN_CODE: 'IBAN',
  US_SSN: 'SSN',
  IP: 'IP_ADDRESS',
  PHONE_NUMBER: 'PHONE',
  US_PHONE_NUMBER: 'PHONE',
  US_ITIN: 'ITIN',
  US_PASSPORT: 'PASSPORT',
  US_DRIVER_LICENSE: 'DRIVER_LICENSE',
  US_BANK_NUMBER: 'BANK_ACCOUNT',
  US_NPI: 'NPI',
  US_MBI: 'MEDICARE_ID',
  MEDICAL_LICENSE: 'DEA_NUMBER',
  ES_NIF: 'ES_DNI',
  ES_NIE: 'ES_DNI',
  IT_FISCAL_CODE: 'IT_CODICE_FISCALE',
  SG_NRIC_FIN: 'SG_NRIC',
}

interface Tally {
  readonly labels: Set<string>
  labelled: number
  recalled: number
  found: number
  right: number
}

/**
 * @param find what is replaced in a text, without overlaps
 * @param kinds that `find` may answer with
 */
export function measure(
  texts: readonly LabelledText[],
  find: (text: string) => readonly { readonly kind: string; readonly start: number; readonly end: number }[],
  kinds: ReadonlySet<string>,
): Measure {
  const tallies = new Map<string, Tally>()
  const without: Record<string, number> = {}
  const found: Record<string, number> = {}
  const results = texts.map(({ text, spans }) => {
    const labels = spans.flatMap((span) => {
      const kind = KIND_OF_LABEL[span.type] ?? span.type
      if (!kinds.has(kind)) {
        without[span.type] = (without[span.type] ?? 0) + 1
        return []
      }
      const tally = tallies.get(kind) ?? { labels: new Set(), labelled: 0, recalled: 0, found: 0, right: 0 }
      tallies.set(kind, tally)
      tally.labels.add(span.type)
      return [{ kind, ...placeOf(text, span) }]
    })
    return { labels, hits: find(text) }
  })
  for (const { labels, hits } of results) {
    for (const { kind, start, end } of labels) {
      const tally = tallies.get(kind)!
      tally.labelled++
      if (hits.some((hit) => hit.kind === kind && hit.start <= start && hit.end >= end)) tally.recalled++
    }
    for (const { kind, start, end } of hits) {
      const tally = tallies.get(kind)
      if (!tally) {
        found[kind] = (found[kind] ?? 0) + 1
        continue
      }
      tally.found++
      if (labels.some((label) => label.kind === kind && label.start < end && start < label.end)) tally.right++
    }
  }
  const share = (part: number, whole: number) => (whole === 0 ? null : Math.round((part / whole) * 10_000) / 10_000)
  const entries = [...tallies].map(([kind, { labels, labelled, recalled, found: all, right }]) => {
    const measured: KindMeasure = {
      precision: share(right, all),
      recall: share(recalled, labelled),
      found: all,
      labelled,
      labels: [...labels].sort(),
    }
    return [kind, measured] as const
  })
  return {
    texts: texts.length,
    kinds: Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))),
    labels_without_kind: without,
    kinds_without_label: found,
  }
}

/** Where a span is in UTF-16 code units: files that were written elsewhere may count code points. */
function placeOf(text: string, { start, end, value }: LabelledSpan): { start: number; end: number } {
  if (value === undefined || text.slice(start, end) === value) return { start, end }
  const points = [...text]
  if (points.slice(start, end).join('') !== value) return { start, end }
  const lengthOf = (count: number) => points.slice(0, count).join('').length
  return { start: lengthOf(start), end: lengthOf(end) }
}
