/** Values that are dear to make, such as schemas, and that most processes never need. */

/** A function that makes a value when it is first called, and gives the same one ever after. */
export function once<T extends object>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
