/** What the probe answers to a sequence that nothing else touches. */
import { ProbeModel } from "../../src/model/probe.js";

/** Two numbers a value, as float32. */
export function replay(values: readonly number[]): number[] {
  const model = new ProbeModel();
  let state = model.initialState();
  return values.flatMap((value) => {
    const pushed = model.push({ value: Math.fround(value) }, state);
    state = pushed.state;
    return (pushed.predictions[0].forecast as Record<string, number[]>).hash.map(Math.fround);
  });
}
