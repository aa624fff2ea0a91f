/** @file A TCP proxy that behaves badly: it waits, dribbles, cuts connections at some byte, and leaves them half open. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Chaos {
  /** Every chunk waits so long, ms. */
  latencyMs?: number;
  /** Chunks are passed on in pieces of at most so many bytes, one per turn of the event loop. */
  dribbleBytes?: number;
  /** The connection is cut after so many bytes, both ways together; drawn anew for each connection. */
  cutAfter?(): number;
  /** Instead of cutting it, nothing more is passed on and both ends are left in the belief that they are connected. */
  halfOpen?: boolean;
}

export interface ChaosProxy {
  readonly port: number;
  /** Connections that were cut or left half open. */
  readonly cuts: number;
  /** For connections from now on. */
  chaos: Chaos;
  /** Cuts every connection there is. */
  cutAll(): void;
  close(): Promise<void>;
}

export async function startChaosProxy(targetPort: number, chaos: Chaos = {}): Promise<ChaosProxy> {
  const open = new Set<Socket>();
  let cuts = 0;
  const server = createServer((near) => {
    const { latencyMs = 0, dribbleBytes = Number.POSITIVE_INFINITY, cutAfter, halfOpen = false } = proxy.chaos;
    const far = connect({ port: targetPort, host: "127.0.0.1" });
    let left = cutAfter?.() ?? Number.POSITIVE_INFINITY;
    let dead = false;
    const cut = () => {
      if (dead) return;
      dead = true;
      cuts++;
      if (halfOpen) return;
      near.destroy();
      far.destroy();
    };
    const pass = (from: Socket, to: Socket) => {
      let order = Promise.resolve();
      from.on("data", (chunk: Buffer) => {
        if (dead) return;
        order = order.then(async () => {
          if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, latencyMs));
          for (let at = 0; at < chunk.length && !dead; at += dribbleBytes) {
            const piece = chunk.subarray(at, Math.min(chunk.length, at + dribbleBytes, at + left));
            left -= piece.length;
            to.write(piece);
            if (left <= 0) cut();
            if (dribbleBytes < chunk.length) await new Promise((resolve) => setImmediate(resolve));
          }
        });
      });
      from.on("error", () => {});
      from.on("close", () => {
        open.delete(from);
        if (!dead || !halfOpen) void order.then(() => to.destroy());
      });
    };
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      open.add(socket);
    }
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: ChaosProxy = {
    port: (server.address() as AddressInfo).port,
    get cuts() {
      return cuts;
    },
    chaos,
    cutAll() {
      for (const socket of open) socket.destroy();
      cuts++;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}
