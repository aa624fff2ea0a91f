/** @file The laws of training: reproducible, resumable bit for bit, stopped by the first NaN with everything good intact, flat in memory. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { crc32 } from "../../src/core/bytes.js";
import { type ErrorCode, OstinatoError } from "../../src/core/errors.js";
import { type Rng, seed } from "../../src/core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { mse } from "../../src/losses/index.js";
import { GRU, Linear, RecurrentNetwork, type RecurrentNetworkSpec, RNN, type State } from "../../src/nn/index.js";
import {
  Adam,
  AdamW,
  clipByGlobalNorm,
  constant,
  type Optimizer,
  plateau,
  SGD,
  stepDecay,
  warmupCosine,
} from "../../src/optim/index.js";
import { inference, integers, type Parameter, parameter, tensor } from "../../src/tensor/index.js";
import { checkpointFile, writeAtomically } from "../../src/train/checkpoint-file.js";
import {
  type CheckpointStore,
  type RunLogEntry,
  type TrainOptions,
  type TrainResult,
  train,
  trainStep,
} from "../../src/train/index.js";
import { lossTrace } from "../golden/loss-trace.js";
import { NATIVE_ENGINES, skipAbsentNative } from "../support/native-engines.js";

const wasm = WasmKernels.create();
const reference = new ReferenceKernels("float32");

const spec: RecurrentNetworkSpec = {
  type: "recurrent",
  cell: "lstm",
  inputSize: 2,
  hiddenSize: 5,
  outputSize: 1,
  numLayers: 2,
  bidirectional: false,
  dropout: 0.25,
  init: "uniform",
  forgetBias: 1,
  resetAfter: true,
  nonlinearity: "tanh",
};

describe("the ten-step loss trace", () => {
  const golden = JSON.parse(readFileSync(new URL("../golden/loss-trace.json", import.meta.url), "utf8"));
  const engines: [string, Kernels, number][] = [
    ["float64 reference", new ReferenceKernels("float64"), 1e-10],
    ["float32 reference", reference, 2e-6],
    ["wasm", wasm, 2e-5],
    ["wasm simd128", WasmKernels.create({ variant: "simd128" }), 2e-5],
    ...NATIVE_ENGINES.map(([name, create]): [string, Kernels, number] => [name, create(), 2e-5]),
  ];
  skipAbsentNative();
  for (const [name, engine, tolerance] of engines) {
    it.each(["rnn", "lstm", "gru"] as const)(`on ${name}: %s`, (cell) => {
      const trace = lossTrace(engine, cell);
      trace.forEach((loss, i) => {
        expect(Math.abs(loss / golden[cell][i] - 1), `step ${i}`).toBeLessThan(tolerance);
      });
      expect(lossTrace(engine, cell)).toEqual(trace);
    });
  }
});

describe("trainStep", () => {
  it("overfits one batch", () => {
    const model = new RecurrentNetwork({ ...spec, dropout: 0 }, { rng: seed(1), engine: wasm });
    const optimizer = new Adam(model.parameters(), { learningRate: 0.02 });
    const batch = batches(0, seed(1))[0];
    let loss = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 400; i++)
      loss = trainStep({ optimizer, rng: seed(1), objective: (rng) => objective(model, batch, { rng }) }).loss;
    expect(loss).toBeLessThan(1e-3);
  });

  it("clips the global norm to 1 unless told otherwise, and says so", () => {
    const step = (clipNorm?: number) => {
      const p = parameter([3, 4], [2], { engine: wasm });
      const q = parameter([12], [1], { engine: wasm });
      const optimizer = new SGD([p, q], { learningRate: 1 });
      const result = trainStep({
        optimizer,
        rng: seed(1),
        clipNorm,
        objective: () => ({ loss: p.square().sum().add(q.square().sum()) }),
      });
      return { ...result, moved: Math.hypot(p.floats()[0] - 3, p.floats()[1] - 4, q.floats()[0] - 12) };
    };
    const clipped = step();
    expect(clipped.gradNorm).toBeCloseTo(26, 5);
    expect(clipped.clipped).toBe(true);
    expect(clipped.moved).toBeCloseTo(1, 5);
    expect(step(5).moved).toBeCloseTo(5, 5);
    expect(step(Number.POSITIVE_INFINITY)).toMatchObject({ clipped: false, moved: 26 });
    expect(step(100).clipped).toBe(false);
  });

  it("starts from zero gradients, whatever was left", () => {
    const p = parameter([1], [1], { engine: wasm });
    const optimizer = new SGD([p], { learningRate: 0.5 });
    p.multiply(7).sum().backward();
    trainStep({ optimizer, rng: seed(1), objective: () => ({ loss: p.sum() }) });
    expect(p.floats()[0]).toBe(0.5);
  });

  it("returns the state without history", () => {
    const model = new RecurrentNetwork(spec, { rng: seed(1), engine: wasm });
    const optimizer = new SGD(model.parameters());
    const { state } = trainStep({
      optimizer,
      rng: seed(1),
      objective: (rng) => objective(model, batches(0, seed(1))[0], { rng }),
    });
    expect(Object.keys(state!)).toEqual(["h_l0", "c_l0", "h_l1", "c_l1"]);
    for (const value of Object.values(state!)) {
      expect(value.requiresGrad).toBe(false);
      expect(value.floats().some((x) => x !== 0)).toBe(true);
    }
  });
});

describe.each([
  ["wasm", wasm],
  ["float32 reference", reference],
] as const)("a NaN or infinity on %s stops the step, names its origin and changes nothing:", (_, engine) => {
  const network = (cell: "rnn" | "lstm" | "gru" = "gru") =>
    new RecurrentNetwork({ ...spec, cell, dropout: 0, numLayers: 1 }, { rng: seed(1), engine });

  function stop(
    model: { parameters(): Parameter[]; stateDict(): ReturnType<RecurrentNetwork["stateDict"]> },
    loss: () => ReturnType<typeof mse>,
  ): string {
    const optimizer = new Adam(model.parameters());
    const before = model.stateDict();
    const thrown = caught(() => trainStep({ optimizer, rng: seed(1), objective: () => ({ loss: loss() }) }));
    expect(thrown.code).toBe("OST_NAN");
    for (const [name, { data }] of model.stateDict()) expect(data, name).toEqual(before.get(name)!.data);
    expect(optimizer.stateDict().step).toBe(0);
    return thrown.message;
  }

  for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`${poison} in an input`, () => {
      const model = network();
      const batch = batches(0, seed(1))[0];
      batch.x[(2 * batch.time + 3) * 2] = poison;
      const message = stop(model, () => objective(model, batch, {}).loss);
      expect(message).toMatch(/op input, layer "recurrent", time step 3, row 2, of shape \[3, 5, 2\]/);
    });
  }

  it("but not at padding, where it means nothing", () => {
    const model = network();
    const [clean, padded] = [batches(0, seed(1))[0], batches(0, seed(1))[0]];
    padded.x[(1 * padded.time + 3) * 2] = Number.NaN;
    expect(objective(model, padded, {}).loss.item()).toBe(objective(model, clean, {}).loss.item());
  });

  it("a NaN weight", () => {
    const model = network();
    model.head.weight.assign(model.head.weight.floats().slice().fill(Number.NaN));
    expect(stop(model, () => objective(model, batches(0, seed(1))[0], {}).loss)).toMatch(
      /NaN first arose in the forward pass, op parameter, layer "head"/,
    );
  });

  it("an infinite recurrent weight, although tanh saturates", () => {
    const model = network("rnn");
    const weight = model.namedParameters().get("recurrent.weight_hh_l0")!;
    weight.assign(weight.floats().slice().fill(Number.POSITIVE_INFINITY));
    expect(stop(model, () => objective(model, batches(0, seed(1))[0], {}).loss)).toMatch(
      /Infinity first arose.*op parameter, layer "recurrent"/,
    );
  });

  it("a forward pass that explodes", () => {
    const layer = new RNN(1, 1, { rng: seed(1), engine, nonlinearity: "relu", bias: false });
    const parameters = layer.namedParameters();
    parameters.get("weight_ih_l0")!.assign([1]);
    parameters.get("weight_hh_l0")!.assign([1e10]);
    // h_t = 10^(10 t) exceeds the largest float32, 3.4e38, at t = 4.
    const x = () => tensor([1, 0, 0, 0, 0, 0], [1, 6, 1], { engine });
    expect(stop(layer, () => layer.forward(x()).output.sum())).toMatch(
      /Infinity first arose in the forward pass, op recurrent, layer "weight_ih_l0", time step 4/,
    );
  });

  it("a backward pass that explodes", () => {
    const model = new (class extends RecurrentNetwork {})(
      { ...spec, cell: "rnn", inputSize: 1, hiddenSize: 1, numLayers: 1 },
      { rng: seed(1), engine },
    );
    const parameters = model.namedParameters();
    for (const value of parameters.values()) value.assign(value.floats().slice().fill(0));
    parameters.get("recurrent.weight_ih_l0")!.assign([1]);
    parameters.get("recurrent.weight_hh_l0")!.assign([1e3]);
    // With x = 0 every h is 0 and tanh has slope 1: the gradient by h_t is about 10^(3 (19 - t)), too large from t = 6 downward.
    const x = () => tensor(new Array(20).fill(0), [1, 20, 1], { engine });
    const message = stop(model, () => model.recurrent.forward(x()).last.sum());
    expect(message).toMatch(/Infinity first arose in the backward pass, op recurrent, layer "recurrent", time step 6/);
  });

  it("a loss that overflows, beside targets that are rightly missing", () => {
    const model = network();
    const batch = batches(0, seed(1))[0];
    const target = new Array(15).fill(0).map((_, i) => (i === 2 ? Number.NaN : 1e30));
    const loss = () =>
      mse(objectiveOutput(model, batch), tensor(target, [3, 5, 1], { engine }), {
        mask: target.map((value) => (value > 0 ? 1 : 0)),
      });
    expect(stop(model, loss)).toMatch(/Infinity first arose in the forward pass, op mse/);
  });

  it("a masked NaN target is not blamed for somebody else's NaN", () => {
    const model = network();
    const batch = batches(0, seed(1))[0];
    const target = new Array(15).fill(1);
    target[2] = Number.NaN;
    const mask = target.map((value) => (value === 1 ? 1 : 0));
    const loss = () => mse(objectiveOutput(model, batch), tensor(target, [3, 5, 1], { engine }), { mask });
    expect(loss().item()).toBeGreaterThan(0);
    const message = stop(model, () => loss().subtract(loss()).log());
    expect(message).toMatch(/-Infinity first arose in the forward pass, op log/);
  });
});

describe("a run that meets a NaN", () => {
  it("stops, and its last checkpoint is the one before", async () => {
    const store = memoryStore();
    const stopped = await rejected(start({ store, checkpointSeconds: 0, poisonAt: 5 }));
    expect(stopped.code).toBe("OST_NAN");
    const resumed = await start({ store, resume: true });
    const whole = await start({});
    expect(resumed.weights).toEqual(whole.weights);
  });

  it("an update that overflows a weight is never saved", async () => {
    const store = memoryStore();
    const p = parameter([1], [1], { engine: wasm });
    const model = Object.assign(new Linear(1, 1, { rng: seed(1), engine: wasm }), { p });
    const run = train(model as never, {
      optimizer: new SGD([p], { learningRate: 1e39 }),
      data: () => [0],
      objective: () => ({ loss: p.sum() }),
      epochs: 1,
      checkpoint: store,
    });
    const stopped = await rejected(run);
    expect(stopped.code).toBe("OST_NAN");
    expect(stopped.message).toMatch(/step 1: an update left parameter "p" not finite/);
    expect(store.bytes).toBeNull();
  });

  it("a validation loss that is not finite stops it too", async () => {
    const stopped = await rejected(start({ validate: () => Number.NaN }));
    expect(stopped.code).toBe("OST_NAN");
    expect(stopped.message).toMatch(/validation loss/);
  });
});

describe("a stopped and resumed run ends bit for bit like one never stopped", () => {
  const optimizers: [string, (parameters: Parameter[]) => Optimizer][] = [
    ["AdamW", (parameters) => new AdamW(parameters, { learningRate: 0.01, weightDecay: 0.1 })],
    ["Adam with decay", (parameters) => new Adam(parameters, { learningRate: 0.01, weightDecay: 0.1 })],
    ["SGD with momentum", (parameters) => new SGD(parameters, { learningRate: 0.05, momentum: 0.9, weightDecay: 0.01 })],
  ];
  for (const [name, optimizer] of optimizers) {
    it(`${name}: aborted at random steps`, async () => {
      const whole = await start({ optimizer });
      expect(whole.result.stopped).toBe("early");
      for (const luck of [1, 2, 3]) {
        const rng = seed(luck);
        const store = memoryStore();
        const log: RunLogEntry[] = [];
        let run = await start({ optimizer, store, stopAfter: 1 + rng.integer(6) });
        log.push(...run.log);
        let stops = 0;
        while (run.result.stopped === "aborted") {
          stops++;
          run = await start({ optimizer, store, resume: true, stopAfter: 1 + rng.integer(6) });
          log.push(...run.log);
        }
        expect(stops).toBeGreaterThan(1);
        expect(run.weights).toEqual(whole.weights);
        expect(run.result.best).toEqual(whole.result.best);
        expect(run.result.steps).toBe(whole.result.steps);
        expect(lossesOf(log)).toEqual(lossesOf(whole.log));
      }
    });
  }

  it("killed between two checkpoints: the steps since the last one are done again", async () => {
    const whole = await start({});
    for (const crashAt of [1, 4, 5, 6, 13]) {
      const store = memoryStore();
      const killed = await rejected(start({ store, checkpointSeconds: crashAt % 2 ? 0 : 1e9, crashAt }), Error);
      expect(killed.message).toBe("killed");
      const run = await start({ store, resume: true });
      expect(run.weights).toEqual(whole.weights);
      expect(run.result.best).toEqual(whole.result.best);
    }
  });

  it("resumed with the very model and optimizer that were stopped", async () => {
    const schedule = () => stepDecay({ every: 3, factor: 0.5 });
    const whole = await start({ schedule: schedule() });
    const first = await start({ schedule: schedule(), store: memoryStore(), stopAfter: 7 });
    const second = await start({ ...first.options, schedule: schedule(), resume: true, stopAfter: undefined });
    expect(second.weights).toEqual(whole.weights);
    expect(second.options.made!.optimizer.learningRate).toBe(0.01);
  });

  it("a finished run resumed does nothing and gives the same result", async () => {
    const store = memoryStore();
    const first = await start({ store });
    const saved = store.bytes;
    const again = await start({ store, resume: true });
    expect(again.weights).toEqual(first.weights);
    expect(again.result).toMatchObject({ steps: first.result.steps, best: first.result.best, stopped: "early" });
    expect(store.bytes).toBe(saved);
  });

  it("the seed decides the run", async () => {
    const [a, b, c] = [await start({}), await start({}), await start({ seed: 2 })];
    expect(a.weights).toEqual(b.weights);
    expect(a.weights).not.toEqual(c.weights);
  });
});

describe("a checkpoint", () => {
  it("of another run is refused, and nothing is changed", async () => {
    const store = memoryStore();
    await start({ store, stopAfter: 3 });
    for (const other of [
      { fingerprint: "another" },
      { network: { ...spec, hiddenSize: 6 } },
      { network: { ...spec, cell: "gru" as const } },
      { optimizer: (parameters: Parameter[]) => new SGD(parameters, { learningRate: 0.01, momentum: 0.5 }) },
    ]) {
      const options: Start = { store, resume: true, ...other };
      const made = make(options);
      const before = values(made.model);
      const refused = await rejected(start({ ...options, made }));
      expect(refused.code).toBe("OST_CHECKPOINT");
      expect(refused.message).toMatch(/belongs to another (run|model)/);
      expect(values(made.model)).toEqual(before);
    }
  });

  it("of another engine is refused, and nothing is changed; told to, the run goes on and says on what", async () => {
    const store = memoryStore();
    const first = await start({ store, stopAfter: 3 });
    expect(first.log[0]).toEqual({ kind: "engine", step: 0, engine: `wasm (${wasm.isa})` });
    expect(first.result.engines).toEqual([`wasm ${wasm.isa}`]);
    const elsewhere: Start = { store, resume: true, engine: reference };
    const made = make(elsewhere);
    const before = values(made.model);
    const refused = await rejected(start({ ...elsewhere, made }));
    expect(refused.code).toBe("OST_CHECKPOINT");
    expect(refused.detail).toMatchObject({ expected: `engine wasm ${wasm.isa}`, got: "engine reference float32" });
    expect(refused.detail.repair).toMatch(/OSTINATO_ENGINE.*--other-engine/);
    expect(values(made.model)).toEqual(before);

    const told = await start({ ...elsewhere, otherEngine: true, stopAfter: 2 });
    expect(told.log[0]).toEqual({ kind: "engine", step: 3, engine: "reference (float32)" });
    expect(told.result.engines).toEqual([`wasm ${wasm.isa}`, "reference float32"]);
    expect((await rejected(start({ store, resume: true }))).code).toBe("OST_CHECKPOINT");
    const whole = await start({});
    const ended = await start(elsewhere);
    expect(ended.result.engines).toHaveLength(2);
    expect(ended.result.steps).toBeGreaterThan(5);
    expect(ended.weights).not.toEqual(whole.weights);
  });

  it.skipIf(NATIVE_ENGINES.length === 0)("goes on with another number of threads bit for bit", async () => {
    const threaded = (threads: number) => {
      const engine = NATIVE_ENGINES[0][1]();
      engine.threads = threads;
      return engine;
    };
    const whole = await start({ engine: threaded(1) });
    const store = memoryStore();
    await start({ engine: threaded(2), store, stopAfter: 7 });
    const resumed = await start({ engine: threaded(3), store, resume: true });
    expect(resumed.weights).toEqual(whole.weights);
    expect(resumed.result.engines).toHaveLength(1);
  });

  it("that is corrupt is refused: cut off, flipped, foreign or empty", async () => {
    const store = memoryStore();
    await start({ store, stopAfter: 3 });
    const good = store.bytes!;
    const flipped = (at: number) => good.map((byte, i) => (i === at ? byte ^ 1 : byte));
    const headerBytes = Number(new DataView(good.buffer, good.byteOffset).getBigUint64(0, true));
    const bad = [
      good.subarray(0, good.length - 1),
      good.subarray(0, 20),
      new Uint8Array(0),
      new TextEncoder().encode("not a checkpoint"),
    ];
    for (const at of [3, 8, 30, 8 + headerBytes, good.length - 1]) bad.push(flipped(at));
    const progress = new TextDecoder().decode(good).indexOf("cursor");
    bad.push(flipped(progress + 11));
    for (const bytes of bad) {
      const made = make({});
      const before = values(made.model);
      const refused = await rejected(start({ made, store: memoryStore(bytes), resume: true }));
      expect(refused.code).toBe("OST_CHECKPOINT");
      expect(refused.message).toMatch(/cannot be read/);
      expect(values(made.model)).toEqual(before);
    }
  });

  it("is written at the end of every epoch, and when aborted", async () => {
    const store = memoryStore();
    await start({ store, checkpointSeconds: 1e9 });
    expect(store.saves).toBe((await start({})).result.epochs);
    const aborted = memoryStore();
    await start({ store: aborted, checkpointSeconds: 1e9, stopAfter: 2 });
    expect(aborted.saves).toBe(1);
  });

  it("is not asked for: a run starts anew although there is one", async () => {
    const store = memoryStore();
    await start({ store, stopAfter: 3 });
    expect((await start({ store })).weights).toEqual((await start({})).weights);
  });
});

describe("a file written atomically", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const full = existsSync("/dev/full");

  it("replaces the old one and leaves nothing beside it", async () => {
    const path = join(folder, "deep", "checkpoint");
    await writeAtomically(path, "one");
    await checkpointFile(path).save(new TextEncoder().encode("two"));
    expect(readFileSync(path, "utf8")).toBe("two");
    expect(readdirSync(join(folder, "deep"))).toEqual(["checkpoint"]);
    expect(new TextDecoder().decode((await checkpointFile(path).load())!)).toBe("two");
    expect(await checkpointFile(join(folder, "absent")).load()).toBeNull();
  });

  it.skipIf(!full)("keeps the old one when the disk is full (needs /dev/full)", async () => {
    const path = join(folder, "kept");
    writeFileSync(path, "old");
    symlinkSync("/dev/full", `${path}.${process.pid}.partial`);
    const refused = await rejected(writeAtomically(path, "new"));
    expect(refused.code).toBe("OST_CHECKPOINT");
    expect(refused.message).toMatch(/the disk is full.*/);
    expect(refused.message).toContain(path);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder).filter((name) => name.startsWith("kept"))).toEqual(["kept"]);
  });

  it("keeps the old one when it cannot be written", async () => {
    writeFileSync(join(folder, "file"), "old");
    const refused = await rejected(writeAtomically(join(folder, "file", "checkpoint"), "new"));
    expect(refused.code).toBe("OST_CHECKPOINT");
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("old");
  });

  it.skipIf(!full)("a run whose disk fills up ends with that error", async () => {
    const path = join(folder, "run");
    symlinkSync("/dev/full", `${path}.${process.pid}.partial`);
    const refused = await rejected(start({ store: checkpointFile(path) }));
    expect(refused.code).toBe("OST_CHECKPOINT");
    expect(refused.message).toMatch(/the disk is full/);
  });
});

