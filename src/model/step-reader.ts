/** @file A network read on from step to step, so that it can be given its own output in place of what was measured. */
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { flattenState, type SequenceModel, type StepRow, stateWidth, stepperOf } from "../nn/index.js";
import { inference, integers, tensor } from "../tensor/index.js";

/** What a sequence that was read up to a step gives for the next one, and what reading goes on from. */
export interface StepReading {
  /** Raw outputs after the latest step: logits, log-odds, or those of a distribution. */
  output: Float32Array;
  /** Never to be changed. */
  state: Float32Array;
}

/** Rows are independent: a row's bits do not depend on what else is read with it. */
export interface StepReader {
  /** Reads rows of at least one step from the initial state. [B] */
  begin(batch: Pick<Batch, "batchSize" | "time" | "features" | "x" | "lengths">): StepReading[];
  /** Reads one more step of each row. @throws OST_NAN where an output is not finite. */
  next(rows: readonly StepRow[]): StepReading[];
}

/** @param network causal. */
export function networkReader(name: string, network: SequenceModel): StepReader {
  const { stateSpec, engine } = network;
  const width = stateWidth(stateSpec);
  const told = (output: Float32Array, state: Float32Array): StepReading => {
    if (!output.every(Number.isFinite)) throw notFinite(name);
    return { output, state };
  };
  return {
    begin: ({ batchSize, time, features, x, lengths }) =>
      inference(() => {
        const { last, state } = network.forward(tensor(x, [batchSize, time, features], { engine }), {
          lengths: integers(lengths, [batchSize], { engine }),
        });
        const outputs = Float32Array.from(last.floats());
        const states = flattenState(stateSpec, state);
        const outputSize = outputs.length / batchSize;
        return Array.from({ length: batchSize }, (_, b) =>
          told(outputs.slice(b * outputSize, (b + 1) * outputSize), states.slice(b * width, (b + 1) * width)),
        );
      }),
    next: (rows) =>
      stepperOf(network)
        .stepMany(rows)
        .map((row) => {
          if (row === null) throw notFinite(name);
          if (row instanceof OstinatoError) throw row;
          return told(row.output, row.state);
        }),
  };
}

function notFinite(where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "the network gave a value that is not finite",
    where,
    repair: "train it with a lower learning rate, or check the scale of its inputs",
  });
}
