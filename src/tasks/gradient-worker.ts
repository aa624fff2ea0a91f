/** @file The thread that computes gradients: builds its replica once, then answers one batch after another. */
import { parentPort, workerData } from "node:worker_threads";
import { OstinatoError } from "../core/errors.js";
import { Rng } from "../core/rng.js";
import { carryError } from "../data/prefetch.js";
import type { FloatArray } from "../kernels/index.js";
import type { Optimizer } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import { scope } from "../tensor/index.js";
import { plainState, tensorState } from "../train/data-parallel.js";
import { trainStep } from "../train/index.js";
import {
  type BuildReplica,
  engineLike,
  type GradientReply,
  type GradientRequest,
  type GradientWorkerData,
  type Replica,
} from "./gradient-share.js";

const { module, description, engine, parameters: wanted, weights, gradient } = workerData as GradientWorkerData;

function send(reply: GradientReply): void {
  parentPort?.postMessage(reply);
}

function viewOf(memory: SharedArrayBuffer): FloatArray {
  return engine.floatType === "float64" ? new Float64Array(memory) : new Float32Array(memory);
}

async function build(): Promise<Replica> {
  const { buildReplica } = (await import(module)) as { buildReplica?: BuildReplica };
  if (!buildReplica) {
    throw new OstinatoError("OST_INTERNAL", { what: "the module of the replica has no buildReplica", where: "gradient worker" });
  }
  const replica = await buildReplica(description, { engine: engineLike(engine) });
  const own = [...replica.network.namedParameters()].map(([name, { size }]) => `${name} [${size}]`);
  const expected = wanted.map(([name, size]) => `${name} [${size}]`);
  const differs = expected.findIndex((one, i) => one !== own[i]);
  if (differs >= 0 || own.length !== expected.length) {
    const at = differs >= 0 ? differs : expected.length;
    throw new OstinatoError("OST_SHAPE", {
      what: "the replica of a worker is another network than the one that trains",
      expected: expected[at] ?? "no more parameters",
      got: own[at] ?? "none",
      where: "gradient worker",
    });
  }
  return replica;
}

/** In place of an update, leaves the gradient where the main thread reads it. */
class GradientWriter implements Optimizer {
  learningRate = 0;
  readonly #values = viewOf(gradient);

  constructor(readonly parameters: readonly Parameter[]) {}

  step(): void {
    let at = 0;
    for (const { grad, size } of this.parameters) {
      if (grad) this.#values.set(grad.floats(), at);
      else this.#values.fill(0, at, at + size);
      at += size;
    }
  }

  zeroGrad(): void {
    for (const { grad } of this.parameters) grad?.floats().fill(0);
  }

  stateDict(): never {
    throw new OstinatoError("OST_INTERNAL", { what: "a worker keeps no optimizer", where: "gradient worker" });
  }

  loadStateDict(): never {
    this.stateDict();
  }
}

function answer({ network, objective }: Replica): (request: GradientRequest) => GradientReply {
  const parameters = network.parameters();
  const optimizer = new GradientWriter(parameters);
  const shared = viewOf(weights);
  let revision = -1;
  return ({ revision: latest, batch, state, rng, step }) => {
    if (latest !== revision) {
      let at = 0;
      for (const parameter of parameters) {
        parameter.assign(shared.subarray(at, at + parameter.size));
        at += parameter.size;
      }
      revision = latest;
    }
    return scope(() => {
      let weight = 0;
      const carried = state && tensorState(state, network);
      const done = trainStep({
        optimizer,
        rng: new Rng(rng),
        clipNorm: Number.POSITIVE_INFINITY,
        objective: (own) => {
          const result = objective(batch, { rng: own, state: carried, step });
          ({ weight = 1 } = result);
          return result;
        },
      });
      return { kind: "share", loss: done.loss, weight, state: done.state && plainState(done.state) };
    });
  };
}

try {
  const reply = answer(await build());
  parentPort?.on("message", (request: GradientRequest) => {
    try {
      send(reply(request));
    } catch (error) {
      send({ kind: "error", error: carryError(error) });
    }
  });
  send({ kind: "ready" });
} catch (error) {
  send({ kind: "error", error: carryError(error) });
}
