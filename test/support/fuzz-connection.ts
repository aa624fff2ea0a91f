/** @file Hostile messages for the whole handler of a socket, with sessions behind it that refuse, fail and answer at random. */
import { EventEmitter } from "node:events";
import type { WebSocket } from "ws";
import { OstinatoError } from "../../src/core/errors.js";
import { seed } from "../../src/core/rng.js";
import { FrameReader } from "../../src/protocol/frames.js";
import { type Observer, observeAll } from "../../src/serve/observer.js";
import type { SessionStatus } from "../../src/serve/operation.js";
import { SCOPES } from "../../src/serve/principal.js";
import type { Sessions } from "../../src/serve/sessions.js";
import { DEFAULT_LIMITS } from "../../src/serve/websocket.js";
import { WebSocketConnection } from "../../src/serve/websocket-connection.js";
import { hostileMessages } from "./fuzz-frames.js";

class DeadEnd extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  binaryType = "";
  readonly sent: Uint8Array[] = [];
  closedWith = 0;
  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }
  close(code: number): void {
    this.closedWith ||= code;
  }
  terminate(): void {}
  pause(): void {}
  resume(): void {}
  ping(): void {}
}

const STATUS = {
  status: "active",
  version: "v",
  incarnation: 1,
  seq: 5,
  steps: 5,
  resets: 0,
  durability: "none",
  creator: "fuzz",
  attributes: {},
  createdAt: 0,
  ageMs: 0,
  stateAgeMs: 0,
  idleMs: 0,
} satisfies SessionStatus;

/** @returns how many sockets were closed by a code, and how many frames were answered. @throws for a fault, or an answer that is no frame. */
export async function fuzzConnections(
  cases: number,
  seedNumber: number,
): Promise<{ closed: Map<number, number>; answers: number }> {
  const rng = seed(seedNumber);
  const faults: unknown[] = [];
  const observer: Observer = { fault: (error) => void faults.push(error) };
  const maybe = async <T>(value: T): Promise<T> => {
    if (rng.integer(3) === 0) throw new OstinatoError("OST_SESSION", { what: "no such session" });
    return value;
  };
  const model = {
    version: "v",
    columns: ["a", "b", "c"],
    time: null,
    textColumns: [],
    classes: [],
    targets: ["t"],
    horizon: 1,
    outputSize: 1,
  };
  const sessions = {
    models: () => [],
    model: (name: string) => {
      if (name === "m") return { name, current: model, others: [] };
      throw new OstinatoError("OST_MODEL", { what: "no such model" });
    },
    create: (_: unknown, __: string, { id = { text: "made" } }) => maybe({ id, session: STATUS }),
    get: () => maybe({ session: STATUS, view: null }),
    step: (_: unknown, __: unknown, { input }: { input: { count?: number; records?: unknown[] } }) => {
      const count = input.count ?? (input.records as unknown[]).length;
      const numbers = { count: 1, seq: Float64Array.of(5), time: Float64Array.of(Number.NaN), values: Float64Array.of(1) };
      return maybe({ session: STATUS, count, predictions: numbers, repeated: false, error: null, lifecycle: [] });
    },
    reset: () => maybe(STATUS),
    end: () => maybe(STATUS),
    answers: () =>
      maybe({
        session: STATUS,
        predictions: { count: 0, seq: new Float64Array(), time: new Float64Array(), values: new Float64Array() },
        complete: true,
      }),
    subscribe: () => maybe(() => {}),
    refused: () => {},
  } as unknown as Sessions;
  const closed = new Map<number, number>();
  const reader = new FrameReader();
  let answers = 0;
  let socket = new DeadEnd();
  const start = () => {
    socket = new DeadEnd();
    new WebSocketConnection(socket as unknown as WebSocket, {
      principal: { tenant: "t", subject: "s", scopes: new Set(SCOPES) },
      sessions,
      observer: observeAll([observer]),
      limits: DEFAULT_LIMITS,
    });
  };
  const finish = () => {
    for (const message of socket.sent) {
      reader.begin(message);
      while (reader.next()) answers++;
      if (reader.fault !== null) throw new Error(`an answer that is no frame: ${reader.fault}`);
    }
    if (socket.closedWith) closed.set(socket.closedWith, (closed.get(socket.closedWith) ?? 0) + 1);
    socket.emit("close", socket.closedWith);
  };
  start();
  let sinceTurn = 0;
  for (const message of hostileMessages(cases, seedNumber)) {
    socket.emit("message", Buffer.from(message.buffer, message.byteOffset, message.byteLength), rng.integer(200) !== 0);
    if (++sinceTurn % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (socket.closedWith || rng.integer(50) === 0) {
      finish();
      start();
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  finish();
  if (faults.length > 0) throw faults[0];
  return { closed, answers };
}
