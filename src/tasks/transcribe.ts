/**
 * @file Transcribe: a sequence of frames into a shorter one of codes that is not aligned with it. Loss: connectionist temporal
 * classification (Graves et al. 2006), per target token.
 */
import { ctcSteps } from "../core/ctc-alignment.js";
import { OstinatoError } from "../core/errors.js";
import { type PreparedData, sequences } from "../data/index.js";
import { ctcLoss } from "../losses/index.js";
import { forwardBatch, sequenceModel } from "../model/index.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import type { Task, TaskConfig } from "./task.js";

export function transcribe(config: TaskConfig): Task {
  return {
    name: "transcribe",
    targetKind: "tokens",
    everyStep: false,
    horizon: { train: 0, judged: 0 },
    ahead: 1,
    metric: "tokenErrorRate",
    unit: "sequence",
    streams: false,
    check: checkAlignable,
    examples: (prepared, part) => sequences(prepared, { part }),
    complete: (spec) => spec,
    architecture: (spec) => recurrentArchitecture(config, spec, { outputSize: spec.classes.length + 1 }),
    objective(batch, { network, spec, rng }) {
      const { prediction } = forwardBatch(sequenceModel(network), spec, batch, { rng });
      const { lengths, tokens = new Int32Array(0), tokenLengths = new Int32Array(0) } = batch;
      return { loss: ctcLoss(prediction, { lengths, tokens, tokenLengths }, { reduction: "perToken" }) };
    },
    lossWeight: ({ batchSize }) => batchSize,
  };
}

/** @throws OST_TARGET naming the first series that has fewer steps than its target needs. */
function checkAlignable({ series }: PreparedData): void {
  for (const { entity, length, tokens, part } of series) {
    if (!tokens || !part.some((code) => code > 0)) continue;
    const needed = ctcSteps(tokens);
    if (needed <= length) continue;
    throw new OstinatoError("OST_TARGET", {
      what: "a target is longer than its input can be aligned with",
      expected: `at least ${needed} steps: one per token, and one between two equal ones`,
      got: `${length} steps`,
      where: `series "${entity}"`,
      repair: "leave the series out, or make more steps of it (a shorter hop of the frames)",
    });
  }
}