describe("early stopping and the result", () => {
  async function scripted(validations: number[], options: Partial<TrainOptions<number>>) {
    const p = parameter([0], [1], { engine: wasm });
    const model = Object.assign(new Linear(1, 1, { rng: seed(1), engine: wasm }), { p });
    const byEpoch: number[] = [];
    const result = await train(model as never, {
      optimizer: new SGD([p], { learningRate: 1 }),
      data: () => [0, 1],
      objective: () => ({ loss: p.sum() }),
      validate: () => {
        byEpoch.push(p.floats()[0]);
        return validations[byEpoch.length - 1];
      },
      epochs: validations.length,
      ...options,
    });
    return { result, final: p.floats()[0], byEpoch };
  }

  it("restores the best weights and stops once patience is exceeded", async () => {
    const { result, final, byEpoch } = await scripted([5, 4, 3, 6, 3, 1], { earlyStopping: { patience: 1 } });
    expect(result).toMatchObject({ stopped: "early", epochs: 5, steps: 10, best: { validation: 3, epoch: 2 } });
    expect(final).toBe(byEpoch[2]);
  });

  it("restores the best weights also when all epochs ran", async () => {
    const { result, final, byEpoch } = await scripted([5, 1, 3], {});
    expect(result).toMatchObject({ stopped: "epochs", epochs: 3, best: { validation: 1, epoch: 1 } });
    expect(final).toBe(byEpoch[1]);
  });

  it("without validation the last weights stay", async () => {
    const { result, final } = await scripted([0, 0, 0], { validate: undefined });
    expect(result).toMatchObject({ stopped: "epochs", best: null });
    expect(final).toBe(-6);
  });

  it("maxSteps ends a run within an epoch", async () => {
    const { result, final } = await scripted([0, 0, 0], { validate: undefined, maxSteps: 3 });
    expect(result).toMatchObject({ stopped: "maxSteps", steps: 3 });
    expect(final).toBe(-3);
  });

  it("a run cut short by maxSteps and resumed without it equals one never cut", async () => {
    const batches = Array.from({ length: 10 }, (_, i) => i + 1);
    const once = async (store: CheckpointStore | undefined, options: Partial<TrainOptions<number>>) => {
      const model = new Linear(2, 1, { rng: seed(4), engine: wasm });
      const result = await train(model as never, {
        optimizer: new SGD(model.parameters(), { learningRate: 0.01, momentum: 0.9 }),
        data: (_, rng) => rng.shuffle([...batches]),
        objective: (n) => ({
          loss: model
            .forward(tensor([n, -n], [1, 2], { engine: wasm }))
            .square()
            .sum(),
        }),
        validate: () => model.weight.floats()[0] ** 2,
        epochs: 2,
        checkpoint: store,
        ...options,
      });
      return { result, weights: [...model.stateDict()].map(([, { data }]) => [...data]) };
    };
    const straight = await once(undefined, {});
    let saved: Uint8Array | null = null;
    const store: CheckpointStore = {
      load: async () => saved,
      save: async (bytes) => {
        saved = bytes;
      },
    };
    const cut = await once(store, { maxSteps: 5 });
    expect(cut.result).toMatchObject({ stopped: "maxSteps", steps: 5, epochs: 0 });
    const again = await once(store, { maxSteps: 5, resume: true });
    expect(again).toEqual({ ...cut, result: { ...cut.result, seconds: again.result.seconds } });
    const resumed = await once(store, { resume: true });
    expect(resumed.result.steps).toBe(20);
    expect(resumed.weights).toEqual(straight.weights);
  });

  it("an epoch without batches is refused", async () => {
    expect((await rejected(scripted([0], { data: () => [] }))).code).toBe("OST_RANGE");
  });
});

