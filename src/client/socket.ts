/** @file A WebSocket, the browser's own or that of the package `ws`, told by callbacks. */
import { BEARER_SUBPROTOCOL, SUBPROTOCOL } from "../protocol/frames.js";
import { type RefusedError, refusalOf } from "./refusal.js";

export interface SocketEvents {
  open(): void;
  message(bytes: Uint8Array): void;
  /** The last event, and the only one where the socket never opened. `refused`: the server's answer to the handshake, where it is known. */
  close(code: number, reason: string, refused: RefusedError | null): void;
}

export interface Socket {
  readonly bufferedAmount: number;
  send(message: Uint8Array<ArrayBuffer>): void;
  close(code: number, reason: string): void;
  /** Ends it without waiting for the other side; `close` is told at once. */
  drop(): void;
}

/** Opens a socket to a server of `ostinato.v1`. */
export async function openSocket(
  url: string,
  { token, events }: { token: string | null; events: SocketEvents },
): Promise<Socket> {
  const node = await nodeWebSocket();
  return node ? openInNode(node, url, { token, events }) : openInBrowser(url, { token, events });
}

/** What is used of the package `ws`. */
interface NodeSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  on(event: string, listener: (...facts: never[]) => void): void;
  send(message: Uint8Array, options: { binary: true }): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

interface NodeResponse {
  statusCode?: number;
  headers: Record<string, string | string[] | undefined>;
  on(event: string, listener: (...facts: never[]) => void): void;
}

type NodeWebSocket = new (url: string, protocols: string[], options: object) => NodeSocket;

let found: Promise<NodeWebSocket | null> | undefined;

/**
 * In Node the package `ws`: Node 20 has no WebSocket of its own, and that of later ones tells neither the status of a refused handshake nor
 * pings. Its name is not written as an import so that bundlers for browsers do not look for it.
 */
function nodeWebSocket(): Promise<NodeWebSocket | null> {
  found ??= (async () => {
    const { process } = globalThis as { process?: { versions?: { node?: string } } };
    if (!process?.versions?.node) return null;
    const name = "ws";
    try {
      return ((await import(/* @vite-ignore */ name)) as { WebSocket: NodeWebSocket }).WebSocket;
    } catch {
      return null;
    }
  })();
  return found;
}

const MAX_ANSWER_BYTES = 64 << 20;
const MAX_BODY = 65_536;

function openInNode(
  WebSocket: NodeWebSocket,
  url: string,
  { token, events }: { token: string | null; events: SocketEvents },
): Socket {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const socket = new WebSocket(url, [SUBPROTOCOL], {
    headers,
    perMessageDeflate: false,
    maxPayload: MAX_ANSWER_BYTES,
    handshakeTimeout: 20_000,
  });
  socket.binaryType = "nodebuffer";
  let refused: RefusedError | null = null;
  let closed = false;
  const close = (code: number, reason: string) => {
    if (closed) return;
    closed = true;
    events.close(code, reason, refused);
  };
  socket.on("open", () => events.open());
  socket.on("message", (bytes: Uint8Array) => {
    if (!closed) events.message(bytes);
  });
  socket.on("error", () => {});
  socket.on("unexpected-response", (_request: unknown, response: NodeResponse) => {
    let body = "";
    response.on("data", (chunk: Uint8Array) => {
      if (body.length < MAX_BODY) body += new TextDecoder().decode(chunk);
    });
    response.on("end", () => {
      refused = refusalOf(body, {
        status: response.statusCode ?? 0,
        retryAfter: String(response.headers["retry-after"] ?? "") || null,
      });
      socket.terminate();
      close(1006, "the handshake was refused");
    });
  });
  socket.on("close", (code: number, reason: Uint8Array) => close(code, new TextDecoder().decode(reason)));
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (message) => socket.send(message, { binary: true }),
    close: (code, reason) => socket.close(code, reason),
    drop() {
      socket.terminate();
      close(1006, "dropped");
    },
  };
}

function openInBrowser(url: string, { token, events }: { token: string | null; events: SocketEvents }): Socket {
  const bearer = token === null ? [] : [BEARER_SUBPROTOCOL + base64url(token)];
  const socket = new WebSocket(url, [SUBPROTOCOL, ...bearer]);
  socket.binaryType = "arraybuffer";
  let closed = false;
  const close = (code: number, reason: string) => {
    if (closed) return;
    closed = true;
    events.close(code, reason, null);
  };
  socket.onopen = () => events.open();
  socket.onmessage = ({ data }) => {
    if (!closed) events.message(new Uint8Array(data as ArrayBuffer));
  };
  socket.onclose = ({ code, reason }) => close(code, reason);
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (message) => socket.send(message),
    close: (code, reason) => socket.close(code, reason),
    drop() {
      socket.close();
      close(1006, "dropped");
    },
  };
}

function base64url(text: string): string {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
