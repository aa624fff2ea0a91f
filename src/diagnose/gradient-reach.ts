/**
 * @file How far back the gradient of a target goes: how far it could, by how sequences are cut for training, and how far it does in a network.
 *
 * Truncation sets a border; vanishing gradients set another (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013). What lies
 * beyond either cannot be learned from.
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { SequenceModel, State } from "../nn/index.js";
import {
  apply,
  backward,
  integers,
  parameter,
  type RawBuffer,
  scope,
  type Tensor,
  tensor,
  type Variable,
} from "../tensor/index.js";
import { selectRows } from "../tensor/ops/reshape.js";

/** Steps that the gradient of a target runs through, the target's own included. */
export interface GradientReach {
  least: number;
  /** Over the targets of a stretch, without those near its beginning. */
  mean: number;
  most: number;
  /** One line for a report. */
  text: string;
}

export type TruncationOptions =
  /** Lanes: an update every k1 steps, through the last k2 >= k1; default k1. */
  | { k1: number; k2?: number }
  /** Windows, or whole sequences of that length: a target at the last step, or with `everyStep` one at each. */
  | { window: number; everyStep?: boolean };

/** How far gradients could reach. @throws OST_RANGE unless the lengths are whole numbers >= 1 and k2 >= k1. */
export function gradientReach(options: TruncationOptions): GradientReach {
  if ("window" in options) {
    const { window, everyStep = false } = options;
    wantSteps("window", window, 1);
    const least = everyStep ? 1 : window;
    return reachOf(
      least,
      window,
      everyStep ? `every step of ${window} is a target` : `the last of ${window} steps is the target`,
    );
  }
  const { k1, k2 = k1 } = options;
  wantSteps("k1", k1, 1);
  wantSteps("k2", k2, k1);
  return reachOf(k2 - k1 + 1, k2, `an update every ${k1}, through the last ${k2}`);
}

function reachOf(least: number, most: number, how: string): GradientReach {
  const mean = (least + most) / 2;
  const steps = least === most ? counted(most) : `${least} to ${counted(most)} (${mean} on average)`;
  return { least, mean, most, text: `gradients reach back through ${steps}: ${how}` };
}

function counted(steps: number): string {
  return `${steps} step${steps === 1 ? "" : "s"}`;
}

function wantSteps(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new OstinatoError("OST_RANGE", {
    what: `${name} is no number of steps`,
    expected: `a whole number >= ${least}`,
    got: String(value),
    where: "train.truncation",
  });
}

/** A batch is one. */
export interface ReachMeasurement {
  /** Inputs, [B, T, F] row-major, and their sizes. */
  x: ArrayLike<number>;
  batchSize: number;
  time: number;
  features: number;
  /** [B] Steps of each row; default all `time`. Rows without steps are left out. */
  lengths?: ArrayLike<number>;
  /**
   * By what the gradient is taken: the carried state `lag` steps before the target's step (default; works for codes too), or the inputs.
   */
  by?: "state" | "input";
  /** What is differentiated: a scalar, the sum of one term for each row. Default the sum of the outputs at each row's last step. */
  loss?: (last: Tensor) => Tensor;
  /** Turns dropout on. */
  rng?: Rng;
}

export interface GradientProfile {
  /** norms[lag]: |dL_t / dh_(t-lag)| or |dL_t / dx_(t-lag)| of a row, the mean over the rows that are long enough. Of states norms[0] is NaN. */
  norms: Float64Array;
  /** Rows behind each. */
  rows: Int32Array;
  /** Where it is largest. */
  peakLag: number;
  /** The lag from which on it stays below 1 % of its largest; null if it does not within the sequences, or is 0 everywhere. */
  vanishedLag: number | null;
  /** One line for a report. */
  text: string;
}

/** Below this share of its largest a gradient counts as vanished. */
const VANISHED = 0.01;

/**
 * Measures with one backward pass how the gradient of a row's last target shrinks or grows with the distance. The network's parameters keep
 * the gradients they had.
 *
 * @throws OST_CAUSAL for a network of two directions, whose state is at no step. @throws OST_LENGTH where no row has a step.
 */
export function measureGradientReach(network: SequenceModel, options: ReachMeasurement): GradientProfile {
  const { batchSize, time, by = "state" } = options;
  const lengths = Int32Array.from(options.lengths ?? new Int32Array(batchSize).fill(time));
  if (!network.causal) {
    throw new OstinatoError("OST_CAUSAL", {
      what: "the reach of a gradient is measured backward in time",
      got: "a network of two directions",
      where: "measureGradientReach",
    });
  }
  const outside = lengths.findIndex((length) => !(length >= 0 && length <= time));
  if (outside >= 0 || lengths.length !== batchSize || !lengths.some((length) => length > 0)) {
    throw new OstinatoError("OST_LENGTH", {
      what: "the reach of a gradient is measured from the last steps of rows",
      expected: `${batchSize} lengths of 0 .. ${time}, not all 0`,
      got: outside >= 0 ? `${lengths[outside]} in row ${outside}` : `${lengths.length} of ${Math.max(0, ...lengths)} at most`,
      where: "measureGradientReach",
    });
  }
  const kept = network.parameters().map((one) => ({ one, grad: one.grad?.floats().slice() }));
  try {
    const squares = scope(() => (by === "input" ? byInput : byState)(network, { ...options, lengths }));
    return profileOf(squares, lengths, by);
  } finally {
    for (const { one, grad } of kept) {
      if (grad) one.grad?.floats().set(grad);
      else one.grad = null;
    }
  }
}