describe("the run log", () => {
  it("tells loss, gradient norm, clipping, and norms and update ratio per layer", async () => {
    const { log, result } = await start({ logEvery: 2, clipNorm: 0.05 });
    const steps = log.filter((entry) => entry.kind === "step");
    const epochs = log.filter((entry) => entry.kind === "epoch");
    expect(epochs.length).toBe(result.epochs);
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: Math.ceil(result.steps / 2) }, (_, i) => 2 * i));
    for (const { gradNorm, clipped, layers } of steps) {
      const norms = Object.values(layers);
      expect(norms.length).toBe(10);
      expect(Math.hypot(...norms.map((layer) => layer.gradNorm))).toBeCloseTo(gradNorm, 5);
      expect(clipped).toBe(gradNorm > 0.05);
      for (const { parameterNorm, updateRatio } of norms) {
        expect(parameterNorm).toBeGreaterThan(0);
        expect(updateRatio).toBeGreaterThan(0);
        expect(updateRatio).toBeLessThan(1);
      }
    }
    for (const { clippedShare } of epochs) expect(clippedShare).toBeGreaterThan(0);
    expect(
      (await start({ clipNorm: Number.POSITIVE_INFINITY })).log.every(
        (entry) => entry.kind !== "epoch" || entry.clippedShare === 0,
      ),
    ).toBe(true);
  });

  it("the gradient norms of Adam with decay are those of the gradient, not of gradient and decay", async () => {
    const optimizer = (parameters: Parameter[]) => new Adam(parameters, { weightDecay: 10 });
    for (const entry of (await start({ optimizer, logEvery: 1 })).log) {
      if (entry.kind === "step")
        expect(Math.hypot(...Object.values(entry.layers).map(({ gradNorm }) => gradNorm))).toBeCloseTo(entry.gradNorm, 5);
    }
  });
});

