/** @file The network of an experiment and its loss, built again in a thread that shares in its training. */
import { seed } from "../core/rng.js";
import { type Architecture, buildNetwork } from "../model/index.js";
import { batchObjective, type ObjectiveSetup } from "./batch-objective.js";
import type { BuildReplica } from "./gradient-share.js";

/** What a thread is told; plain data. */
export interface ReplicaDescription extends ObjectiveSetup {
  architecture: Architecture;
}

export const buildReplica: BuildReplica = (description, { engine }) => {
  const { architecture, ...setup } = description as ReplicaDescription;
  const network = buildNetwork(architecture, { rng: seed(0), engine });
  return { network, objective: batchObjective(network, setup) };
};
