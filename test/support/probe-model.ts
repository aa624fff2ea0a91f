/** @file The probe with a fault of the program in it, for tests of those who serve it. */
import { type Prediction, ProbeModel as Probe, probeReference, type StreamItem } from "../../src/model/index.js";

/** This value makes `advance`, and `push` with it, fail as a program fault would. */
export const FAULT = 666;

export class ProbeModel extends Probe {
  override advance(items: readonly StreamItem[]): ReturnType<Probe["advance"]> {
    if (items.some(({ row }) => row.values[0] === FAULT)) throw new TypeError("secret detail of the program");
    return super.advance(items);
  }

  /** The predictions of a stream that nothing disturbs. */
  alone(values: readonly number[]): [number, number][] {
    return probeReference(values);
  }
}

/** The exact hash that a prediction carries. */
export function hashOf(prediction: Pick<Prediction, "forecast">): [number, number] {
  return prediction.forecast?.hash as [number, number];
}