describe("optimizers equal their formulas in float64", () => {
  const engine = new ReferenceKernels("float64");
  const gradientAt = (step: number, k: number) => Math.sin(3 * step + k) * (k + 1);
  const size = 5;
  const initial = Array.from({ length: size }, (_, k) => Math.cos(k));

  function run(
    create: (parameters: Parameter[]) => Optimizer,
    formula: (p: number[], g: number[], step: number) => void,
    gradientScale = 1,
  ): void {
    const p = parameter(initial, [size], { engine });
    const optimizer = create([p]);
    const expected = [...initial];
    for (let step = 1; step <= 25; step++) {
      const g = Array.from({ length: size }, (_, k) => gradientAt(step, k));
      optimizer.zeroGrad();
      p.multiply(tensor(g, [size], { engine }))
        .sum()
        .backward();
      optimizer.step({ gradientScale });
      formula(
        expected,
        g.map((value) => value * gradientScale),
        step,
      );
      p.floats().forEach((value, k) => {
        expect(Math.abs(value - expected[k])).toBeLessThan(1e-13);
      });
    }
  }

  for (const scale of [1, 0.3]) {
    it(`SGD, gradients times ${scale}`, () => {
      run(
        (p) => new SGD(p, { learningRate: 0.1 }),
        (p, g) => {
          for (let k = 0; k < size; k++) p[k] -= 0.1 * g[k];
        },
        scale,
      );
    });
    it(`SGD with momentum and decay, gradients times ${scale}`, () => {
      const v = new Array(size).fill(0);
      run(
        (p) => new SGD(p, { learningRate: 0.1, momentum: 0.9, weightDecay: 0.05 }),
        (p, g) => {
          for (let k = 0; k < size; k++) {
            v[k] = 0.9 * v[k] + g[k] + 0.05 * p[k];
            p[k] -= 0.1 * v[k];
          }
        },
        scale,
      );
    });
    for (const decoupled of [false, true]) {
      it(`${decoupled ? "AdamW" : "Adam"} with decay, gradients times ${scale}`, () => {
        const [m, v] = [new Array(size).fill(0), new Array(size).fill(0)];
        const options = { learningRate: 0.02, betas: [0.8, 0.95], epsilon: 1e-6, weightDecay: 0.1 } as const;
        run(
          (p) => (decoupled ? new AdamW(p, options) : new Adam(p, options)),
          (p, g, t) => {
            for (let k = 0; k < size; k++) {
              const slope = decoupled ? g[k] : g[k] + 0.1 * p[k];
              if (decoupled) p[k] -= 0.02 * 0.1 * p[k];
              m[k] = 0.8 * m[k] + 0.2 * slope;
              v[k] = 0.95 * v[k] + (1 - 0.95) * slope * slope;
              p[k] -= (0.02 * (m[k] / (1 - 0.8 ** t))) / (Math.sqrt(v[k] / (1 - 0.95 ** t)) + 1e-6);
            }
          },
          scale,
        );
      });
    }
  }

  it("defaults: Adam decays nothing, AdamW 0.01, also when told undefined", () => {
    const p = [parameter([1], [1], { engine })];
    expect(new Adam(p).weightDecay).toBe(0);
    expect(new AdamW(p).weightDecay).toBe(0.01);
    expect(new AdamW(p, { weightDecay: undefined }).weightDecay).toBe(0.01);
    expect(new Adam(p)).toMatchObject({ learningRate: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8 });
  });

  it("a parameter that no loss reached is treated as one of gradient zero; a step leaves the gradients as they were", () => {
    const [used, unused, zero] = [1, 1, 1].map((value) => parameter([value], [1], { engine }));
    const optimizer = new Adam([used, unused, zero], { weightDecay: 0.5 });
    used.multiply(3).add(zero.multiply(0)).sum().backward();
    expect(unused.grad).toBeNull();
    optimizer.step();
    expect(used.grad?.floats()[0]).toBe(3);
    expect(used.floats()[0]).toBeLessThan(1);
    expect(unused.floats()[0]).toBe(zero.floats()[0]);
    expect(unused.floats()[0]).toBeLessThan(1);
  });

  it("clipByGlobalNorm measures all gradients together and changes none", () => {
    const [a, b] = [parameter([3], [1], { engine }), parameter([4], [1], { engine })];
    a.square().sum().add(b.square().sum()).backward();
    expect(clipByGlobalNorm([a, b], 5)).toEqual({ gradNorm: 10, gradientScale: 0.5, clipped: true });
    expect(clipByGlobalNorm([a, b], 10)).toEqual({ gradNorm: 10, gradientScale: 1, clipped: false });
    expect(a.grad?.floats()[0]).toBe(6);
  });

  it("refuses a learning rate that is none, and a state that is another's", () => {
    const p = parameter([1, 2], [2], { engine });
    for (const learningRate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(caught(() => new SGD([p], { learningRate })).code).toBe("OST_RANGE");
    }
    const other = new Adam([parameter([1], [1], { engine })]).stateDict();
    expect(caught(() => new Adam([p]).loadStateDict(other)).code).toBe("OST_CHECKPOINT");
  });
});

