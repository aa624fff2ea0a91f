/**
 * @file The WebSocket side of the server: who may connect, how many, and the end of connections that are dead, slow or in the way.
 */
import { type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { OstinatoError } from "../core/errors.js";
import { errorBody, httpStatus } from "../protocol/codes.js";
import { BEARER_SUBPROTOCOL, MAX_MESSAGE_BYTES, SUBPROTOCOL } from "../protocol/frames.js";
import { isLoopback } from "./loopback.js";
import type { Observer } from "./observer.js";
import type { Principal } from "./principal.js";
import type { Sessions } from "./sessions.js";
import { type ConnectionLimits, WebSocketConnection } from "./websocket-connection.js";

export interface WebSocketLimits extends ConnectionLimits {
  /** Sockets at most. */
  maxConnections: number;
  maxMessageBytes: number;
  /** A socket that does not answer one ping by the next is dead. */
  pingMs: number;
  /** A credential must be judged within this. */
  handshakeMs: number;
  /** A credential that has ended is found within this. */
  recheckMs: number;
}

/**
 * `credits`: a commit that waits for the disk takes milliseconds; at 50,000 steps a second that is some hundreds of steps under way, so 1024
 * keep the engine busy from one socket. `streamCredits`: a session's mailbox holds 32 operations and its last 32 answers are kept, so with
 * 16 two sockets of one session fit, and whatever is unanswered when a socket breaks can be asked for again.
 */
export const DEFAULT_LIMITS: WebSocketLimits = {
  credits: 1024,
  streamCredits: 16,
  maxStreams: 16_384,
  maxRecords: 256,
  maxBufferedBytes: 4 << 20,
  slowMs: 10_000,
  maxConnections: 20_000,
  maxMessageBytes: MAX_MESSAGE_BYTES,
  pingMs: 30_000,
  handshakeMs: 10_000,
  recheckMs: 5_000,
};

export interface WebSocketOptions {
  /** Default `/v1/stream`. */
  path?: string;
  sessions: Sessions;
  /** @throws an OstinatoError, whose HTTP status refuses the handshake. */
  authenticate(request: IncomingMessage): Promise<Principal>;
  /** Called every few seconds for everyone who is connected. @throws an OstinatoError once the credential has ended, which ends the connection. */
  recheck?(principal: Principal): void;
  observer: Required<Observer>;
  limits?: Partial<WebSocketLimits>;
  /** Origins besides those of this machine's loopback whose pages may connect, as `https://host:port`. */
  allowedOrigins?: readonly string[];
}

export interface WebSocketSide {
  readonly connections: number;
  /** Sessions that are open on a socket. */
  readonly streams: number;
  /** Takes no more connections and steps, answers the steps it has for at most `limitMs`, and closes every socket with 1012. */
  drain(limitMs?: number): Promise<void>;
}

const TICK_MS = 1_000;
const MAX_CLIENT = 64;

/** Serves `ostinato.v1` on the upgrades of a server to `path`. */
export function attachWebSocket(server: Server | SecureServer, options: WebSocketOptions): WebSocketSide {
  const { path = "/v1/stream", sessions, authenticate, recheck, observer, allowedOrigins = [] } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const connections = new Set<WebSocketConnection>();
  /** By tenant and the client's own name for itself: a newer socket of a client ends the one before, which may hang half open. */
  const clients = new Map<string, WebSocketConnection>();
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: limits.maxMessageBytes,
    clientTracking: false,
    handleProtocols: () => SUBPROTOCOL,
    maxFragments: 64,
  });
  let draining = false;
  let shaking = 0;

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { searchParams } = address(request);
    if (draining) throw new OstinatoError("OST_CAPACITY", { what: "the server is shutting down" });
    if (connections.size + shaking > limits.maxConnections) {
      throw new OstinatoError("OST_CAPACITY", { what: `more than ${limits.maxConnections} connections` });
    }
    checkOrigin(request.headers.origin, allowedOrigins);
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((entry) => entry.trim());
    if (!offered.includes(SUBPROTOCOL)) {
      throw new OstinatoError("OST_REQUEST", {
        what: "another subprotocol",
        expected: SUBPROTOCOL,
        where: "Sec-WebSocket-Protocol",
      });
    }
    const bearer = offered.find((entry) => entry.startsWith(BEARER_SUBPROTOCOL))?.slice(BEARER_SUBPROTOCOL.length);
    if (bearer !== undefined && request.headers.authorization === undefined) {
      request.headers.authorization = `Bearer ${Buffer.from(bearer, "base64url").toString("utf8")}`;
    }
    const principal = await within(limits.handshakeMs, authenticate(request));
    if (socket.destroyed) return;
    const client = searchParams.get("client");
    sockets.handleUpgrade(request, socket, head, (opened: WebSocket) => {
      const connection = new WebSocketConnection(opened, { principal, sessions, observer, limits });
      connections.add(connection);
      observer.connection("opened", "websocket");
      const name = client && client.length <= MAX_CLIENT ? `${principal.tenant}\n${principal.subject}\n${client}` : null;
      if (name !== null) {
        clients.get(name)?.terminate();
        clients.set(name, connection);
      }
      opened.on("close", (code) => {
        connections.delete(connection);
        if (name !== null && clients.get(name) === connection) clients.delete(name);
        observer.connection("closed", "websocket", String(code));
      });
    });
  }

  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const ignore = () => {};
    socket.on("error", ignore);
    if (address(request).pathname !== path) {
      // Another listener may know this path.
      if (server.listenerCount("upgrade") === 1) refuseUpgrade(socket, 404, "{}");
      return;
    }
    shaking++;
    upgrade(request, socket, head)
      .catch((error: unknown) => {
        if (error instanceof OstinatoError) sessions.refused(error.code, "websocket");
        else observer.fault(error, "websocket handshake");
        const status = error instanceof OstinatoError ? httpStatus(error.code) : 500;
        refuseUpgrade(socket, status, JSON.stringify(errorBody(error)));
      })
      .finally(() => {
        shaking--;
        socket.off("error", ignore);
      });
  });

  let sincePing = 0;
  let sinceCheck = 0;
  const tickMs = Math.min(TICK_MS, limits.pingMs, limits.slowMs, limits.recheckMs);
  const clock = setInterval(() => {
    const now = performance.now();
    sincePing += tickMs;
    sinceCheck += tickMs;
    const beat = sincePing >= limits.pingMs;
    const check = recheck !== undefined && sinceCheck >= limits.recheckMs;
    if (beat) sincePing = 0;
    if (check) sinceCheck = 0;
    for (const connection of connections) {
      connection.watch(now);
      if (check) connection.recheck(recheck);
      if (!beat) continue;
      if (connection.alive) connection.ping();
      else connection.terminate();
    }
  }, tickMs);
  clock.unref();
  server.on("close", () => clearInterval(clock));

  return {
    get connections() {
      return connections.size;
    },
    get streams() {
      let streams = 0;
      for (const connection of connections) streams += connection.streams;
      return streams;
    },
    async drain(limitMs = 30_000) {
      draining = true;
      const reason = "the server restarts";
      let timer: NodeJS.Timeout | undefined;
      const limit = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, limitMs);
      });
      await Promise.race([Promise.all([...connections].map((connection) => connection.drain(reason))), limit]);
      clearTimeout(timer);
      for (const connection of connections) connection.close(1012, reason);
      clearInterval(clock);
    },
  };
}

function address(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? "/", "http://server");
  } catch {
    return new URL("http://server/");
  }
}

/**
 * Only browsers send an origin. A page of a stranger must not use a browser's way into this machine, so its own host counts for nothing: a
 * name can be made to point here.
 *
 * @throws OST_SCOPE.
 */
function checkOrigin(origin: string | undefined, allowed: readonly string[]): void {
  if (origin === undefined || allowed.includes(origin)) return;
  let host = "";
  try {
    host = new URL(origin).hostname;
  } catch {}
  if (isLoopback(host)) return;
  throw new OstinatoError("OST_SCOPE", {
    what: "pages of this origin may not connect",
    got: origin.slice(0, 200),
    where: "Origin",
    repair: "allow the origin where the server is started",
  });
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new OstinatoError("OST_DEADLINE", { what: "the credential was not judged in time" }));
    const timer = setTimeout(late, ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function refuseUpgrade(socket: Duplex, status: number, body: string): void {
  if (socket.destroyed) return;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(status === 401 ? ['WWW-Authenticate: Bearer realm="ostinato"'] : []),
    ...(status === 429 || status === 503 ? ["Retry-After: 1"] : []),
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}
