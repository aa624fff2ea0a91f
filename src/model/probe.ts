/**
 * @file The stream model `probe`: it checks whoever serves it. Its state is an exact integer hash of every record before.
 *
 * The state is 64 bits (high, low) and a count of records; a record's value enters by the 64 bits of its double (high', low'), and
 *
 *     high := mix(high ^ high' ^ 0x9e3779b9, low + count)
 *     low  := mix(low ^ low', high)
 *
 * For a given record both lines can be undone, so two streams that differ once never meet again while the same records follow: one record
 * lost, doubled, put elsewhere or taken from another stream changes every later prediction, for certain and not only in all likelihood.
 */
import { sha256 } from "../core/bytes.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { RawRecord, Row } from "../data/index.js";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.js";
import {
  type Advance,
  type BoundaryRules,
  NO_BOUNDARIES,
  type PushResult,
  pushRecord,
  type StreamItem,
  type StreamModel,
  type StreamState,
} from "./stream.js";

const SALT = 0x9e3779b9;
const STATE_SIZE = { preprocessing: 1, model: 4 };

/**
 * One numeric column, "value", must be there in every record. A prediction is the hash after the record, as the forecast `hash` of two
 * values: its upper and its lower 32 bits, each a whole number that every number type of the protocols holds exactly.
 */
export class ProbeModel implements StreamModel {
  readonly hash: string;
  readonly task = "forecast";
  readonly streaming = "carried";
  readonly windowLength = 0;
  readonly columns: readonly string[] = ["value"];
  readonly time: string | null = null;
  readonly classes: readonly string[] = [];
  readonly targets: readonly string[] = ["hash"];
  readonly horizon = 2;
  readonly features: readonly string[] = ["value"];
  readonly textColumns: readonly string[] = [];
  readonly outputSize = 2;
  readonly stateSchema = sha256(new TextEncoder().encode("probe 1"));
  /** The latest value; the hash in words of 16 bits, which float32 holds exactly. */
  readonly stateSize = STATE_SIZE;
  readonly boundaries: BoundaryRules = NO_BOUNDARIES;

  /** Models of different names refuse each other's snapshots. */
  constructor(readonly name: string = "probe") {
    this.hash = sha256(new TextEncoder().encode(name));
  }

  initialState(): StreamState {
    return { preprocessing: new Float64Array(1), model: new Float32Array(4), steps: 0, entity: null };
  }

  readRecord(record: RawRecord): Row {
    if (record === null || typeof record !== "object" || !Object.hasOwn(record, "value")) {
      throw new OstinatoError("OST_RECORD", {
        what: 'the record lacks the field "value"',
        expected: "a finite number",
        repair: 'add "value"',
      });
    }
    const { value } = record;
    if (typeof value === "string" && value !== "") {
      throw new OstinatoError("OST_VALUE", {
        what: 'the field "value" is not a number',
        expected: "a finite number",
        got: JSON.stringify(value),
      });
    }
    return this.readValues([typeof value === "number" ? value : Number.NaN]);
  }

  readValues(values: ArrayLike<number>, offset = 0): Row {
    const value = values[offset];
    if (value === undefined || Math.abs(value) === Number.POSITIVE_INFINITY) {
      throw new OstinatoError("OST_RECORD", {
        what: "the row is not one finite number",
        expected: "a finite number",
        got: String(value),
      });
    }
    return { time: Number.NaN, values: Float64Array.of(value + 0) };
  }

  advance(items: readonly StreamItem[]): (Advance | OstinatoError)[] {
    return items.map(({ row, state }) => {
      const [value] = row.values;
      if (Number.isNaN(value)) {
        return new OstinatoError("OST_MISSING", {
          what: 'the value of "value" is missing',
          expected: "a value in every row",
        });
      }
      const { model, steps } = state;
      const bits = new DataView(new ArrayBuffer(8));
      bits.setFloat64(0, value);
      const [upper, lower] = [bits.getUint32(0), bits.getUint32(4)];
      const [highBefore, lowBefore] = [model[0] * 65536 + model[1], model[2] * 65536 + model[3]];
      const high = mix(highBefore ^ upper ^ SALT, (lowBefore + steps) >>> 0);
      const low = mix(lowBefore ^ lower, high);
      return {
        state: {
          preprocessing: Float64Array.of(value),
          model: Float32Array.of(high >>> 16, high & 0xffff, low >>> 16, low & 0xffff),
          steps: steps + 1,
          entity: null,
        },
        predictions: [{ time: Number.NaN, values: Float64Array.of(high, low) }],
        boundary: null,
        gapMs: Number.NaN,
      };
    });
  }

  push(record: RawRecord, state: StreamState): PushResult {
    return pushRecord(this, record, state);
  }

  view(state: StreamState): Float32Array {
    return state.model.map((word) => word / 65536);
  }

  snapshot(state: StreamState, owner: string): Uint8Array {
    return encodeSnapshot(state, { model: this.hash, owner });
  }

  restore(snapshot: Uint8Array, owner: string): StreamState {
    return decodeSnapshot(snapshot, { model: this.hash, owner, preprocessing: 1, state: 4 });
  }

  sampleRow(rng: Rng): Row {
    return this.readValues([rng.normal()]);
  }
}

/** A bijection of the 32-bit word `a` for every `b`. */
function mix(a: number, b: number): number {
  let h = Math.imul((a ^ (b >>> 15)) >>> 0, 0x85ebca6b) ^ b;
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * The predictions of a probe stream that nothing disturbs, [high, low] after each value: computed from the equations above in whole numbers of
 * any size, sharing no code with the model, so that a checker need not trust what it checks.
 */
export function probeReference(values: readonly number[]): [high: number, low: number][] {
  const word = 0xffff_ffffn;
  const mixed = (a: bigint, b: bigint) => {
    let h = (((a ^ (b >> 15n)) * 0x85eb_ca6bn) ^ b) & word;
    h = ((h ^ (h >> 13n)) * 0xc2b2_ae35n) & word;
    return h ^ (h >> 16n);
  };
  let [high, low] = [0n, 0n];
  return values.map((value, count) => {
    const [bits] = new BigUint64Array(Float64Array.of(value === 0 ? 0 : value).buffer);
    high = mixed(high ^ (bits >> 32n) ^ 0x9e37_79b9n, (low + BigInt(count)) & word);
    low = mixed(low ^ (bits & word), high);
    return [Number(high), Number(low)];
  });
}