describe("schedules", () => {
  it("constant, step decay, warm-up and cosine", () => {
    expect([0, 5, 1e6].map(constant().factor)).toEqual([1, 1, 1]);
    const decay = stepDecay({ every: 3, factor: 0.1 });
    expect([0, 2, 3, 5, 6].map(decay.factor).map((value) => +value.toFixed(12))).toEqual([1, 1, 0.1, 0.1, 0.01]);
    const cosine = warmupCosine({ warmupSteps: 4, totalSteps: 104, floor: 0.1 });
    expect([0, 1, 3, 4].map(cosine.factor)).toEqual([0.25, 0.5, 1, 1]);
    expect(cosine.factor(54)).toBeCloseTo(0.55, 12);
    expect(cosine.factor(104)).toBeCloseTo(0.1, 12);
    expect(cosine.factor(1e6)).toBeCloseTo(0.1, 12);
    expect(caught(() => stepDecay({ every: 0 })).code).toBe("OST_RANGE");
    expect(caught(() => warmupCosine({ totalSteps: 0 })).code).toBe("OST_RANGE");
  });

  it("plateau halves after more than `patience` epochs without a lower loss, and survives a checkpoint at any epoch", () => {
    const losses = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3];
    const expected = [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25];
    for (let cut = 0; cut <= losses.length; cut++) {
      let schedule = plateau({ patience: 2, factor: 0.5 });
      losses.forEach((loss, i) => {
        if (i === cut) {
          const state = JSON.parse(JSON.stringify(schedule.state()));
          schedule = plateau({ patience: 2, factor: 0.5 });
          schedule.restore(state);
        }
        schedule.observe(loss);
        expect(schedule.factor(0)).toBe(expected[i]);
      });
    }
  });
});

