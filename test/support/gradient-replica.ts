/** @file What threads that train together build in tests: a recurrent network with a mean of squares, and ways to fail. */
import type { Batch } from "../../src/core/batch.js";
import { seed } from "../../src/core/rng.js";
import { mse } from "../../src/losses/index.js";
import { RecurrentNetwork, type RecurrentNetworkSpec, resetRows } from "../../src/nn/index.js";
import type { BuildReplica } from "../../src/tasks/gradient-share.js";
import { integers, tensor } from "../../src/tensor/index.js";
import type { Objective, ObjectiveContext } from "../../src/train/index.js";

export interface ReplicaDescription {
  spec: RecurrentNetworkSpec;
  carries?: boolean;
  /** From this update on: what a thread does wrong. */
  fault?: { step: number; kind: "throw" | "exit" };
  /** Waits for so long at most before each answer, differently each time. */
  dawdleMs?: number;
}

/** The mean over the targets that are there; `weight` is their number. */
export function replicaObjective(
  network: RecurrentNetwork,
  batch: Batch,
  { rng, state }: Partial<ObjectiveContext>,
  carries = false,
): Objective {
  const { engine } = network;
  const { batchSize, time, features, values = new Float32Array(0), reset } = batch;
  const { output, state: next } = network.forward(tensor(batch.x, [batchSize, time, features], { engine }), {
    rng,
    state: state && reset ? resetRows(state, network.initialState(batchSize), reset) : state,
    lengths: integers(batch.lengths, [batchSize], { engine }),
  });
  const mask = Uint8Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1));
  const targets = values.map((value) => (Number.isNaN(value) ? 0 : value));
  const loss = mse(output, tensor(targets, output.shape, { engine }), { mask });
  return { loss, state: carries ? next : undefined, weight: mask.reduce((sum, one) => sum + one, 0) };
}

export const buildReplica: BuildReplica = (description, { engine }) => {
  const { spec, carries, fault, dawdleMs = 0 } = description as ReplicaDescription;
  const network = new RecurrentNetwork(spec, { rng: seed(12345), engine });
  return {
    network,
    objective(batch, context) {
      const until = performance.now() + dawdleMs * Math.random();
      while (performance.now() < until);
      if (fault && context.step >= fault.step && batch.example[0] > 0) {
        if (fault.kind === "exit") process.exit(7);
        throw new Error("a fault of the replica");
      }
      return replicaObjective(network, batch, context, carries);
    },
  };
};
