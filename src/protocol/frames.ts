/**
 * @file The binary frames of the WebSocket subprotocol `ostinato.v1`: many sessions on one socket, many records in one frame, many frames in
 * one message. Little-endian throughout.
 *
 *     0 type u8   1 flags u8   2 dtype u8   3 zero u8   4 stream u32   8 request u32   12 incarnation u32
 *     16 seq u64   24 count u32   28 byteLength u32   32 payload
 *
 * `stream` is the client's number of a session on this socket. `request` is the client's number of a request; its answer repeats it.
 * Whoever reads frames trusts none of these numbers: lengths are checked against what is there before anything is read or allocated.
 */
import type { TaskName } from "../core/task-name.js";
import type { ErrorFacts } from "./codes.js";
import type { ForecastInterval, WireRecord } from "./event.js";

export const SUBPROTOCOL = "ostinato.v1";
/** A browser cannot set headers: its credential is a second entry of the subprotocols, this and the credential in base64url. */
export const BEARER_SUBPROTOCOL = "ostinato.v1.bearer.";

export const HEADER_BYTES = 32;
/** A message to a server is no longer than this. */
export const MAX_MESSAGE_BYTES = 1 << 20;
/** Records of one STEP, and predictions of one OUT. */
export const MAX_COUNT = 65_536;
const MAX_HIGH = 2 ** 21 - 1;

export const FRAME = {
  /** JSON `OpenRequest`: attach a stream to a session. Answered by OPENED or ERR. STEPs may follow at once. */
  OPEN: 1,
  /** JSON `OpenedFacts`. seq: the session's. */
  OPENED: 2,
  /** `count` records, the first of them with the number `seq` (0: the next), for `incarnation` only (0: any). Answered by OUT, ERR or both. */
  STEP: 3,
  /** Predictions of `count` applied records, the first of them with the number `seq`. */
  OUT: 4,
  /** Begin the state afresh. Answered by DONE or ERR. */
  RESET: 5,
  /** End the session and leave it. Answered by DONE or ERR. */
  END: 6,
  /** Leave the session as it is. Answered by DONE. */
  CLOSE: 7,
  /** JSON `SessionStanding`. */
  DONE: 8,
  /** From the server: from now on `count` requests of this socket may be unanswered. The first frame of every socket. */
  CREDIT: 9,
  /** As OPEN, and the stored answers after `seq` follow OPENED in one OUT: PARTIAL where some of them are gone. */
  RESUME: 10,
  /** JSON `RefusalFacts`. */
  ERR: 11,
  /** JSON `NewsFacts`: the session changed otherwise than by a step. */
  NEWS: 12,
} as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];
const LAST_TYPE = FRAME.NEWS;

export const DTYPE = { NONE: 0, F32: 1, F64: 2, JSON: 3 } as const;

export const FLAG = {
  /** OUT: the stored answer to a STEP that came before; nothing was applied again. */
  REPEATED: 1,
  /** OUT: not all records were applied, and ERR with the same request follows. After RESUME: some answers are gone. */
  PARTIAL: 2,
  /** OUT: the state began afresh before one of these records, by a rule of the model. */
  BOUNDARY: 4,
  /** OUT: predictions have times. */
  TIMED: 8,
  /** OUT: not one prediction per record; each says of which record it is. */
  SPARSE: 16,
  /** STEP: end the session after the last record. */
  LAST: 32,
} as const;

export const OPEN_MODES = ["create", "attach", "createOrAttach", "restart"] as const;
export type OpenMode = (typeof OPEN_MODES)[number];

/** An id: a text, or an unsigned integer of 64 bits as decimal digits. */
export type WireId = string | { number: string };

export interface OpenRequest {
  model: string;
  /** Default: a random text. */
  id?: WireId;
  /** `create` refuses a live session, `restart` begins it afresh, `attach` refuses an absent one. Default createOrAttach. */
  mode?: OpenMode;
  durability?: string;
  ttlSeconds?: number;
  attributes?: Record<string, string>;
  /** dtype of the values of OUT. Default f32. */
  output?: "f32" | "f64";
  /** What becomes of the session when the socket ends without CLOSE. Default stay. */
  onDisconnect?: "stay" | "end";
  /** Hear of changes that others made, as NEWS. Default false: only of those by own requests. */
  news?: boolean;
}

/** What names the numbers of a model: columns in, classes or targets out. */
export interface NamingFacts {
  version: string;
  task: TaskName;
  /** Columns of a row of numbers, in order, the time first. */
  columns: readonly string[];
  time: string | null;
  textColumns: readonly string[];
  classes: readonly string[];
  targets: readonly string[];
  horizon: number;
  /** As of {@link ModelFacts}. */
  threshold?: number;
  interval?: ForecastInterval;
  outputSize: number;
}

