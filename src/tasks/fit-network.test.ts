import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { type Prefetcher, type Slices, tableFromRecords } from "../data/index.js";
import { workerPrefetcher } from "../data/prefetch-node.js";
import { buildNetwork } from "../model/index.js";
import type { CheckpointStore, RunLogEntry } from "../train/index.js";
import { type ExperimentConfigInput, parseConfig } from "./config.js";
import { prepareExperiment } from "./experiment.js";
import { type FitOptions, fitNetwork } from "./fit-network.js";
import { taskOf, wholeLanes } from "./task.js";
import { meanLoss } from "./validation.js";

const RECORDS = ["train", "train", "train", "train", "train", "train", "train", "validation", "test"].flatMap((part, s) =>
  Array.from({ length: 12 + 5 * (s % 4) }, (_, i) => ({
    id: `s${s}`,
    v: Math.sin((1 + (s % 2)) * i),
    kind: `k${s % 2}`,
    tag: i % 5 > 2 ? "on" : "off",
    part,
  })),
);

type Train = NonNullable<ExperimentConfigInput["train"]>;

function configOf(task: "classify" | "tag", train: Train, more: Partial<ExperimentConfigInput> = {}) {
  return parseConfig({
    task,
    data: {
      source: "records",
      entity: "id",
      features: ["v"],
      target: task === "classify" ? "kind" : "tag",
      split: { by: "column:part" },
    },
    model: { hiddenSize: 4, dropout: 0.2 },
    train: { epochs: 3, earlyStopping: null, ...train },
    ...more,
  });
}

const CONFIGS = {
  "windows in pools, varied": configOf(
    "classify",
    {
      batchSize: 3,
      shuffleBuffer: 16,
      augment: { jitter: 0.1, speed: [0.8, 1.25], timeMask: { share: 0.3 } },
    },
    { window: { length: 6, stride: 2 } },
  ),
  "whole sequences within a budget": configOf("classify", { maxTokens: 40, shuffleBuffer: 3 }),
  "carried lanes": configOf("tag", { batchSize: 2 }, { mode: "streaming", window: { length: 4 } }),
};

/** Whole inputs, and how many of their elements were read. */
function counted(column: Slices<Float32Array>, read: { elements: number }): Slices<Float32Array> {
  return {
    length: column.length,
    subarray(from, to) {
      read.elements += to - from;
      return column.subarray(from, to);
    },
  };
}

function memoryStore(): CheckpointStore {
  let bytes: Uint8Array | null = null;
  return {
    load: async () => bytes,
    save: async (next) => {
      bytes = next.slice();
    },
  };
}

interface Fit extends FitOptions {
  stopAt?: number;
}

async function fitted(config: ReturnType<typeof parseConfig>, { stopAt, ...options }: Fit = {}) {
  const { prepared, spec } = prepareExperiment(config, tableFromRecords(RECORDS));
  const read = { elements: 0 };
  const series = options.prefetcher ? prepared.series : prepared.series.map((one) => ({ ...one, x: counted(one.x, read) }));
  const abort = new AbortController();
  const log: RunLogEntry[] = [];
  const { network, result } = await fitNetwork(config, { ...prepared, series }, spec, taskOf(config).architecture(spec), {
    ...options,
    signal: abort.signal,
    onLog: (entry) => log.push(entry),
    onProgress: ({ step }) => {
      if (step === stopAt) abort.abort();
    },
  });
  const weights = [...network.stateDict()].map(([name, { data }]) => [name, [...data]]);
  return { weights, steps: result.steps, stopped: result.stopped, read: read.elements, log };
}

describe("a run that was stopped and resumed", () => {
  for (const [name, config] of Object.entries(CONFIGS)) {
    it(`ends as one that never was: ${name}`, async () => {
      const whole = await fitted(config);
      const perEpoch = whole.steps / 3;
      expect(perEpoch).toBeGreaterThan(3);
      for (const stopAt of [1, Math.floor(perEpoch) + 2, Math.ceil(2 * perEpoch) + 1]) {
        const checkpoint = memoryStore();
        const first = await fitted(config, { checkpoint, stopAt });
        expect([first.steps, first.stopped]).toEqual([stopAt, "aborted"]);
        const second = await fitted(config, { checkpoint, resume: true });
        expect([second.steps, second.weights]).toEqual([whole.steps, whole.weights]);
        expect(first.read + second.read).toBeLessThan(1.2 * whole.read);
      }
    });
  }
});