type Checked = ReachMeasurement & { lengths: Int32Array };

/** Squared norms of the gradient, [B] for each place: of inputs place t is step t, of states place t is the state before step t. */
type Squares = Float64Array[];

/** The carried states between steps, each a tensor of its own: the network is run one step at a time. */
function byState(network: SequenceModel, { x, batchSize, time, features, lengths, loss, rng }: Checked): Squares {
  const { engine } = network;
  // The first state is made of leaves, so that it gets a gradient too.
  const begin = Object.entries(network.initialState(batchSize)).map(
    ([name, value]) => [name, parameter(value.toArray(), value.shape, { engine })] as const,
  );
  let state: State = Object.fromEntries(begin);
  let last: Tensor | undefined;
  /** The step that each state is the one before. */
  const places = new Map<Variable, number>();
  for (let t = 0; t < time; t++) {
    for (const value of Object.values(state)) places.set(value, t);
    const step = new Float64Array(batchSize * features);
    for (let b = 0; b < batchSize; b++)
      for (let f = 0; f < features; f++) step[b * features + f] = x[(b * time + t) * features + f];
    const active = Uint8Array.from(lengths, (length) => (t < length ? 1 : 0));
    const result = network.forward(tensor(step, [batchSize, 1, features], { engine }), {
      state,
      rng,
      lengths: integers(active, [batchSize], { engine }),
    });
    last = last ? apply(selectRows, [result.last, last], { mask: active }) : result.last;
    state = result.state;
  }
  const found = new Map<Variable, Float64Array>();
  backward(lossOf(last as Tensor, loss), {
    onGradients(node, dInputs) {
      // An earlier node may add to the same gradient; what is found last is whole.
      node.inputs.forEach((input, i) => {
        const gradient = dInputs[i];
        if (gradient && places.has(input)) found.set(input, rowSquares(gradient, batchSize));
      });
    },
  });
  const squares: Squares = Array.from({ length: time }, () => new Float64Array(batchSize));
  for (const [value, rows] of found) {
    const place = squares[places.get(value) as number];
    for (let b = 0; b < batchSize; b++) place[b] += rows[b];
  }
  return squares;
}

function byInput(network: SequenceModel, { x, batchSize, time, features, lengths, loss, rng }: Checked): Squares {
  const { engine } = network;
  const input = parameter(x, [batchSize, time, features], { engine });
  const { last } = network.forward(input, { rng, lengths: integers(lengths, [batchSize], { engine }) });
  backward(lossOf(last, loss));
  const squares: Squares = Array.from({ length: time }, () => new Float64Array(batchSize));
  input.grad?.floats().forEach((slope, i) => {
    const row = Math.floor(i / features);
    squares[row % time][Math.floor(row / time)] += slope * slope;
  });
  return squares;
}

function lossOf(last: Tensor, loss?: (last: Tensor) => Tensor): Tensor {
  return loss ? loss(last) : last.sum();
}

/** [B] of a gradient [B, width]. */
function rowSquares(gradient: RawBuffer, batchSize: number): Float64Array {
  const values = gradient.floats();
  const width = values.length / batchSize;
  const squares = new Float64Array(batchSize);
  for (let i = 0; i < values.length; i++) squares[Math.floor(i / width)] += values[i] * values[i];
  return squares;
}

function profileOf(squares: Squares, lengths: Int32Array, by: "state" | "input"): GradientProfile {
  const first = by === "state" ? 1 : 0;
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  const norms = new Float64Array(longest + first);
  const rows = new Int32Array(longest + first);
  lengths.forEach((length, b) => {
    for (let lag = first; lag < length + first; lag++) {
      norms[lag] += Math.sqrt(squares[length - 1 - lag + first][b]);
      rows[lag]++;
    }
  });
  let peakLag = first;
  for (let lag = 0; lag < norms.length; lag++) {
    norms[lag] = rows[lag] > 0 ? norms[lag] / rows[lag] : Number.NaN;
    if (norms[lag] > norms[peakLag]) peakLag = lag;
  }
  const largest = norms[peakLag];
  let vanishedLag: number | null = norms.length;
  while (vanishedLag > peakLag && norms[vanishedLag - 1] < VANISHED * largest) vanishedLag--;
  if (vanishedLag === norms.length || !(largest > 0)) vanishedLag = null;
  const what = by === "state" ? "state" : "input";
  const peak = `the gradient by the ${what} is largest ${counted(peakLag)} back`;
  const rest = `${((100 * norms[norms.length - 1]) / largest).toPrecision(2)} % of it`;
  const text = !(largest > 0)
    ? `no gradient reaches the ${what}`
    : vanishedLag === null
      ? `${peak}, and ${rest} is left ${counted(norms.length - 1)} back`
      : `${peak}, and less than 1 % of it is left from ${counted(vanishedLag)} back on`;
  return { norms, rows, peakLag, vanishedLag, text };
}
