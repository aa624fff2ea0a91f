/**
 * @file Small experiments of every task that predicts sequences, and what each of them must keep to: killed and resumed equals never stopped, padding
 * and batch size change nothing, the file predicts what was judged, the same workers give the same bits, and training goes on from a model.
 */
import { expect } from "vitest";
import type { Batch } from "../../src/core/batch.js";
import { type Rng, seed } from "../../src/core/rng.js";
import { batches, type PreparedData, tableFromRecords } from "../../src/data/index.js";
import { evaluate, type Score } from "../../src/evaluate/index.js";
import { type LoadedModel, openModel, type Predictor } from "../../src/model/index.js";
import { gradientThreads } from "../../src/tasks/gradient-node.js";
import {
  type ExperimentConfigInput,
  type ExperimentOptions,
  type ExperimentResult,
  parseConfig,
  prepareExperiment,
  runExperiment,
  scoringOptions,
} from "../../src/tasks/index.js";
import { taskOf } from "../../src/tasks/task.js";
import type { CheckpointStore } from "../../src/train/index.js";

export type Rows = Record<string, string | number | null>[];

export interface Trial {
  input: ExperimentConfigInput;
  rows: Rows;
}

/** The trial with other settings of training, model or forecast. */
export function withSettings(
  trial: Trial,
  settings: Partial<Pick<ExperimentConfigInput, "train" | "model" | "forecast" | "window">>,
): Trial {
  const { input } = trial;
  const joined = Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key, { ...(input[key as keyof ExperimentConfigInput] as object), ...value }]),
  );
  return { ...trial, input: { ...input, ...joined } };
}

export async function ran({ input, rows }: Trial, options: ExperimentOptions = {}): Promise<ExperimentResult> {
  const result = await runExperiment(parseConfig(input), tableFromRecords(rows), options);
  return result as ExperimentResult;
}

/** The weights of a model's file, by name. */
export async function weightsOf({ file }: Pick<ExperimentResult, "file">): Promise<[string, number[]][]> {
  const { network } = await openModel(file);
  return [...network!.stateDict()].map(([name, { data }]) => [name, [...data]]);
}

class MemoryStore implements CheckpointStore {
  #bytes: Uint8Array | null = null;
  async load() {
    return this.#bytes;
  }
  async save(bytes: Uint8Array) {
    this.#bytes = bytes.slice();
  }
}

/** Stopped after each of some numbers of updates and gone on with, the run ends with the weights and figures of one that never stopped. */
export async function expectResumes(trial: Trial, stops: readonly number[], options: ExperimentOptions = {}): Promise<void> {
  const whole = await ran(trial, options);
  const config = parseConfig(trial.input);
  const checkpoint = new MemoryStore();
  for (const [i, stop] of stops.entries()) {
    expect(stop).toBeLessThan(whole.training.steps);
    const abort = new AbortController();
    const ended = await runExperiment(config, tableFromRecords(trial.rows), {
      ...options,
      checkpoint,
      resume: i > 0,
      signal: abort.signal,
      onEvent: (event) => {
        if (event.kind === "progress" && event.progress.step >= stop) abort.abort();
      },
    });
    expect(ended).toBeNull();
  }
  const resumed = await ran(trial, { ...options, checkpoint, resume: true });
  expect(resumed.training.steps).toBe(whole.training.steps);
  expect(await weightsOf(resumed)).toEqual(await weightsOf(whole));
  expect(resumed.metrics).toEqual(whole.metrics);
}

/** Steps, and tokens of targets, that mean nothing. */
export function padded(batch: Batch, more: number): Batch {
  const { batchSize, time, tokens } = batch;
  const widened = <A extends Float32Array | Int32Array>(list: A, rows: number, to: number, none: number): A => {
    const width = list.length / rows;
    const own = new (list.constructor as new (size: number) => A)(rows * to).fill(none) as A;
    for (let b = 0; b < rows; b++) own.set(list.subarray(b * width, (b + 1) * width), b * to);
    return own;
  };
  const steps = time + more;
  const per = (list: Float32Array | Int32Array) => list.length / (batchSize * time);
  const isStepwise = batch.targetKind === "tags" || batch.targetKind === "next";
  return {
    ...batch,
    time: steps,
    x: widened(batch.x, batchSize, steps * batch.features, 0),
    ...(batch.classes && isStepwise && { classes: widened(batch.classes, batchSize, steps, -1) }),
    ...(batch.values && batch.everyStep && { values: widened(batch.values, batchSize, steps * per(batch.values), Number.NaN) }),
    ...(tokens && { tokens: widened(tokens, batchSize, tokens.length / batchSize + more, -1) }),
  };
}

