/** Arguments that several commands take. */
import { InvalidArgumentError } from 'commander'

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** An index from 0 on. */
export function parseIndex(text: string): number {
  const index = Number(text)
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(index))
    throw new InvalidArgumentError('expected a number from 0 on')
  return index
}

export function parsePositive(text: string): number {
  const number = parseIndex(text)
  if (number === 0) throw new InvalidArgumentError('expected a number from 1 on')
  return number
}

/** Whether `text` has the form of an entry's id. */
export function isEntryId(text: string): boolean {
  return ID.test(text.toLowerCase())
}

/** An entry by its index or its id, or a run: whatever else it is called. */
export function parseEntryOrRunName(text: string): number | string {
  return /^[0-9]+$/.test(text) ? parseIndex(text) : text
}

/** An entry by its index or its id. */
export function parseEntryName(text: string): number | string {
  if (/^[0-9]+$/.test(text)) return parseIndex(text)
  const id = text.toLowerCase()
  if (ID.test(id)) return id
  throw new InvalidArgumentError('expected the index of an entry, or its id')
}