describe("batches made ahead", () => {
  it("train to the same bits, also in a run that was resumed", async () => {
    for (const config of Object.values(CONFIGS)) {
      const ahead = { ...config, train: { ...config.train, prefetch: "on" as const } };
      const whole = await fitted(config);
      expect((await fitted(ahead, { prefetcher: workerPrefetcher })).weights).toEqual(whole.weights);
      const checkpoint = memoryStore();
      await fitted(ahead, { prefetcher: workerPrefetcher, checkpoint, stopAt: 3 });
      const resumed = await fitted(ahead, { prefetcher: workerPrefetcher, checkpoint, resume: true });
      expect(resumed.weights).toEqual(whole.weights);
    }
  });

  it("are made where they pay, as they are asked for, and never against what is asked", async () => {
    const begun: string[] = [];
    const prefetcher =
      (name: string): Prefetcher =>
      (recipe, options) => {
        begun.push(name);
        return workerPrefetcher(recipe, options);
      };
    const [varied, plain] = [CONFIGS["windows in pools, varied"], CONFIGS["whole sequences within a budget"]];
    const once = (config: typeof varied, prefetch: "auto" | "on" | "off") => ({
      ...config,
      train: { ...config.train, epochs: 1, prefetch },
    });
    await fitted(once(varied, "auto"), { prefetcher: prefetcher("varied, auto") });
    await fitted(once(varied, "off"), { prefetcher: prefetcher("varied, off") });
    await fitted(once(plain, "auto"), { prefetcher: prefetcher("plain, auto") });
    await fitted(once(plain, "on"), { prefetcher: prefetcher("plain, on") });
    expect(begun).toEqual(["varied, auto", "plain, on"]);
    await expect(fitted(once(plain, "on"))).rejects.toThrow(/OST_RANGE.*prefetcher/s);
  });
});

describe("validation of a carried state", () => {
  it("is the same however its stretches are cut", async () => {
    const { prepared, spec } = prepareExperiment(CONFIGS["carried lanes"], tableFromRecords(RECORDS));
    const network = buildNetwork(taskOf(CONFIGS["carried lanes"]).architecture(spec), { rng: seed(1) });
    const options = { task: taskOf(CONFIGS["carried lanes"]), options: { classWeights: null, costs: null } };
    const of = (chunk?: number) => meanLoss(network, spec, wholeLanes(prepared, "train", 1, { chunk }), options);
    for (const chunk of [1, 5, 16, 100]) expect(of(chunk)).toBeCloseTo(of(), 6);
  });
});

describe("augmentation", () => {
  it("is refused where the state is carried on", async () => {
    const config = configOf("tag", { augment: { jitter: 0.1 } }, { mode: "streaming", window: { length: 4 } });
    await expect(fitted(config)).rejects.toThrow(/OST_RANGE.*mode: streaming/s);
  });

  it("changes what is learned, and nothing that is validated", async () => {
    const of = (augment?: Train["augment"]) => fitted(configOf("classify", { augment, learningRate: 1e-12, weightDecay: 0 }));
    const [plain, varied] = [await of(), await of({ jitter: 0.5 })];
    const losses = (log: RunLogEntry[]) => log.flatMap((entry) => (entry.kind === "epoch" ? [entry.loss] : []));
    const validation = (log: RunLogEntry[]) =>
      log.flatMap((entry) => (entry.kind === "epoch" ? [entry.validation as number] : []));
    expect(losses(varied.log)).not.toEqual(losses(plain.log));
    for (const [epoch, loss] of validation(varied.log).entries()) expect(loss).toBeCloseTo(validation(plain.log)[epoch], 6);
  });
});

describe("the best epoch", () => {
  const chosenBy = async (train: Train, more: Partial<ExperimentConfigInput> = {}) => {
    const { log } = await fitted(configOf("tag", { epochs: 8, learningRate: 0.1, ...train }, { window: { length: 6 }, ...more }));
    return log.flatMap((entry) => (entry.kind === "epoch" ? [{ validation: entry.validation as number, best: entry.best }] : []));
  };

  it("is that of the lowest loss, or of the best metric, whichever is asked for", async () => {
    const by = {
      loss: await chosenBy({}),
      accuracy: await chosenBy({ selection: "metric" }),
      logLoss: await chosenBy({ selection: "metric" }, { decision: { metric: "logLoss" } }),
    };
    const kept = (epochs: typeof by.loss) => epochs.map(({ best }) => best).lastIndexOf(true);
    const values = (epochs: typeof by.loss) => epochs.map(({ validation }) => validation);
    expect(values(by.loss)[kept(by.loss)]).toBe(Math.min(...values(by.loss)));
    expect(values(by.accuracy)[kept(by.accuracy)]).toBe(Math.max(...values(by.accuracy)));
    values(by.logLoss).forEach((value, i) => void expect(value).toBeCloseTo(values(by.loss)[i], 5));
    expect(kept(by.logLoss)).toBe(kept(by.loss));
  });

  it("is the later one of equal metrics, which must not end the run", async () => {
    const { log, stopped } = await fitted(
      configOf(
        "tag",
        { epochs: 7, learningRate: 1e-9, selection: "metric", earlyStopping: { patience: 1 } },
        { window: { length: 6 } },
      ),
    );
    const epochs = log.flatMap((entry) => (entry.kind === "epoch" ? [entry] : []));
    expect(new Set(epochs.map(({ validation }) => validation)).size).toBe(1);
    expect([stopped, epochs.map(({ best }) => best)]).toEqual(["epochs", Array(7).fill(true)]);
  });

  it("is not chosen by alerts, which are fitted on the validation part", () => {
    const detect = () =>
      parseConfig({
        task: "detect",
        data: { source: "records", features: ["v"], target: "v", split: { by: "column:part" } },
        window: { length: 6 },
        detect: { by: "residual" },
        train: { selection: "metric" },
      });
    expect(detect).toThrow(/OST_CONFIG.*train.selection.*loss/s);
  });
});
