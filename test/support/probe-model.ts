/**
 * @file A stream model that checks whoever serves it: its state is an exact integer hash of every record before, so one lost, doubled,
 * reordered or leaked record changes every later prediction.
 */
import { createHash } from "node:crypto";
import { OstinatoError } from "../../src/core/errors.js";
import type { Prediction, RawRecord, StreamModel, StreamState } from "../../src/model/stream.js";

const CLASSES = ["idle", "busy", "odd", "late"];

/** This value makes `push` fail as a program fault would. */
export const FAULT = 666;

export class ProbeModel implements StreamModel {
  readonly hash: string;
  readonly task = "tag";
  readonly streaming = "carried";
  readonly windowLength = 1;
  readonly columns = ["value"];
  readonly time = null;
  readonly classes = CLASSES;
  readonly targets = [];
  readonly horizon = 0;
  readonly features = ["value"];

  constructor(readonly name = "probe") {
    this.hash = createHash("sha256").update(name).digest("hex");
  }

  initialState(): StreamState {
    return { preprocessing: new Float64Array([0]), model: new Float32Array(4), steps: 0, entity: null };
  }

  push(record: RawRecord, state: StreamState): { state: StreamState; predictions: Prediction[] } {
    const { value } = record;
    if (value === undefined)
      throw new OstinatoError("OST_RECORD", { what: "a column is missing", expected: "value", where: "record" });
    if (value === null || value === "") throw new OstinatoError("OST_MISSING", { what: "a value is missing", where: "value" });
    if (typeof value !== "number") throw new OstinatoError("OST_VALUE", { what: "no number", got: value, where: "value" });
    if (value === FAULT) throw new TypeError("secret detail of the program");
    const words = new Uint32Array(new Float64Array([value]).buffer);
    const [high, low] = [state.model[0] * 65536 + state.model[1], state.model[2] * 65536 + state.model[3]];
    const nextHigh = mix(high ^ words[0], low + state.steps);
    const nextLow = mix(low ^ words[1], nextHigh);
    const model = new Float32Array([nextHigh >>> 16, nextHigh & 0xffff, nextLow >>> 16, nextLow & 0xffff]);
    const label = CLASSES[nextLow & 3];
    const probabilities = Object.fromEntries(CLASSES.map((name) => [name, name === label ? 0.7 : 0.1]));
    const prediction = { time: null, label, confidence: 0.7, probabilities, forecast: { hash: [nextHigh, nextLow] } };
    return {
      state: { preprocessing: new Float64Array([value]), model, steps: state.steps + 1, entity: null },
      predictions: [prediction],
    };
  }

  view(state: StreamState): Float32Array {
    return state.model.map((word) => word / 65536);
  }

  snapshot(state: StreamState, owner: string): Uint8Array {
    const body = JSON.stringify({
      hash: this.hash,
      owner,
      model: [...state.model],
      preprocessing: [...state.preprocessing],
      steps: state.steps,
    });
    return new TextEncoder().encode(JSON.stringify({ body, check: createHash("sha256").update(body).digest("hex") }));
  }

  restore(snapshot: Uint8Array, owner: string): StreamState {
    const refuse = (what: string) => new OstinatoError("OST_SNAPSHOT", { what, where: "snapshot" });
    let body: string;
    try {
      const outer = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(snapshot));
      if (createHash("sha256").update(outer.body).digest("hex") !== outer.check) throw refuse("the snapshot is corrupt");
      body = outer.body;
    } catch (error) {
      throw error instanceof OstinatoError ? error : refuse("the snapshot is corrupt");
    }
    const facts = JSON.parse(body);
    if (facts.hash !== this.hash) throw refuse("the snapshot is of another model");
    if (facts.owner !== owner) throw refuse("the snapshot is of another owner");
    const [preprocessing, model] = [new Float64Array(facts.preprocessing), new Float32Array(facts.model)];
    return { preprocessing, model, steps: facts.steps, entity: null };
  }

  /** The predictions of a stream that nothing disturbs. */
  alone(values: readonly number[]): [number, number][] {
    let state = this.initialState();
    return values.map((value) => {
      const result = this.push({ value }, state);
      state = result.state;
      return hashOf(result.predictions[0]);
    });
  }
}

/** The exact hash that a prediction carries. */
export function hashOf(prediction: { forecast?: Record<string, number[]> }): [number, number] {
  return prediction.forecast?.hash as [number, number];
}

function mix(a: number, b: number): number {
  let h = Math.imul((a ^ (b >>> 15)) >>> 0, 0x85ebca6b) ^ b;
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
