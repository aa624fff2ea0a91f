import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { buildNetwork, countParameters, recurrentSpec } from "./architecture.js";
import { decodeModel, encodeModel, type ModelHeader } from "./file.js";
import { openModel } from "./load.js";
import { openSession } from "./session.js";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.js";

const golden = (stem: string) => readFileSync(new URL(`../../test/golden/model-files/${stem}.safetensors`, import.meta.url));
const { header, arrays } = decodeModel(golden("v1-tag-gru-carried"));
const changed = (change: (copy: ModelHeader) => void, weights = arrays) => {
  const copy = structuredClone(header);
  change(copy);
  return encodeModel(copy, weights);
};

describe("opening a model file", () => {
  it("counts what a built network has", () => {
    for (const cell of ["rnn", "gru", "lstm"] as const) {
      for (const [numLayers, bidirectional] of [
        [1, false],
        [3, false],
        [2, true],
      ] as const) {
        const spec = recurrentSpec({ cell, inputSize: 3, hiddenSize: 5, outputSize: 2, numLayers, bidirectional });
        const built = buildNetwork(spec, { rng: seed(1) }).parameters();
        expect(countParameters(spec)).toBe(built.reduce((sum, { size }) => sum + size, 0));
      }
    }
    const mlp = { type: "windowMLP", window: 4, inputSize: 3, hiddenSize: 7, outputSize: 2 } as const;
    for (const spec of [mlp, { ...mlp, embeddings: [{ column: 1, size: 9, width: 5 }] }]) {
      const built = buildNetwork(spec, { rng: seed(1) }).parameters();
      expect(countParameters(spec)).toBe(built.reduce((sum, { size }) => sum + size, 0));
    }
  });

  it("refuses an architecture its weights do not fill, before building it", async () => {
    const huge = changed((copy) => {
      copy.architecture = { ...copy.architecture, hiddenSize: 65_536 } as ModelHeader["architecture"];
    });
    const start = performance.now();
    await expect(openModel(huge)).rejects.toThrow(/OST_MODEL_FILE.*do not fit/);
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it("refuses fields that would misbehave later", async () => {
    const cases: ((copy: ModelHeader) => void)[] = [
      (copy) => Object.assign(copy, { streaming: "windowed", windowLength: 0 }),
      (copy) => Object.assign(copy.architecture, { dropout: "much" }),
      (copy) => Object.assign(copy.architecture, { cell: "transformer" }),
      (copy) => Object.assign(copy, { task: "__proto__" }),
      (copy) => Object.assign(copy.spec, { horizon: -1 }),
      (copy) => {
        Object.assign(copy, { streaming: "windowed", windowLength: 1_000_000 });
        Object.assign(copy.spec, { features: new Array(300).fill("f") });
      },
    ];
    for (const change of cases) await expect(openModel(changed(change))).rejects.toThrow(/OST_MODEL_FILE/);
  });

  it("refuses recursive forecasts and schemes of tags that could not be followed", async () => {
    const levels = [0.1, 0.5, 0.9];
    const distribution = { kind: "quantiles", levels };
    const forecast = {
      targetKind: "values",
      classes: [],
      targets: ["a"],
      targetFeature: [0],
      horizon: 4,
      distribution,
      recursive: { paths: 10, seed: 1, distribution: { kind: "gaussian" } },
    };
    const opened = (task: string, spec: object) =>
      openModel(changed((copy) => Object.assign(Object.assign(copy, { task }).spec, forecast, spec)));
    const field = /OST_MODEL_FILE.*field of the header/s;
    // As it stands only preprocessing and network are another's.
    await expect(opened("forecast", {})).rejects.toThrow(/OST_MODEL_FILE.*disagree/s);
    await expect(opened("forecast", { distribution: { kind: "gaussian" } })).rejects.toThrow(field);
    await expect(opened("forecast", { recursive: { paths: 10, seed: 1 } })).rejects.toThrow(field);
    await expect(opened("forecast", { recursive: { ...forecast.recursive, distribution } })).rejects.toThrow(field);
    await expect(opened("forecast", { horizon: 1_000_000, recursive: { ...forecast.recursive, paths: 10_000 } })).rejects.toThrow(
      field,
    );
    await expect(opened("language", {})).rejects.toThrow(field);
    for (const tagScheme of ["constructor", "__proto__", "BIO3"]) {
      await expect(openModel(changed((copy) => Object.assign(copy.spec, { tagScheme })))).rejects.toThrow(field);
    }
  });

  it("refuses embeddings that no network could have, before building one", async () => {
    const embed = (embeddings: unknown) =>
      openModel(
        changed((copy) => {
          Object.assign(copy.architecture, { embeddings });
        }),
      );
    const code = { column: 0, size: 3, width: 2 };
    for (const embeddings of [
      null,
      "all",
      [null],
      [{ ...code, column: -1 }],
      [{ ...code, column: header.spec.features.length }],
      [{ ...code, column: 0.5 }],
      [{ column: 0, size: 3 }],
      [{ ...code, size: 0 }],
      [{ ...code, size: 4_194_305 }],
      [{ ...code, size: 1e300 }],
      [{ ...code, width: 0 }],
      [{ ...code, width: 4097 }],
      [{ column: 0, size: 4_194_304, width: 4096 }],
      [code, code],
    ]) {
      await expect(embed(embeddings), JSON.stringify(embeddings)).rejects.toThrow(/OST_MODEL_FILE.*field of the header/);
    }
    await expect(embed([code])).rejects.toThrow(/OST_MODEL_FILE.*disagree.*codes none.*embeddings 3 in column 0/);
    const spec = changed((copy) => {
      copy.spec.codes = [code];
    });
    await expect(openModel(spec)).rejects.toThrow(/OST_MODEL_FILE.*disagree/);
    const twice = changed((copy) => {
      copy.spec.codes = [code, code];
    });
    await expect(openModel(twice)).rejects.toThrow(/OST_MODEL_FILE.*each column once/);
    expect((await embed([])).network).not.toBeNull();
  });

  it("refuses weights that are not finite, and tensors under strange names", async () => {
    const name = Object.keys(arrays)[0];
    const poisoned = {
      ...arrays,
      [name]: { ...arrays[name], data: arrays[name].data.map((value, i) => (i === 1 ? Number.NaN : value)) },
    };
    await expect(openModel(changed(() => {}, poisoned))).rejects.toThrow(/OST_MODEL_FILE.*not finite/);
    const odd = Object.assign(Object.create(null), arrays, { ["__proto__"]: { shape: [1], data: new Float32Array(1) } });
    await expect(openModel(changed(() => {}, odd))).rejects.toThrow(/OST_MODEL_FILE/);
  });
});

describe("small weights", () => {
  it("are set for a network, and refused for what has no recurrent layer", async () => {
    const bytes = golden("v1-tag-gru-carried");
    const [exact, small] = [await openModel(bytes), await openModel(bytes, { weights: "int8" })];
    expect([exact.weights, small.weights]).toEqual(["float32", "int8"]);
    expect(small.network?.stateDict()).toEqual(exact.network?.stateDict());
    const record = Object.fromEntries(
      openSession(exact, { owner: "a" }).model.columns.map((name, i) => [name, name === "time" ? 1e12 : i]),
    );
    const [a, b] = [exact, small].map((model) =>
      Object.values(openSession(model, { owner: "a" }).push(record)[0].probabilities ?? {}),
    );
    expect(a).not.toEqual(b);
    a.forEach((share, i) => {
      expect(Math.abs(share - b[i])).toBeLessThan(0.05);
    });
    for (const stem of ["v1-tag-gru-carried-logistic-30", "v1-tag-gru-carried-mlp-window-8"])
      await expect(openModel(golden(stem), { weights: "int8" })).rejects.toThrow(/OST_RANGE.*no recurrent layer.*int8/s);
  });
});

describe("a snapshot", () => {
  it("with a header that is no object, or a state no stream could have made, is refused", async () => {
    const windowed = await openModel(golden("v1-forecast-lstm-windowed"));
    const session = openSession(windowed, { owner: "a" });
    const { model, owner } = { model: windowed.hash, owner: "a" };
    const state = session.model.initialState();
    const sizes = { model, owner, preprocessing: state.preprocessing.length, state: state.model.length };
    expect(decodeSnapshot(encodeSnapshot(state, { model, owner }), sizes)).toEqual(state);
    for (const count of [-5, 1e6, 0.5, Number.NaN]) {
      const forged = state.model.slice();
      forged[0] = count;
      const snapshot = encodeSnapshot({ ...state, model: forged }, { model, owner });
      expect(() => openSession(windowed, { owner: "a", snapshot }), String(count)).toThrow(/OST_SNAPSHOT/);
    }
  });
});