interface Judged {
  model: LoadedModel;
  batchesOfTest(options?: { batchSize?: number; padding?: number }): Batch[];
  score(predictor: Predictor, options?: { batchSize?: number; padding?: number }): Score;
  prepared: PreparedData;
}

/** The test part again, from the model's file, in batches of any size. */
export async function judgedAgain({ input, rows }: Trial, file: Uint8Array): Promise<Judged> {
  const config = parseConfig(input);
  const { prepared, spec } = prepareExperiment(config, tableFromRecords(rows));
  const examples = taskOf(config).examples(prepared, "test", { served: true, stride: 1 });
  const scoring = scoringOptions(config, prepared);
  const batchesOfTest: Judged["batchesOfTest"] = ({ batchSize = 16, padding = 0 } = {}) =>
    [...batches(examples, { batchSize, normalize: config.window.normalize })].map((batch) => padded(batch, padding));
  return {
    model: await openModel(file),
    prepared,
    batchesOfTest,
    score: (predictor, options) => evaluate(predictor, batchesOfTest(options), spec, scoring),
  };
}

/** Other batches, more padding: the same figures, bit for bit. */
export async function expectBatchesDoNotMatter(trial: Trial, { file }: Pick<ExperimentResult, "file">): Promise<void> {
  const { model, score } = await judgedAgain(trial, file);
  const usual = score(model.predictor);
  for (const options of [{ batchSize: 1 }, { batchSize: 5 }, { padding: 3 }, { batchSize: 3, padding: 7 }]) {
    expect(score(model.predictor, options).metrics, JSON.stringify(options)).toEqual(usual.metrics);
  }
}

/** What the file predicts gives the figures that the report told, and saved once more it is the same. */
export async function expectFileKeeps(trial: Trial, { file, metrics }: ExperimentResult): Promise<void> {
  const { model, score } = await judgedAgain(trial, file);
  expect(score(model.predictor).metrics).toEqual(metrics.test);
}

/** Two threads that share each batch: the same bits again, dropout and all; and where nothing is drawn what one alone learns, but for rounding. */
export async function expectWorkersRepeat(trial: Trial): Promise<void> {
  const shared = withSettings(trial, { train: { workers: 2 } });
  const runs = [await ran(shared, { gradientWorkers: gradientThreads }), await ran(shared, { gradientWorkers: gradientThreads })];
  expect(await weightsOf(runs[1])).toEqual(await weightsOf(runs[0]));
  expect(runs[1].metrics).toEqual(runs[0].metrics);
  const plain = withSettings(trial, {
    model: { dropout: 0, recurrentDropout: 0 },
    train: { maxSteps: 2, optimizer: "sgd", learningRate: 0.1, sampling: null },
  });
  const alone = await weightsOf(await ran(plain));
  const together = await weightsOf(
    await ran(withSettings(plain, { train: { workers: 2 } }), { gradientWorkers: gradientThreads }),
  );
  for (const [i, [name, values]] of together.entries()) {
    values.forEach((value, j) => {
      expect(Math.abs(value - alone[i][1][j]), name).toBeLessThan(1e-5);
    });
  }
}

/** Going on from a model: the loss begins where it ended, on data of another scale too, and the preprocessing is its own. */
export async function expectGoesOn(trial: Trial, result: ExperimentResult, others: Rows = trial.rows): Promise<void> {
  const from = await openModel(result.file);
  const still = withSettings(trial, { train: { epochs: 1, learningRate: 1e-12, weightDecay: 0 } });
  const again = await ran(still, { from });
  expect(again.training.best!.validation).toBeCloseTo(result.training.best!.validation, 6);
  expect(again.baselines[`${result.name} before`]).toEqual(result.metrics.test);
  const { network, preprocessing } = from;
  const moved = await ran({ ...still, rows: others }, { from });
  const loaded = await openModel(moved.file);
  expect(loaded.preprocessing.toJSON()).toEqual(preprocessing.toJSON());
  expect(loaded.header.provenance.from).toEqual({ name: result.name, hash: from.hash });
  expect([...loaded.network!.stateDict().keys()]).toEqual([...network!.stateDict().keys()]);
}

/** The same list in an order of chance. */
export function shuffled<T>(list: readonly T[], rng: Rng = seed(77)): T[] {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = rng.integer(i + 1);
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}
