/**
 * @file The conformance suite of `SequenceModel`: the laws that trainer, evaluator and server rely on.
 *
 * - Gradients by parameters, input and initial state equal finite differences (float64).
 * - A whole sequence equals its steps and its chunks, bit for bit, when the state is carried (causal models).
 * - A row's result depends on no other row, on no batch size and on no position, bit for bit.
 * - Padding is never seen: more of it, or NaN in it, changes no output, state or gradient. A row of length 0 returns its initial state.
 * - Interleaved sessions equal isolated ones; a call changes neither the model nor its arguments; the same seed gives the same bits.
 */
import { type Rng, seed } from "../core/rng.js";
import { defaultEngine, type FloatArray, type Kernels, ReferenceKernels } from "../kernels/index.js";
import { Recurrent, RecurrentLayer, type SequenceModel, type State } from "../nn/index.js";
import { integers, type Parameter, parameter, scope, type Tensor, tensor } from "../tensor/index.js";
import {
  type CheckGradientOptions,
  type CheckGradientReport,
  checkGradient,
  gradientsOf,
  sameBits,
  weightedSum,
} from "./check-gradient.js";

export type CreateModel = (rng: Rng, engine: Kernels) => SequenceModel;

export interface CheckModelOptions {
  /** Width of one step of input. */
  inputSize: number;
  /** Where the laws other than the gradients are checked; default the process's engine. */
  engine?: Kernels;
  seed?: number;
  /** Batches compared with their rows alone; default a few odd sizes up to 33. */
  batchSizes?: readonly number[];
  /** False for models that pass no gradient to their input and initial state; default true. */
  inputGradient?: boolean;
}

/** Runs every law. @throws Error naming the first that does not hold. */
export function checkModel(create: CreateModel, options: CheckModelOptions): void {
  checkModelGradient(create, options);
  checkModelLaws(create, options);
}

/** Gradients by all parameters, the input and the initial state, with ragged lengths (zero included), in float64. */
export function checkModelGradient(
  create: CreateModel,
  { inputSize, seed: seedValue = 1, inputGradient = true }: CheckModelOptions,
  options: CheckGradientOptions = {},
): CheckGradientReport {
  const engine = new ReferenceKernels("float64");
  const rng = seed(seedValue);
  const model = create(rng, engine);
  const [batch, time] = [3, 4];
  const x = parameter(uniform(rng, batch * time * inputSize), [batch, time, inputSize], { engine });
  const state = Object.fromEntries(
    Object.entries(model.stateSpec).map(([name, width]) => [
      name,
      parameter(uniform(rng, batch * width), [batch, width], { engine }),
    ]),
  );
  const parameters = new Map<string, Parameter>(model.namedParameters());
  if (inputGradient) {
    parameters.set("input", x);
    for (const [name, value] of Object.entries(state)) parameters.set(`initial ${name}`, value);
  }
  const lengths = [time, 0, 2];
  let weights: Float64Array[] | undefined;
  const loss = () => {
    const result = model.forward(x, { state, lengths: integers(lengths, [batch], { engine }) });
    const parts = [result.output, result.last, ...Object.values(result.state)];
    weights ??= parts.map(({ size }) => uniform(rng, size));
    return weightedSum(parts, weights, engine);
  };
  return checkGradient(loss, parameters, options);
}

/** Every law but the gradients, on one engine. */
export function checkModelLaws(create: CreateModel, options: CheckModelOptions): void {
  const suite = new Suite(create, options);
  suite.shapes();
  suite.purity();
  suite.seeds();
  if (suite.model.causal) {
    suite.streaming();
    suite.interleaving();
  }
  suite.rows(options.batchSizes ?? [1, 2, 3, 5, 8, 17, 33]);
  suite.padding();
}

interface Batch {
  /** [batch, time, inputSize] */
  x: Float64Array;
  batch: number;
  time: number;
  lengths: number[];
  /** By name, [batch, width]. */
  state: Record<string, ArrayLike<number>>;
}

interface Result {
  output: FloatArray;
  last: FloatArray;
  state: Record<string, FloatArray>;
  /** Of one output step. */
  width: number;
}

class Suite {
  readonly model: SequenceModel;
  readonly #create: () => SequenceModel;
  readonly #engine: Kernels;
  readonly #inputSize: number;
  readonly #inputGradient: boolean;
  readonly #rng: Rng;

