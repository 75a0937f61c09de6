// The whole of the world that the pure half may see beyond ECMAScript: text encoding and timers, which every runtime has.
declare class TextEncoder {
  encode(input?: string): Uint8Array<ArrayBuffer>
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number }
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
  decode(input?: Uint8Array): string
}
declare function setTimeout(run: () => void, ms: number): unknown
declare function clearTimeout(timer: unknown): void
