/**
 * @file One process at a time per folder: a socket that is bound while the store is open. A killed process leaves a name that nobody
 * answers, which is taken over; a paused one still answers. Two that take over in the same instant are told apart by the store's epoch.
 */
import { createHash } from "node:crypto";
import { realpath, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreError } from "../protocol/store.js";

/** Names of sockets end here on the strictest platform. */
const LONGEST_SOCKET = 100;

export class FolderLock {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws OST_STORE while another process, or this one, holds the folder. */
  static async take(folder: string): Promise<FolderLock> {
    const path = await socketPath(folder);
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        return new FolderLock(await bind(path));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw cannotLock(folder, error as Error);
      }
      if (await answers(path)) break;
      await rm(path, { force: true }).catch((error: Error) => {
        throw cannotLock(folder, error);
      });
    }
    throw new StoreError("no", {
      what: "in use by another server",
      expected: "a folder of its own for every server",
      where: folder,
      repair: "stop the other server, or give this one another folder",
    });
  }

  release(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

async function socketPath(folder: string): Promise<string> {
  const real = await realpath(folder);
  const name = `ostinato-${createHash("sha256").update(real).digest("hex").slice(0, 24)}`;
  if (process.platform === "win32") return `\\\\.\\pipe\\${name}`;
  const inside = join(real, "lock");
  return Buffer.byteLength(inside) <= LONGEST_SOCKET ? inside : join(tmpdir(), name);
}

function bind(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once("error", reject);
    server.listen(path, () => resolve(server));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // A full queue of connections is still somebody's.
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  });
}

function cannotLock(folder: string, cause: Error): StoreError {
  return new StoreError(
    "no",
    {
      what: "the folder cannot be locked",
      got: cause.message,
      where: folder,
      repair: "give the server a local folder it may write to",
    },
    { cause },
  );
}
