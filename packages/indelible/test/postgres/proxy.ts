/** A way to a server that can be cut where it hurts. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export class CuttingProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Cuts when a client sends this: before the server hears it, or once it has answered with it, as it does with `COMMIT\0`. */
  cutAt: { readonly text: string; readonly when: 'before' | 'after' } | null = null
  cuts = 0
  /** Whether new connections end at once. */
  isShut = false

  private constructor(target: number) {
    this.#server = createServer((client) => {
      client.on('error', () => {})
      if (this.isShut) {
        client.destroy()
        return
      }
      const upstream = connect(target, '127.0.0.1')
      const end = () => {
        client.destroy()
        upstream.destroy()
      }
      let isCutting = false
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket)
        socket.on('error', end).on('close', end)
      }
      client.on('data', (data) => {
        if (this.cutAt && data.includes(this.cutAt.text)) {
          this.cuts++
          if (this.cutAt.when === 'before') return end()
          isCutting = true
        }
        upstream.write(data)
      })
      upstream.on('data', (data) => {
        if (isCutting && data.includes(this.cutAt?.text ?? '')) return end()
        client.write(data)
      })
    })
    this.#server.listen(0, '127.0.0.1')
  }

  static async to(port: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(port)
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  /** Refuses new connections and ends those there are. */
  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }
}