describe("memory", () => {
  it("in use is flat over 100,000 steps of changing shape", () => {
    const engine = WasmKernels.create();
    const layer = new GRU(1, 2, { rng: seed(1), engine });
    const head = new Linear(2, 1, { rng: seed(2), engine });
    const optimizer = new AdamW([...layer.parameters(), ...head.parameters()], { learningRate: 1e-4 });
    const rng = seed(3);
    const values = Float32Array.from({ length: 64 }, () => rng.uniform(-1, 1));
    const step = (i: number) => {
      const [batch, time] = [1 + (i % 3), 1 + (i % 5)];
      trainStep({
        optimizer,
        rng,
        objective: () => {
          const x = tensor(values.subarray(0, batch * time), [batch, time, 1], { engine });
          const { last } = layer.forward(x, {
            lengths: integers(new Int32Array(batch).fill(i % (time + 1)), [batch], { engine }),
          });
          return { loss: head.forward(last).square().sum() };
        },
      });
    };
    for (let i = 0; i < 100; i++) step(i);
    const before = { inUse: engine.memory.bytesInUse, resident: engine.memory.byteLength };
    for (let i = 0; i < 100_000; i++) step(i);
    expect({ inUse: engine.memory.bytesInUse, resident: engine.memory.byteLength }).toEqual(before);
  });

  it("in use is flat over epochs of carried lanes", async () => {
    const engine = WasmKernels.create();
    const use: number[] = [];
    await start({ engine, epochs: 30, patience: 100, onEpoch: () => use.push(engine.memory.bytesInUse) });
    expect(use.length).toBe(30);
    expect(Math.max(...use.slice(1))).toBe(Math.min(...use.slice(1)));
  });
});