export interface SessionStanding {
  version: string;
  incarnation: number;
  /** Records applied in the session's life. */
  seq: number;
  /** Records since the initial state. */
  steps: number;
  resets: number;
  /** ms since 1970. A session of another creation is another session, whatever its id. */
  createdAt: number;
  status: "active" | "quarantined";
  durability: string;
}

export interface OpenedFacts {
  id: WireId;
  session: SessionStanding;
  model: NamingFacts;
  /** STEPs of this stream that may be unanswered. */
  credits: number;
  /** Records of one STEP at most. */
  maxRecords: number;
}

export type Applied = "yes" | "no" | "unknown";

export interface RefusalFacts {
  error: ErrorFacts;
  /** Whether anything of the request changed the session. */
  applied: Applied;
  /** The first record that was not applied, in the request, from 0. */
  index?: number;
  /** The number to go on from. */
  expectedSeq?: number;
  /** Try again after so long. */
  retryAfterMs?: number;
}

export interface NewsFacts {
  kind: string;
  reason: string | null;
  incarnation: { from: number; to: number };
  seq: number;
  version: string;
  /** The new names, where the version changed. */
  model?: NamingFacts;
}

/** Predictions of OUT. */
export interface OutputNumbers {
  count: number;
  outputSize: number;
  /** [count] Number of the record that completed it. */
  seq: Float64Array;
  /** [count] ms since 1970; NaN without a time. */
  time: Float64Array;
  /** [count * outputSize] */
  values: Float32Array | Float64Array;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });
const TO_UTF8 = new TextEncoder();

/** Reads the frames of a message one after another; its fields are those of the present frame. One reader serves any number of messages. */
export class FrameReader {
  type = 0;
  flags = 0;
  dtype = 0;
  stream = 0;
  request = 0;
  incarnation = 0;
  seq = 0;
  count = 0;
  byteLength = 0;
  /** Why the message is no sequence of frames; null while it is. After a fault nothing more is read. */
  fault: string | null = null;
  #bytes: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #next = 0;

  /** Begins a message. The bytes must stay as they are until its last frame was read. */
  begin(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#next = 0;
    this.fault = bytes.byteLength === 0 ? "an empty message" : null;
  }

  /** Goes to the next frame. @returns false at the end and at a fault. */
  next(): boolean {
    const start = this.#next;
    const left = this.#view.byteLength - start;
    if (this.fault !== null || left === 0) return false;
    if (left < HEADER_BYTES) return this.#refuse("a header that is cut short");
    const view = this.#view;
    this.type = view.getUint8(start);
    this.flags = view.getUint8(start + 1);
    this.dtype = view.getUint8(start + 2);
    this.stream = view.getUint32(start + 4, true);
    this.request = view.getUint32(start + 8, true);
    this.incarnation = view.getUint32(start + 12, true);
    const high = view.getUint32(start + 20, true);
    this.seq = high * 4294967296 + view.getUint32(start + 16, true);
    this.count = view.getUint32(start + 24, true);
    this.byteLength = view.getUint32(start + 28, true);
    if (this.type === 0 || this.type > LAST_TYPE) return this.#refuse("a frame of a type that does not exist");
    if (this.dtype > DTYPE.JSON || view.getUint8(start + 3) !== 0) return this.#refuse("a header with bits that mean nothing");
    if (high > MAX_HIGH) return this.#refuse("a number beyond 2^53 - 1");
    if (this.count > MAX_COUNT) return this.#refuse(`more than ${MAX_COUNT} of anything in one frame`);
    if (this.byteLength > left - HEADER_BYTES) return this.#refuse("a payload that is cut short");
    this.#at = start + HEADER_BYTES;
    this.#next = this.#at + this.byteLength;
    return true;
  }

