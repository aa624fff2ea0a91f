import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { type DataOptions, type LaneOptions, lanes, prepare, tableFromRecords } from "../data/index.js";
import { ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { mse } from "../losses/index.js";
import { forwardBatch, recurrentSpec } from "../model/index.js";
import { RecurrentNetwork, resetRows, type State } from "../nn/index.js";
import { SGD } from "../optim/index.js";
import { inference, integers, parameter, scope, tensor } from "../tensor/index.js";
import { train } from "./train.js";
import { stepsOf, truncated } from "./truncated.js";

const float64 = new ReferenceKernels("float64");
const wasm = WasmKernels.create();

const data: DataOptions = { targetKind: "values", entity: "id", features: ["v"], target: "v", split: { by: "column:part" } };
const lengths = [23, 9, 14];
const records = [...lengths, 3, 3].flatMap((length, s) =>
  Array.from({ length }, (_, t) => ({
    id: `s${s}`,
    v: Math.sin(1.7 * t + s),
    part: s < lengths.length ? "train" : s === lengths.length ? "validation" : "test",
  })),
);
const prepared = prepare(tableFromRecords(records), data);
const spec: ExampleSpec = prepared.preprocessing.spec({ length: 0, horizon: 1, everyStep: true });
const laneOptions = (more: Partial<LaneOptions>): LaneOptions => ({ batchSize: 2, chunk: 4, part: "train", ...more });

function networkOf(engine: typeof wasm | ReferenceKernels = float64, dropout = 0): RecurrentNetwork {
  const size = { cell: "lstm", inputSize: 1, hiddenSize: 6, outputSize: 1 } as const;
  return new RecurrentNetwork(recurrentSpec({ ...size, numLayers: 2, dropout }), { rng: seed(3), engine });
}

function lossOf(prediction: ReturnType<typeof tensor>, { values = new Float32Array(0) }: Batch) {
  const mask = Uint8Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1));
  const target = tensor(
    values.map((value) => (Number.isNaN(value) ? 0 : value)),
    prediction.shape,
    { engine: prediction.engine },
  );
  return mse(prediction, target, { mask });
}