  constructor(
    create: CreateModel,
    { inputSize, engine = defaultEngine(), seed: seedValue = 1, inputGradient = true }: CheckModelOptions,
  ) {
    this.#engine = engine;
    this.#inputSize = inputSize;
    this.#inputGradient = inputGradient;
    this.#create = () => create(seed(seedValue), engine);
    this.model = this.#create();
    this.#rng = seed(seedValue + 1);
  }

  shapes(): void {
    const batch = this.#random(3, 4);
    scope(() => {
      const { output, last, state } = this.#forward(this.model, batch);
      const [rows, time, width] = output.shape;
      this.#that(rows === 3 && time === 4 && output.shape.length === 3, "output is [batch, time, width]", String(output.shape));
      this.#that(last.shape[0] === 3 && last.shape[1] === width, "last is [batch, width of output]", String(last.shape));
      for (const [name, size] of Object.entries(this.model.stateSpec)) {
        const shape = state[name]?.shape ?? [];
        this.#that(
          shape[0] === 3 && shape[1] === size && shape.length === 2,
          `state "${name}" has the shape its spec says`,
          String(shape),
        );
      }
      this.#that(
        Object.keys(state).length === Object.keys(this.model.stateSpec).length,
        "the state holds what its spec names",
        Object.keys(state).join(),
      );
    });
  }

  purity(): void {
    const batch = this.#random(2, 3);
    const before = this.model.stateDict();
    scope(() => {
      const x = tensor(batch.x, [2, 3, this.#inputSize], { engine: this.#engine });
      const state = this.#state(batch);
      const first = plain(this.model.forward(x, { state }));
      const second = plain(this.model.forward(x, { state }));
      this.#same(first, second, "a second call gives the same bits");
      this.#that(
        sameBits(x.toArray(), tensor(batch.x, x.shape, { engine: this.#engine }).toArray()),
        "a call leaves its input as it was",
      );
      for (const [name, value] of Object.entries(this.#state(batch))) {
        this.#that(sameBits(state[name].toArray(), value.toArray()), "a call leaves the given state as it was", name);
      }
    });
    for (const [name, { data }] of this.model.stateDict()) {
      this.#that(sameBits(data, before.get(name)?.data ?? []), "a call leaves the parameters as they were", name);
    }
  }

  seeds(): void {
    const other = this.#create();
    const batch = this.#random(3, 5, [5, 0, 2]);
    const draw = (model: SequenceModel) => scope(() => plain(this.#forward(model, batch, { rng: seed(5) })));
    this.#same(draw(this.model), draw(other), "the same seed gives the same bits");
    const [a, b] = [this.#gradients(this.model, batch), this.#gradients(other, batch)];
    for (const [name, gradient] of a)
      this.#that(sameBits(gradient, b.get(name) as FloatArray), "the same seed gives the same gradients", name);
  }

  streaming(): void {
    const batch = this.#random(3, 7, [7, 0, 4]);
    const whole = this.#run(batch);
    for (const cuts of [
      [1, 2, 3, 4, 5, 6, 7],
      [1, 4, 7],
      [0, 3, 3, 7],
      [7, 7],
    ]) {
      let from = 0;
      let state = batch.state;
      for (const to of cuts) {
        const part = this.#cut({ ...batch, state }, from, to);
        const result = this.#run(part);
        for (let b = 0; b < batch.batch; b++) {
          for (let t = 0; t < part.lengths[b]; t++) {
            const [got, expected] = [row(result, b * part.time + t), row(whole, b * batch.time + from + t)];
            this.#that(
              sameBits(got, expected),
              "a sequence equals its chunks",
              `chunks ending at ${cuts}, row ${b}, step ${from + t}`,
            );
          }
        }
        state = result.state;
        from = to;
      }
      for (const name of Object.keys(whole.state)) {
        this.#that(
          sameBits(state[name], whole.state[name]),
          "a sequence ends in the state of its chunks",
          `chunks ending at ${cuts}, "${name}"`,
        );
      }
    }
  }

  interleaving(): void {
    const sessions = [this.#random(1, 5), this.#random(1, 5), this.#random(1, 5)];
    const alone = sessions.map((session) => this.#run(session));
    const states = sessions.map(({ state }) => state);
    for (let t = 0; t < 5; t++) {
      sessions.forEach((session, i) => {
        const result = this.#run(this.#cut({ ...session, state: states[i] }, t, t + 1));
        this.#that(
          sameBits(result.output, row(alone[i], t)),
          "interleaved sessions equal isolated ones",
          `session ${i}, step ${t}`,
        );
        states[i] = result.state;
      });
    }
  }

  rows(batchSizes: readonly number[]): void {
    for (const size of batchSizes) {
      const lengths = Array.from({ length: size }, (_, b) => (b * 3 + 5) % 6);
      const batch = this.#random(size, 5, lengths);
      const whole = this.#run(batch);
      for (const b of new Set([0, Math.floor(size / 2), size - 1])) {
        const alone = this.#run(this.#row(batch, b));
        for (let t = 0; t < lengths[b]; t++) {
          this.#that(
            sameBits(row(whole, b * 5 + t), row(alone, t)),
            "a batch equals its rows alone",
            `batch ${size}, row ${b}, step ${t}`,
          );
        }
        this.#that(
          sameBits(part(whole.last, b, size), alone.last),
          "a batch's last equals that of its rows alone",
          `batch ${size}, row ${b}`,
        );
        for (const [name, values] of Object.entries(whole.state)) {
          this.#that(
            sameBits(part(values, b, size), alone.state[name]),
            "a batch's state equals that of its rows alone",
            `batch ${size}, row ${b}`,
          );
        }
      }
    }
  }

  padding(): void {
    const batch = this.#random(4, 5, [5, 0, 3, 1]);
    const expected = this.#run(batch);
    const gradients = this.#gradients(this.model, batch);
    const zero = expected.width && (this.model instanceof RecurrentLayer || this.model instanceof Recurrent);
    for (const [extra, filler] of [
      [0, 0],
      [0, Number.NaN],
      [0, Number.POSITIVE_INFINITY],
      [3, 0],
      [3, Number.NaN],
    ]) {
      const padded = this.#pad(batch, extra, filler);
      const where = `${extra} more steps, padded with ${filler}`;
      const result = this.#run(padded);
      for (let b = 0; b < batch.batch; b++) {
        for (let t = 0; t < padded.time; t++) {
          const got = row(result, b * padded.time + t);
          if (t < batch.lengths[b])
            this.#that(sameBits(got, row(expected, b * batch.time + t)), "padding changes no output", where);
          else if (zero)
            this.#that(
              got.every((value) => value === 0),
              "output at padding is zero",
              where,
            );
        }
      }
      this.#that(sameBits(result.last, expected.last), "padding does not change last", where);
      for (const [name, values] of Object.entries(result.state)) {
        this.#that(sameBits(values, expected.state[name]), "padding changes no state", where);
        const fresh = scope(() => this.#state(batch)[name].toArray());
        this.#that(
          sameBits(part(values, 1, 4), part(fresh as FloatArray, 1, 4)),
          "a row of length zero returns its initial state",
          name,
        );
      }
      for (const [name, gradient] of this.#gradients(this.model, padded)) {
        const without = gradients.get(name) as FloatArray;
        const scale = Math.max(1e-3, ...Array.from(without, Math.abs));
        const equal =
          name === "input"
            ? this.#sameInputGradient(batch, padded, without, gradient)
            : gradient.every((value, i) => Math.abs(value - without[i]) <= 1e-5 * scale);
        this.#that(equal, "padding changes no gradient", `${where}, ${name}`);
      }
    }
  }

  /** Valid steps equal to within rounding; exactly zero at padding. */
  #sameInputGradient(a: Batch, b: Batch, gradientA: FloatArray, gradientB: FloatArray): boolean {
    const width = this.#inputSize;
    for (let r = 0; r < a.batch; r++) {
      for (let t = 0; t < b.time; t++) {
        for (let i = 0; i < width; i++) {
          const value = gradientB[(r * b.time + t) * width + i];
          const expected = t < a.lengths[r] ? gradientA[(r * a.time + t) * width + i] : 0;
          if (!(Math.abs(value - expected) <= (t < a.lengths[r] ? 1e-5 : 0))) return false;
        }
      }
    }
    return true;
  }

  #random(batch: number, time: number, lengths: number[] = new Array(batch).fill(time)): Batch {
    const state = Object.fromEntries(
      Object.entries(this.model.stateSpec).map(([name, width]) => [name, uniform(this.#rng, batch * width)]),
    );
    return { x: uniform(this.#rng, batch * time * this.#inputSize), batch, time, lengths, state };
  }

  #state({ batch, state }: Batch): State {
    const { stateSpec } = this.model;
    return Object.fromEntries(
      Object.entries(state).map(([name, values]) => [name, tensor(values, [batch, stateSpec[name]], { engine: this.#engine })]),
    );
  }

  #forward(model: SequenceModel, batch: Batch, { rng }: { rng?: Rng } = {}) {
    const engine = this.#engine;
    const x = tensor(batch.x, [batch.batch, batch.time, this.#inputSize], { engine });
    return model.forward(x, { state: this.#state(batch), lengths: integers(batch.lengths, [batch.batch], { engine }), rng });
  }

  #run(batch: Batch): Result {
    return scope(() => plain(this.#forward(this.model, batch)));
  }

  /** By every parameter, the input and the initial state, of a loss over valid steps whose weights do not depend on the padding. */
  #gradients(model: SequenceModel, batch: Batch): Map<string, FloatArray> {
    const engine = this.#engine;
    const parameters = new Map(model.namedParameters());
    const x = parameter(batch.x, [batch.batch, batch.time, this.#inputSize], { engine });
    const state: Record<string, Parameter> = {};
    for (const [name, values] of Object.entries(batch.state)) {
      state[name] = parameter(values, [batch.batch, model.stateSpec[name]], { engine });
      if (this.#inputGradient) parameters.set(`initial ${name}`, state[name]);
    }
    if (this.#inputGradient) parameters.set("input", x);
    const loss = () => {
      const result = model.forward(x, { state, lengths: integers(batch.lengths, [batch.batch], { engine }) });
      const weight = (value: Tensor) => Float64Array.from({ length: value.size }, (_, i) => Math.cos(i + 1));
      const width = result.output.shape[2];
      const valid = new Float64Array(result.output.size);
      batch.lengths.forEach((length, b) => {
        for (let t = 0; t < length; t++)
          for (let k = 0; k < width; k++) valid[(b * batch.time + t) * width + k] = Math.sin(b * 100 + t * 10 + k + 1);
      });
      const rest = [result.last, ...Object.values(result.state)];
      return weightedSum([result.output, ...rest], [valid, ...rest.map(weight)], engine);
    };
    return gradientsOf(loss, parameters);
  }

  /** Steps from .. to-1 of every row. */
  #cut(batch: Batch, from: number, to: number): Batch {
    const width = this.#inputSize;
    const time = to - from;
    const x = new Float64Array(batch.batch * time * width);
    for (let b = 0; b < batch.batch; b++) {
      x.set(batch.x.subarray((b * batch.time + from) * width, (b * batch.time + to) * width), b * time * width);
    }
    return { ...batch, x, time, lengths: batch.lengths.map((length) => Math.max(0, Math.min(time, length - from))) };
  }

  #row(batch: Batch, b: number): Batch {
    const size = batch.time * this.#inputSize;
    const state = Object.fromEntries(
      Object.entries(batch.state).map(([name, values]) => [name, part(Array.from(values), b, batch.batch)]),
    );
    return { x: batch.x.slice(b * size, (b + 1) * size), batch: 1, time: batch.time, lengths: [batch.lengths[b]], state };
  }

  #pad(batch: Batch, extra: number, filler: number): Batch {
    const width = this.#inputSize;
    const time = batch.time + extra;
    const x = new Float64Array(batch.batch * time * width).fill(filler);
    batch.lengths.forEach((length, b) => {
      x.set(batch.x.subarray(b * batch.time * width, (b * batch.time + length) * width), b * time * width);
    });
    return { ...batch, x, time };
  }

  #same(a: Result, b: Result, law: string): void {
    this.#that(sameBits(a.output, b.output), law, "output");
    this.#that(sameBits(a.last, b.last), law, "last");
    for (const [name, values] of Object.entries(a.state)) this.#that(sameBits(values, b.state[name]), law, `state "${name}"`);
  }

  #that(holds: boolean, law: string, where = ""): void {
    if (!holds) throw new Error(`${law}: does not hold on the ${this.#engine.name} engine${where && ` (${where})`}`);
  }
}

function plain({ output, last, state }: { output: Tensor; last: Tensor; state: State }): Result {
  return {
    output: output.floats().slice(),
    last: last.floats().slice(),
    state: Object.fromEntries(Object.entries(state).map(([name, value]) => [name, value.floats().slice()])),
    width: output.shape[2],
  };
}

function row({ output, width }: Result, index: number): FloatArray {
  return output.subarray(index * width, (index + 1) * width);
}

/** Row b of values [rows, ...]. */
function part<T extends { length: number; slice(start: number, end: number): T }>(values: T, b: number, rows: number): T {
  const width = values.length / rows;
  return values.slice(b * width, (b + 1) * width);
}

function uniform(rng: Rng, count: number): Float64Array {
  return Float64Array.from({ length: count }, () => rng.uniform(-1, 1));
}
