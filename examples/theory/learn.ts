/** @file One recurrent network on sequences that are drawn as they are needed, with the curve of its error on fresh ones. */
import { type Rng, seed } from "ostinato/core";
import { recurrentSpec } from "ostinato/model";
import { type ForwardResult, type RecurrentCellName, RecurrentNetwork } from "ostinato/nn";
import { Adam, warmupCosine } from "ostinato/optim";
import { inference, type Parameter, type Tensor } from "ostinato/tensor";
import { trainStep } from "ostinato/train";

export interface Lesson<B> {
  cell: RecurrentCellName;
  inputSize: number;
  hiddenSize: number;
  /** Of a sequence. */
  steps: number;
  outputSize: number;
  /** Most updates. */
  updates: number;
  /** Of the curve at which training is over. */
  goal: number;
  /** At first; it falls to 0 over all updates as half a cosine. */
  learningRate: number;
  seed: number;
  /** The n-th training batch; n < 0 are those that the curve is measured on. */
  draw: (n: number) => B;
  input: (batch: B) => Tensor;
  loss: (result: ForwardResult, batch: B) => Tensor;
}

export interface Learnt {
  network: RecurrentNetwork;
  parameters: number;
  updates: number;
  seconds: number;
  /** [updates, loss on fresh sequences] */
  curve: [number, number][];
}

const EVERY = 100;
const FRESH = 8;

/** Trains until the loss on fresh sequences is at the goal, and returns the weights that did best on them. */
export function learn<B>({ draw, input, loss, goal, learningRate, updates, ...rest }: Lesson<B>): Learnt {
  const rng = seed(rest.seed);
  const { cell, inputSize, hiddenSize, outputSize } = rest;
  const spec = recurrentSpec({ cell, inputSize, hiddenSize, outputSize, init: "orthogonal" });
  const network = new RecurrentNetwork(spec, { rng });
  holdFor(rest.steps, network, { cell, hiddenSize, rng });
  const optimizer = new Adam(network.parameters(), { learningRate });
  const schedule = warmupCosine({ totalSteps: updates });
  const measure = () => {
    let total = 0;
    for (let n = 1; n <= FRESH; n++) {
      const batch = draw(-n);
      total += inference(() => loss(network.forward(input(batch)), batch).item());
    }
    return total / FRESH;
  };
  const curve: [number, number][] = [[0, measure()]];
  let best = { loss: Number.POSITIVE_INFINITY, weights: network.stateDict() };
  const startedAt = performance.now();
  let step = 0;
  while (step < updates && best.loss > goal) {
    optimizer.learningRate = learningRate * schedule.factor(step);
    const batch = draw(step++);
    trainStep({ optimizer, rng, clipNorm: 1, objective: () => ({ loss: loss(network.forward(input(batch)), batch) }) });
    if (step % EVERY !== 0) continue;
    const now = measure();
    curve.push([step, now]);
    if (now < best.loss) best = { loss: now, weights: network.stateDict() };
    console.error(`${cell} ${step} updates: ${now.toPrecision(3)}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  network.loadStateDict(best.weights);
  const parameters = network.parameters().reduce((sum, { size }) => sum + size, 0);
  return { network, parameters, updates: step, seconds, curve };
}

/**
 * Lets the units of a gated cell begin with memories of 1 to `steps` steps (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?"):
 * the gate that keeps is biased by log u, u uniform in 1 .. steps, and an LSTM's gate that writes by the negative of it. An RNN has no gate.
 */
function holdFor(
  steps: number,
  network: RecurrentNetwork,
  { cell, hiddenSize, rng }: { cell: RecurrentCellName; hiddenSize: number; rng: Rng },
): void {
  if (cell === "rnn") return;
  const parameters = network.namedParameters();
  const input = parameters.get("recurrent.bias_ih_l0") as Parameter;
  const hidden = parameters.get("recurrent.bias_hh_l0") as Parameter;
  // Gates of an LSTM: write, keep, candidate, output; of a GRU: reset, keep, candidate. Both biases of a gate are added.
  const [biases, others] = [input.floats().slice(), hidden.floats().slice()];
  others.fill(0, 0, 2 * hiddenSize);
  for (let unit = 0; unit < hiddenSize; unit++) {
    const bias = Math.log(rng.uniform(1, steps));
    biases[hiddenSize + unit] = bias;
    if (cell === "lstm") biases[unit] = -bias;
  }
  input.assign(biases);
  hidden.assign(others);
}