describe("truncated backpropagation", () => {
  it.each([
    [4, 4],
    [4, 6],
    [3, 9],
    [1, 5],
    [5, 23],
  ])("with k1 %i and k2 %i gives at every counted step what a whole pass gives", (k1, k2) => {
    const network = networkOf();
    const whole = lengths.map((length, s) => {
      const x = tensor(prepared.series[s].x.subarray(0, length), [1, length, 1], { engine: float64 });
      return inference(() => network.forward(x).output.toArray());
    });
    let state: State | undefined;
    let counted = 0;
    for (const batch of lanes(prepared, laneOptions({ chunk: k1, lead: k2 - k1 }))) {
      const { batchSize, time, reset } = batch;
      const carried = state && resetRows(state, network.initialState(batchSize), reset!);
      const result = inference(() =>
        truncated(batch, { state: carried, forward: (part, from) => forwardBatch(network, spec, part, { state: from }) }),
      );
      state = result.state;
      expect(result.prediction.shape.slice(0, 2)).toEqual([batchSize, time]);
      const predicted = result.prediction.toArray();
      for (let b = 0; b < batchSize; b++) {
        for (let t = reset![b] ? 0 : k2 - k1; t < batch.lengths[b]; t++) {
          expect(predicted[b * time + t]).toBeCloseTo(whole[batch.series[b]][batch.start[b] + t], 13);
          counted++;
        }
      }
    }
    expect(counted).toBe(lengths.reduce((a, b) => a + b));
  });

  it("reaches from k2 - k1 + 1 to k2 steps and no further, and to the beginning of a stretch in its first batch", () => {
    const [k1, k2] = [3, 8];
    const network = networkOf();
    const reached = new Set<number>();
    let state: State | undefined;
    let first = true;
    for (const batch of lanes(prepared, laneOptions({ batchSize: 1, chunk: k1, lead: k2 - k1 }))) {
      const { time, lengths, reset } = batch;
      if (reset![0] === 1) first = true;
      const carried = state && resetRows(state, network.initialState(1), reset!);
      const targets = Array.from({ length: lengths[0] }, (_, t) => t).filter((t) => first || t >= k2 - k1);
      // A copy of the numbers per target: a recorded graph runs backward once.
      const numbers = carried && Object.entries(carried).map(([name, value]) => [name, value.toArray(), value.shape] as const);
      for (const target of targets) {
        const x = parameter(batch.x, [1, time, 1], { engine: float64 });
        const begin =
          numbers &&
          Object.fromEntries(numbers.map(([name, list, shape]) => [name, parameter(list, shape, { engine: float64 })]));
        let at = 0;
        const { prediction, state: next } = truncated(batch, {
          state: begin,
          forward(part, from) {
            const piece = x.slice(1, at, at + part.time);
            at += part.time;
            const { output: prediction, state } = network.forward(piece, {
              state: from,
              lengths: integers(part.lengths, [1], { engine: float64 }),
            });
            return { prediction, state };
          },
        });
        prediction
          .slice(1, target, target + 1)
          .sum()
          .backward();
        const slopes = [...x.grad!.floats()].map((slope) => slope !== 0);
        // Every step up to the target, none after it, and nothing before the batch: what was carried is where it began.
        expect(slopes).toEqual(Array.from({ length: time }, (_, t) => t <= target));
        if (!first) reached.add(target + 1);
        if (target === targets[targets.length - 1]) {
          state = Object.fromEntries(Object.entries(next).map(([name, value]) => [name, value.detach()]));
        }
      }
      first = false;
    }
    expect([...reached].sort((a, b) => a - b)).toEqual([6, 7, 8]);
  });

  it("carries a state without history: an input before the batch gets no gradient", () => {
    const network = networkOf();
    const weights = network.namedParameters();
    const [batch, next] = [...lanes(prepared, laneOptions({ batchSize: 1, chunk: 2, lead: 3 }))];
    const x = parameter(batch.x, [1, batch.time, 1], { engine: float64 });
    const run = (detached: boolean) => {
      const forward = (part: Batch, state?: State, input?: typeof x) => {
        const { output, state: after } = network.forward(input ?? tensor(part.x, [1, part.time, 1], { engine: float64 }), {
          state,
        });
        return { prediction: output, state: after };
      };
      let at = 0;
      const { state } = truncated(batch, {
        forward(part, from) {
          const piece = x.slice(1, at, at + part.time);
          at += part.time;
          return forward(part, from, piece as typeof x);
        },
      });
      const carried = detached ? Object.fromEntries(Object.entries(state).map(([name, value]) => [name, value.detach()])) : state;
      for (const one of [x, ...weights.values()]) one.grad?.floats().fill(0);
      truncated(next, { state: carried, forward }).prediction.sum().backward();
      return [...(x.grad?.floats() ?? [])].filter((slope) => slope !== 0).length;
    };
    expect(run(false)).toBe(2);
    expect(run(true)).toBe(0);
  });

  it.each([
    ["float64 reference", float64],
    ["wasm", wasm],
  ] as const)("with k1 = k2 trains as without, bit for bit, with dropout too: %s", async (_, engine) => {
    const run = async (lead: number | undefined, cut: boolean) => {
      const network = networkOf(engine, 0.3);
      await train<Batch>(network, {
        optimizer: new SGD(network.parameters(), { learningRate: 0.05 }),
        data: (_, rng) => lanes(prepared, laneOptions({ lead, rng })),
        objective: (batch, { rng, state }) => {
          const carried = state && resetRows(state, network.initialState(batch.batchSize), batch.reset!);
          const forward = (part: Batch, from?: State) => forwardBatch(network, spec, part, { rng, state: from });
          const { prediction, state: next } = cut ? truncated(batch, { state: carried, forward }) : forward(batch, carried);
          return { loss: lossOf(prediction, batch), state: next };
        },
        epochs: 2,
      });
      return [...network.stateDict()].map(([name, { data }]) => [name, [...data]]);
    };
    const plain = await run(undefined, false);
    expect(await run(0, true)).toEqual(plain);
    expect(await run(2, true)).not.toEqual(plain);
  });

  it("has the gradient of the loss by the weights, as central differences give it", () => {
    const network = networkOf();
    const batch = [...lanes(prepared, laneOptions({ chunk: 3, lead: 4 }))][1];
    const loss = () =>
      lossOf(truncated(batch, { forward: (part, state) => forwardBatch(network, spec, part, { state }) }).prediction, batch);
    scope(() => loss().backward());
    for (const [name, one] of network.namedParameters()) {
      const k = Math.floor(one.size / 2);
      const [value, slope] = [one.floats()[k], one.grad!.floats()[k]];
      const at = (shift: number) => {
        const values = one.floats().slice();
        values[k] = value + shift;
        one.assign(values);
        return inference(() => loss().item());
      };
      const difference = (at(1e-5) - at(-1e-5)) / 2e-5;
      at(0);
      expect(Math.abs(difference - slope), name).toBeLessThan(1e-9);
    }
  });

  it("cuts targets and starts with the steps", () => {
    const batch: Batch & { lead?: number } = [...lanes(prepared, laneOptions({ chunk: 2, lead: 3 }))][1];
    const [head, tail] = [stepsOf(batch, 0, 2), stepsOf(batch, 2, 5)];
    expect([head.time, tail.time, head.lead, tail.lead]).toEqual([2, 3, undefined, undefined]);
    for (let b = 0; b < batch.batchSize; b++) {
      const row = <A extends { slice(from: number, to: number): Iterable<number> }>(list: A, time: number) => [
        ...list.slice(b * time, (b + 1) * time),
      ];
      expect([...row(head.x, 2), ...row(tail.x, 3)]).toEqual(row(batch.x, 5));
      expect([...row(head.values!, 2), ...row(tail.values!, 3)]).toEqual(row(batch.values!, 5));
      expect(head.lengths[b] + tail.lengths[b]).toBe(batch.lengths[b]);
      expect(tail.start[b]).toBe(batch.start[b] + 2);
    }
    expect([...tail.reset!]).toEqual([0, 0]);
  });
});
