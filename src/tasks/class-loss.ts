/** @file Losses against the classes of a batch, one per sequence or one per step. */
import type { Batch } from "../core/batch.js";
import { costLoss, crossEntropy, focalLoss } from "../losses/index.js";
import { sequenceModel } from "../model/index.js";
import { RecurrentNetwork, type SequenceModel } from "../nn/index.js";
import { integers, type Tensor, tensor } from "../tensor/index.js";
import type { Objective } from "../train/index.js";
import type { LossOptions, ObjectiveContext, Task, TaskConfig } from "./task.js";
import { truncatedForward } from "./truncated-forward.js";

/** What all tasks share whose targets are classes that lie ready in the batch. */
export function classTask({
  train,
  mode,
}: TaskConfig): Pick<Task, "everyStep" | "horizon" | "ahead" | "objective" | "lossWeight"> {
  const lossOf = (logits: Tensor, batch: Batch, network: SequenceModel, options: LossOptions): Tensor => {
    if (network instanceof RecurrentNetwork && network.crf) {
      const { engine } = logits;
      const lengths = integers(batch.lengths, [batch.batchSize], { engine });
      const targets = batch.classes as Int32Array;
      const labels = targets.reduce((sum, target) => sum + (target >= 0 ? 1 : 0), 0);
      return network.crf
        .negativeLogLikelihood(logits, targets, lengths)
        .sum()
        .multiply(labels > 0 ? 1 / labels : 0);
    }
    const classes = batch.classes ?? new Int32Array(0);
    const { engine } = logits;
    const targets = integers(classes, logits.shape.slice(0, -1), { engine });
    const classWeights = options.classWeights ? tensor(options.classWeights, undefined, { engine }) : undefined;
    if (train.loss === "focal") return focalLoss(logits, targets, { gamma: train.focalGamma, classWeights });
    if (train.loss === "costs") return costLoss(logits, targets, options.costs as Float32Array);
    return crossEntropy(logits, targets, { smoothing: train.labelSmoothing, classWeights });
  };
  return {
    everyStep: false,
    horizon: { train: 0, judged: 0 },
    ahead: 1,
    objective(batch, { network, spec, rng, state, options }: ObjectiveContext): Objective {
      const model = sequenceModel(network);
      const { prediction, state: next } = truncatedForward(model, spec, batch, { rng, state });
      return { loss: lossOf(prediction, batch, model, options), state: mode === "streaming" ? next : undefined };
    },
    lossWeight({ classes = new Int32Array(0) }, { classWeights }) {
      let sum = 0;
      for (const index of classes) if (index >= 0) sum += classWeights ? classWeights[index] : 1;
      return sum;
    },
  };
}
