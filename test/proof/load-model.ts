/** @file The model of the load: a GRU of 16 inputs and 64 units with a head of 12 classes, its weights drawn from a seed. */
import { seed } from "../../src/core/rng.js";
import { Preprocessing } from "../../src/data/index.js";
import { buildNetwork, recurrentSpec, saveNetwork } from "../../src/model/index.js";

export const LOAD_FEATURES = 16;
export const LOAD_CLASSES = 12;
const HIDDEN = 64;
const ROWS = 256;

/** The bytes of the model file: a tag per step, its state carried, the inputs scaled as a training set of noise would have it. */
export function loadModelFile(seedOf: number): Uint8Array {
  const rng = seed(seedOf);
  const names = Array.from({ length: LOAD_FEATURES }, (_, i) => `x${i}`);
  const roles = { time: null, entity: null, features: names, target: ["y"] };
  const series = {
    entity: "",
    rows: ROWS,
    row: Int32Array.from({ length: ROWS }, (_, i) => i + 1),
    time: null,
    features: Float64Array.from({ length: ROWS * LOAD_FEATURES }, () => rng.normal()),
    target: null,
    labels: Array.from({ length: ROWS }, (_, i) => `class ${i % LOAD_CLASSES}`),
    split: null,
  };
  const preprocessing = Preprocessing.fit([series], { roles, targetKind: "tags" }, [new Uint8Array(ROWS).fill(1)]);
  const architecture = recurrentSpec({
    cell: "gru",
    inputSize: LOAD_FEATURES,
    hiddenSize: HIDDEN,
    outputSize: preprocessing.classes.length,
  });
  const network = buildNetwork(architecture, { rng });
  return saveNetwork(
    {
      name: "load",
      task: "tag",
      mode: "streaming",
      streaming: "carried",
      windowLength: 0,
      architecture,
      spec: {
        features: [...preprocessing.featureNames],
        targetKind: "tags",
        targets: [],
        classes: [...preprocessing.classes],
        horizon: 0,
        everyStep: true,
        length: 0,
        targetFeature: [],
      },
      normalize: "none",
      preprocessing: preprocessing.toJSON(),
      report: null,
      provenance: {
        version: "0",
        created: "1970-01-01T00:00:00.000Z",
        seed: seedOf,
        data: {},
        engine: "none: random weights",
        config: null,
      },
    },
    network,
  );
}
