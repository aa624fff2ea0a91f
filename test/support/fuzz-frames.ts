/** @file Hostile bytes for the frame reader: whatever comes, it says what it read or why it stopped, and nothing else happens. */
import { type Rng, seed } from "../../src/core/rng.js";
import { DTYPE, FRAME, FrameReader, FrameWriter, readOpen } from "../../src/protocol/frames.js";

/** Reads every frame of a message in every way there is. @returns the number of frames. @throws if a bound was broken. */
export function readEverything(bytes: Uint8Array, reader = new FrameReader()): number {
  let frames = 0;
  reader.begin(bytes);
  while (reader.next()) {
    frames++;
    if (frames * 32 > bytes.byteLength) throw new Error("more frames than bytes");
    if (!Number.isSafeInteger(reader.seq)) throw new Error(`a number that is not exact: ${reader.seq}`);
    const json = reader.json();
    if (json !== undefined) readOpen(json);
    const records = reader.records();
    if (records && records.length !== reader.count) throw new Error("another number of records");
    for (const timed of [false, true]) {
      const rows = reader.rows(3, timed);
      if (rows && rows.length !== 3 * reader.count) throw new Error("another number of rows");
      if (rows && rows.length * 4 > reader.byteLength) throw new Error("rows out of nothing");
    }
    const output = reader.output();
    if (output && output.values.length * 4 > reader.byteLength) throw new Error("values out of nothing");
  }
  return frames;
}

/** Messages as they should be, to be spoiled. */
function honest(rng: Rng): Uint8Array {
  const writer = new FrameWriter();
  const head = { stream: rng.integer(5), request: rng.integer(1000), seq: rng.integer(100), flags: rng.integer(64) };
  for (let frame = 1 + rng.integer(4); frame > 0; frame--) {
    const count = 1 + rng.integer(4);
    const numbers = Float64Array.from({ length: count * 3 }, () => rng.uniform());
    switch (rng.integer(4)) {
      case 0:
        writer.json(FRAME.OPEN, head, { model: "m", id: rng.integer(2) ? "a" : { number: "7" }, mode: "attach" });
        break;
      case 1:
        writer.rows(head, numbers, {
          columns: 3,
          timed: rng.integer(2) === 1,
          dtype: rng.integer(2) ? DTYPE.F32 : DTYPE.F64,
          count,
        });
        break;
      case 2:
        writer.json(
          FRAME.STEP,
          head,
          Array.from({ length: count }, () => ({ a: 1, b: "x", c: null })),
          count,
        );
        break;
      default: {
        const seq = Float64Array.from({ length: count }, (_, i) => head.seq + i * (1 + rng.integer(2)));
        const time = new Float64Array(count).fill(rng.integer(2) ? Number.NaN : 1e12);
        writer.output(head, count, { count, seq, time, values: numbers }, rng.integer(2) ? DTYPE.F32 : DTYPE.F64);
      }
    }
  }
  return writer.take();
}

/** Random bytes, and honest messages with flipped bits, cuts and repeats. */
export function* hostileMessages(cases: number, seedNumber: number): Generator<Uint8Array> {
  const rng = seed(seedNumber);
  for (let i = 0; i < cases; i++) {
    let bytes: Uint8Array =
      rng.integer(4) === 0 ? Uint8Array.from({ length: rng.integer(200) }, () => rng.integer(256)) : honest(rng);
    for (let spoil = rng.integer(4); spoil > 0 && bytes.length > 0; spoil--) {
      const at = rng.integer(bytes.length);
      const kind = rng.integer(4);
      if (kind === 0) bytes[at] ^= 1 << rng.integer(8);
      else if (kind === 1) bytes = bytes.slice(0, at);
      else if (kind === 2) bytes[at] = [0, 1, 127, 128, 255][rng.integer(5)];
      else bytes = Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(rng.integer(bytes.length))]);
    }
    yield bytes;
  }
}

/** Reads hostile messages. @returns how many were read to their end without a fault. */
export function fuzzFrames(cases: number, seedNumber: number): number {
  const reader = new FrameReader();
  let whole = 0;
  for (const message of hostileMessages(cases, seedNumber)) {
    readEverything(message, reader);
    if (reader.fault === null) whole++;
  }
  return whole;
}
