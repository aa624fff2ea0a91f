/**
 * @file A session's state as bytes: versioned, checksummed, bound to a model and an owner.
 *
 *     "OSTS"  u32 version  u32 headerBytes  header (JSON)  preprocessing float64s  model float32s  u32 crc32 of all before
 *
 * All numbers little-endian; the header is padded with spaces so that the floats are aligned.
 */
import { crc32 } from "../core/bytes.js";
import { OstinatoError } from "../core/errors.js";
import type { StreamState } from "./stream.js";

const MAGIC = 0x5354534f;
const VERSION = 1;
const PREFIX = 12;

interface SnapshotHeader {
  model: string;
  owner: string;
  steps: number;
  entity: string | null;
  preprocessing: number;
  state: number;
}

export function encodeSnapshot(state: StreamState, { model, owner }: { model: string; owner: string }): Uint8Array {
  const header: SnapshotHeader = {
    model,
    owner,
    steps: state.steps,
    entity: state.entity,
    preprocessing: state.preprocessing.length,
    state: state.model.length,
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil((PREFIX + text.length) / 8) * 8 - PREFIX;
  const body = PREFIX + headerBytes;
  const bytes = new Uint8Array(body + state.preprocessing.byteLength + state.model.byteLength + 4);
  bytes.fill(0x20, PREFIX, body);
  bytes.set(text, PREFIX);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, headerBytes, true);
  new Float64Array(bytes.buffer, body, state.preprocessing.length).set(state.preprocessing);
  new Float32Array(bytes.buffer, body + state.preprocessing.byteLength, state.model.length).set(state.model);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  return bytes;
}

/**
 * @param expected what the snapshot must belong to, and the sizes of its two states.
 * @throws OST_SNAPSHOT if it is corrupt, or of another model or owner.
 */
export function decodeSnapshot(
  snapshot: Uint8Array,
  expected: { model: string; owner: string; preprocessing: number; state: number },
): StreamState {
  const bytes = new Uint8Array(snapshot);
  const view = new DataView(bytes.buffer);
  const refuse = (what: string, wanted?: string, got?: string) =>
    new OstinatoError("OST_SNAPSHOT", {
      what,
      expected: wanted,
      got,
      where: "snapshot",
      repair: "start a fresh session, or restore the right snapshot",
    });
  if (bytes.length < PREFIX + 4 || view.getUint32(0, true) !== MAGIC) throw refuse("these bytes are no snapshot");
  if (view.getUint32(bytes.length - 4, true) !== crc32(bytes.subarray(0, -4))) throw refuse("the snapshot is corrupt (checksum)");
  if (view.getUint32(4, true) !== VERSION)
    throw refuse("an unknown snapshot version", String(VERSION), String(view.getUint32(4, true)));
  const body = PREFIX + view.getUint32(8, true);
  let header: SnapshotHeader;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX, body)));
  } catch {
    throw refuse("the snapshot's header is no JSON");
  }
  if (typeof header !== "object" || header === null) throw refuse("the snapshot's header is no object");
  if (header.model !== expected.model) {
    throw refuse("the snapshot belongs to another model", expected.model.slice(0, 12), String(header.model).slice(0, 12));
  }
  if (header.owner !== expected.owner) throw refuse("the snapshot belongs to another owner");
  const size = body + expected.preprocessing * 8 + expected.state * 4 + 4;
  const fits = header.preprocessing === expected.preprocessing && header.state === expected.state && bytes.length === size;
  if (!fits || !Number.isSafeInteger(header.steps) || header.steps < 0) throw refuse("the snapshot's sizes do not fit the model");
  const model = new Float32Array(bytes.buffer.slice(body + expected.preprocessing * 8, size - 4));
  if (!model.every(Number.isFinite)) throw refuse("the snapshot's state is not finite");
  const preprocessing = new Float64Array(bytes.buffer.slice(body, body + expected.preprocessing * 8));
  return { preprocessing, model, steps: header.steps, entity: typeof header.entity === "string" ? header.entity : null };
}
