/** @file Model files of networks beyond the plain stack: they come back as they were, and hostile ones are refused. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import type { RecurrentNetworkSpec, SequenceModel } from "../nn/index.js";
import { inference, tensor } from "../tensor/index.js";
import { buildNetwork, countParameters, recurrentSpec } from "./architecture.js";
import { decodeModel, encodeModel, type ModelHeader } from "./file.js";
import { openModel, saveNetwork } from "./load.js";

const { header } = decodeModel(
  readFileSync(new URL("../../test/golden/model-files/v1-tag-gru-carried.safetensors", import.meta.url)),
);
const inputSize = header.spec.features.length;
const outputSize = header.spec.classes.length;
const base = { cell: "lstm", inputSize, hiddenSize: 6, outputSize } as const;

describe("a model file", () => {
  it.each<Partial<RecurrentNetworkSpec>>([
    { layerSizes: [9, 6] },
    { projection: 4, numLayers: 2, residual: true, layerNorm: true },
    { learnedState: true, zoneout: 0.1, cellZoneout: 0.3 },
    { inputDropout: 0.1, lockedDropout: 0.2, recurrentDropout: 0.3, weightDropout: 0.4 },
  ])("of %j gives back the same bits", async (choices) => {
    const architecture = recurrentSpec({ ...base, ...choices });
    const network = buildNetwork(architecture, { rng: seed(1) }) as SequenceModel;
    for (const own of network.parameters()) own.assign(own.floats().map((value, i) => value + 0.1 * Math.sin(i)));
    const loaded = await openModel(saveNetwork({ ...header, architecture }, network));
    expect(loaded.header.architecture).toEqual(JSON.parse(JSON.stringify(architecture)));
    const x = tensor(
      Array.from({ length: 5 * inputSize }, (_, i) => Math.sin(i)),
      [1, 5, inputSize],
    );
    const [before, after] = [network, loaded.network as SequenceModel].map((one) =>
      inference(() => one.forward(x).output.toArray()),
    );
    expect(after).toEqual(before);
  });

  it.each([
    { layerSizes: "6" },
    { layerSizes: [] },
    { layerSizes: [6, 6] },
    { layerSizes: [5] },
    { layerSizes: [65_537], hiddenSize: 6 },
    { layerSizes: [6.5] },
    { layerSizes: null },
    { projection: 0 },
    { projection: 6 },
    { projection: 1e300 },
    { projection: 3, layerSizes: [3, 6], numLayers: 2 },
    { projection: 2, cell: "gru" },
    { cellZoneout: 0.1, cell: "rnn" },
    { merge: "max" },
    { merge: "__proto__" },
    { residual: 1 },
    { layerNorm: "yes" },
    { learnedState: null },
    { zoneout: 1 },
    { zoneout: -0.1 },
    { cellZoneout: null },
    { weightDropout: "0.5" },
    { recurrentDropout: 1 },
    { lockedDropout: 2 },
    { inputDropout: -1 },
    { embeddingDropout: 1 },
    { embeddingDropout: 0.1 },
    { tieWeights: 1 },
    { tieWeights: true },
    { tieWeights: true, embeddings: [] },
    { tieWeights: true, embeddings: [{ column: 0, size: outputSize + 1, width: 2 }] },
  ])("with %j in its architecture is refused by its header", async (choices) => {
    const architecture = { ...recurrentSpec(base), ...choices } as ModelHeader["architecture"];
    await expect(openModel(encodeModel({ ...header, architecture }, {}))).rejects.toThrow(/OST_MODEL_FILE.*field of the header/s);
  });

  it("that claims wide layers and holds none is refused before anything is built", async () => {
    const sizes = new Array(64).fill(65_536);
    const architecture = recurrentSpec({ ...base, layerSizes: sizes, projection: 65_535, learnedState: true, layerNorm: true });
    expect(countParameters(architecture)).toBeGreaterThan(1e12);
    await expect(openModel(encodeModel({ ...header, architecture }, {}))).rejects.toThrow(/OST_MODEL_FILE.*do not fit/s);
  });
});