interface Lanes {
  x: Float32Array;
  y: Float32Array;
  batch: number;
  time: number;
  lengths: number[];
}

/** Five chunks of three lanes; which numbers they hold depends on the epoch's generator. */
function batches(epoch: number, rng: Rng): Lanes[] {
  return Array.from({ length: 5 }, (_, i) => {
    const [batch, time] = [3, 5];
    const x = Float32Array.from({ length: batch * time * 2 }, () => rng.uniform(-1, 1));
    const y = Float32Array.from({ length: batch * time }, (_, k) => Math.sin(epoch + x[2 * k]) - x[2 * k + 1]);
    return { x, y, batch, time, lengths: [5, i % 2 ? 5 : 3, 5] };
  });
}

function objectiveOutput(
  model: RecurrentNetwork,
  { x, batch, time, lengths }: Lanes,
  { rng, state }: { rng?: Rng; state?: State } = {},
) {
  const { engine } = model;
  const options = { rng, state, lengths: integers(lengths, [batch], { engine }) };
  return model.forward(tensor(x, [batch, time, 2], { engine }), options).output;
}

function objective(model: RecurrentNetwork, lanes: Lanes, { rng, state }: { rng?: Rng; state?: State }) {
  const { engine } = model;
  const { x, y, batch, time, lengths } = lanes;
  const result = model.forward(tensor(x, [batch, time, 2], { engine }), {
    rng,
    state,
    lengths: integers(lengths, [batch], { engine }),
  });
  const mask = Uint8Array.from(y, (_, k) => (k % time < lengths[Math.floor(k / time)] ? 1 : 0));
  return { loss: mse(result.output, tensor(y, [batch, time, 1], { engine }), { mask }), state: result.state };
}