  #refuse(fault: string): false {
    this.fault = fault;
    return false;
  }

  /** The payload as JSON; undefined if it is none. */
  json(): unknown {
    if (this.dtype !== DTYPE.JSON) return undefined;
    try {
      return JSON.parse(UTF8.decode(this.#bytes.subarray(this.#at, this.#next)));
    } catch {
      return undefined;
    }
  }

  /** `count` flat records by column name; undefined if the payload is anything else. */
  records(): WireRecord[] | undefined {
    const value = this.json();
    return Array.isArray(value) && value.length === this.count && value.every(isRecord) ? value : undefined;
  }

  /**
   * `count` rows of numbers, row after row. In a row of f32 the time, which is the first column, still takes eight bytes: a float of four
   * cannot hold milliseconds since 1970.
   *
   * @param columns numbers of a row, the time included
   * @returns undefined if the payload has another length
   */
  rows(columns: number, timed: boolean): Float64Array | undefined {
    const { count, dtype } = this;
    if (this.byteLength !== count * rowBytes(dtype, columns, timed) || (dtype !== DTYPE.F32 && dtype !== DTYPE.F64))
      return undefined;
    const rows = new Float64Array(count * columns);
    const view = this.#view;
    let at = this.#at;
    if (dtype === DTYPE.F64) {
      for (let i = 0; i < rows.length; i++, at += 8) rows[i] = view.getFloat64(at, true);
      return rows;
    }
    for (let row = 0, i = 0; row < count; row++) {
      const end = i + columns;
      if (timed) {
        rows[i++] = view.getFloat64(at, true);
        at += 8;
      }
      for (; i < end; i++, at += 4) rows[i] = view.getFloat32(at, true);
    }
    return rows;
  }

  /** The predictions of an OUT; undefined if its lengths do not add up. */
  output(): OutputNumbers | undefined {
    if (this.byteLength < 8 || (this.dtype !== DTYPE.F32 && this.dtype !== DTYPE.F64)) return undefined;
    const view = this.#view;
    const count = view.getUint32(this.#at, true);
    const outputSize = view.getUint32(this.#at + 4, true);
    const [timed, sparse] = [(this.flags & FLAG.TIMED) !== 0, (this.flags & FLAG.SPARSE) !== 0];
    // The product is at most 2^64 and rounding cannot make it small again.
    if (count > MAX_COUNT || this.byteLength !== outputBytes(this.dtype, { count, outputSize, timed, sparse })) return undefined;
    if ((count > 0 && outputSize === 0) || (!sparse && count > this.count)) return undefined;
    const seq = new Float64Array(count);
    const time = new Float64Array(count).fill(Number.NaN);
    let at = this.#at + 8;
    if (timed) for (let i = 0; i < count; i++, at += 8) time[i] = view.getFloat64(at, true);
    const values = this.dtype === DTYPE.F32 ? new Float32Array(count * outputSize) : new Float64Array(count * outputSize);
    if (this.dtype === DTYPE.F32) for (let i = 0; i < values.length; i++, at += 4) values[i] = view.getFloat32(at, true);
    else for (let i = 0; i < values.length; i++, at += 8) values[i] = view.getFloat64(at, true);
    for (let i = 0; i < count; i++) seq[i] = this.seq + (sparse ? view.getUint32(at + 4 * i, true) : i);
    return { count, outputSize, seq, time, values };
  }
}

function rowBytes(dtype: number, columns: number, timed: boolean): number {
  return dtype === DTYPE.F64 ? columns * 8 : columns * 4 + (timed ? 4 : 0);
}

function outputBytes(
  dtype: number,
  { count, outputSize, timed, sparse }: { count: number; outputSize: number; timed: boolean; sparse: boolean },
): number {
  return 8 + count * ((timed ? 8 : 0) + outputSize * (dtype === DTYPE.F64 ? 8 : 4) + (sparse ? 4 : 0));
}

function isRecord(value: unknown): value is WireRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  for (const name in value) {
    const cell = (value as Record<string, unknown>)[name];
    if (typeof cell !== "number" && typeof cell !== "string" && cell !== null) return false;
  }
  return true;
}

/** What a header says besides its type, dtype and lengths. */
export interface FrameHead {
  stream: number;
  request: number;
  flags?: number;
  incarnation?: number;
  seq?: number;
}

/** Bytes that a message of frames is first given. */
const SMALLEST = 512;

/** Gathers frames into one message. */
export class FrameWriter {
  #bytes = new Uint8Array(SMALLEST);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get byteLength(): number {
    return this.#length;
  }

  /** What was gathered, which is the caller's from now on; the next message begins. */
  take(): Uint8Array<ArrayBuffer> {
    const message = this.#bytes.subarray(0, this.#length);
    // The next message is likely as long as this one.
    this.#bytes = new Uint8Array(Math.max(SMALLEST, Math.min(65_536, this.#length + (this.#length >> 2))));
    this.#view = new DataView(this.#bytes.buffer);
    this.#length = 0;
    return message;
  }

  /** A frame without a payload. */
  empty(type: FrameType, head: FrameHead, count = 0): void {
    this.#begin(type, DTYPE.NONE, head, count, 0);
  }

  json(type: FrameType, head: FrameHead, value: unknown, count = 0): void {
    const text = TO_UTF8.encode(JSON.stringify(value));
    const at = this.#begin(type, DTYPE.JSON, head, count, text.byteLength);
    this.#bytes.set(text, at);
  }

  /** A STEP of rows of numbers, row after row, of `columns` each; the first is the time where `timed`. */
  rows(
    head: FrameHead,
    rows: ArrayLike<number>,
    {
      columns,
      timed,
      dtype = DTYPE.F32,
      first = 0,
      count,
    }: { columns: number; timed: boolean; dtype?: number; first?: number; count: number },
  ): void {
    let at = this.#begin(FRAME.STEP, dtype, head, count, count * rowBytes(dtype, columns, timed));
    const view = this.#view;
    for (let row = 0, i = first * columns; row < count; row++) {
      for (const end = i + columns, start = i; i < end; i++) {
        if (dtype === DTYPE.F64 || (timed && i === start)) {
          view.setFloat64(at, rows[i], true);
          at += 8;
        } else {
          view.setFloat32(at, rows[i], true);
          at += 4;
        }
      }
    }
  }

  /**
   * An OUT for the `count` records from `head.seq` on.
   *
   * @param predictions as they are kept; where they are not one per record in order, each says of which record it is
   */
  output(
    head: FrameHead & { seq: number },
    count: number,
    predictions: { count: number; seq: ArrayLike<number>; time: ArrayLike<number>; values: ArrayLike<number> },
    dtype: number,
  ): void {
    const { seq, time, values } = predictions;
    const outputSize = predictions.count === 0 ? 0 : values.length / predictions.count;
    let timed = false;
    let sparse = predictions.count > count;
    for (let i = 0; i < predictions.count; i++) {
      if (!Number.isNaN(time[i])) timed = true;
      if (seq[i] !== head.seq + i) sparse = true;
    }
    const flags = (head.flags ?? 0) | (timed ? FLAG.TIMED : 0) | (sparse ? FLAG.SPARSE : 0);
    const length = outputBytes(dtype, { count: predictions.count, outputSize, timed, sparse });
    let at = this.#begin(FRAME.OUT, dtype, head, count, length);
    const view = this.#view;
    view.setUint8(at - HEADER_BYTES + 1, flags);
    view.setUint32(at, predictions.count, true);
    view.setUint32(at + 4, outputSize, true);
    at += 8;
    if (timed) for (let i = 0; i < predictions.count; i++, at += 8) view.setFloat64(at, time[i], true);
    if (dtype === DTYPE.F64) for (let i = 0; i < values.length; i++, at += 8) view.setFloat64(at, values[i], true);
    else for (let i = 0; i < values.length; i++, at += 4) view.setFloat32(at, values[i], true);
    if (sparse) for (let i = 0; i < predictions.count; i++, at += 4) view.setUint32(at, seq[i] - head.seq, true);
  }

  /** Writes a header and makes room for its payload. @returns where the payload begins. */
  #begin(type: FrameType, dtype: number, head: FrameHead, count: number, byteLength: number): number {
    const start = this.#length;
    const end = start + HEADER_BYTES + byteLength;
    if (end > this.#bytes.byteLength) this.#grow(end);
    const view = this.#view;
    const seq = head.seq ?? 0;
    view.setUint32(start, type | ((head.flags ?? 0) << 8) | (dtype << 16), true);
    view.setUint32(start + 4, head.stream, true);
    view.setUint32(start + 8, head.request, true);
    view.setUint32(start + 12, head.incarnation ?? 0, true);
    view.setUint32(start + 16, seq % 4294967296, true);
    view.setUint32(start + 20, Math.floor(seq / 4294967296), true);
    view.setUint32(start + 24, count, true);
    view.setUint32(start + 28, byteLength, true);
    this.#length = end;
    return start + HEADER_BYTES;
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.max(needed, this.#bytes.byteLength * 2));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

const OPEN_FIELDS: Record<keyof OpenRequest, (value: unknown) => boolean> = {
  model: (value) => typeof value === "string",
  id: (value) =>
    typeof value === "string" || (isRecord(value) && typeof value["number"] === "string" && Object.keys(value).length === 1),
  mode: (value) => OPEN_MODES.includes(value as OpenMode),
  durability: (value) => typeof value === "string",
  ttlSeconds: (value) => typeof value === "number" && value > 0,
  attributes: (value) => isRecord(value) && Object.values(value).every((text) => typeof text === "string"),
  output: (value) => value === "f32" || value === "f64",
  onDisconnect: (value) => value === "stay" || value === "end",
  news: (value) => typeof value === "boolean",
};

/** The payload of OPEN and RESUME, checked field by field. @returns the name of the first field that does not fit, or the request. */
export function readOpen(value: unknown): OpenRequest | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "an object with a model";
  for (const name of Object.keys(value))
    if (!Object.hasOwn(OPEN_FIELDS, name)) return `no field ${JSON.stringify(name.slice(0, 40))}`;
  for (const name of Object.keys(OPEN_FIELDS) as (keyof OpenRequest)[]) {
    const cell = (value as Record<string, unknown>)[name];
    if (cell === undefined ? name === "model" : !OPEN_FIELDS[name](cell)) return `a fitting ${name}`;
  }
  return value as OpenRequest;
}