interface Start {
  store?: CheckpointStore;
  engine?: Kernels;
  network?: RecurrentNetworkSpec;
  optimizer?: (parameters: Parameter[]) => Optimizer;
  schedule?: ReturnType<typeof plateau>;
  resume?: boolean;
  otherEngine?: boolean;
  /** Aborts through the signal after so many updates of this process. */
  stopAfter?: number;
  /** Throws at this update of the run, as a killed process would end. */
  crashAt?: number;
  poisonAt?: number;
  checkpointSeconds?: number;
  fingerprint?: string;
  seed?: number;
  epochs?: number;
  patience?: number;
  clipNorm?: number;
  logEvery?: number;
  validate?: () => number;
  onEpoch?: () => void;
  made?: ReturnType<typeof make>;
}

/** A model and optimizer of a new process: when it resumes from a checkpoint, its own weights must not matter. */
function make({
  engine = wasm,
  network = spec,
  optimizer = (parameters) => new AdamW(parameters, { learningRate: 0.01 }),
  resume,
  store,
}: Start) {
  const model = new RecurrentNetwork(network, { rng: seed(resume && (store as { saves?: number }).saves ? 99 : 1), engine });
  return { model, optimizer: optimizer(model.parameters()) };
}

/** A run with dropout, carried lanes, a plateau schedule and early stopping. */
async function start(options: Start) {
  const made = options.made ?? make(options);
  const { model, optimizer } = made;
  const abort = new AbortController();
  const log: RunLogEntry[] = [];
  let updates = 0;
  let total = 0;
  const trainOptions: TrainOptions<Lanes> = {
    optimizer,
    data: batches,
    objective: (batch, context) => {
      total++;
      if (total === options.poisonAt) batch.x.fill(Number.NaN);
      return objective(model, batch, context);
    },
    validate: options.validate ?? (() => inference(() => objective(model, batches(0, seed(77))[0], {}).loss.item())),
    epochs: options.epochs ?? 12,
    earlyStopping: { patience: options.patience ?? 2 },
    schedule: options.schedule ?? plateau({ patience: 0, factor: 0.5 }),
    seed: options.seed ?? 1,
    clipNorm: options.clipNorm,
    checkpoint: options.store,
    resume: options.resume,
    otherEngine: options.otherEngine,
    fingerprint: options.fingerprint ?? "test",
    checkpointSeconds: options.checkpointSeconds ?? 0,
    logEvery: options.logEvery ?? 1,
    onLog: (entry) => {
      log.push(entry);
      if (entry.kind === "epoch") options.onEpoch?.();
    },
    onProgress: ({ step }) => {
      if (++updates === options.stopAfter) abort.abort();
      if (step === options.crashAt) throw new Error("killed");
    },
    signal: abort.signal,
  };
  const result: TrainResult = await train(model, trainOptions);
  return { result, log, weights: values(model), options: { ...options, made } };
}

/** A checksum per parameter: equal only if every bit is. */
function values(model: RecurrentNetwork): Record<string, number> {
  return Object.fromEntries(
    [...model.stateDict()].map(([name, { data }]) => [
      name,
      crc32(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ]),
  );
}

function lossesOf(log: RunLogEntry[]) {
  return log.map((entry) => {
    if (entry.kind === "memory") return [entry.totalBytes];
    if (entry.kind === "engine") return [entry.step, entry.engine];
    if (entry.kind === "step") return [entry.step, entry.loss, entry.gradNorm, entry.learningRate];
    return [entry.epoch, entry.step, entry.loss, entry.validation, entry.best, entry.clippedShare, entry.learningRate];
  });
}

function memoryStore(bytes: Uint8Array | null = null): CheckpointStore & { bytes: Uint8Array | null; saves: number } {
  return {
    bytes,
    saves: 0,
    async load() {
      return this.bytes;
    },
    async save(next) {
      this.bytes = next.slice();
      this.saves++;
    },
  };
}

function caught(run: () => unknown): OstinatoError & { code: ErrorCode } {
  try {
    run();
  } catch (error) {
    if (error instanceof OstinatoError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

async function rejected<E extends Error = OstinatoError>(
  run: Promise<unknown>,
  kind: new (...args: never[]) => E = OstinatoError as never,
): Promise<E> {
  const error = await run.then(
    () => new Error("nothing was refused"),
    (reason) => reason,
  );
  if (!(error instanceof kind)) throw error;
  return error;
}
