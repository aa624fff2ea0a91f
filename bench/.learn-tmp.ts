/** @file One recurrent network on sequences that are drawn as they are needed, with the curve of its error on fresh ones. */
import { seed } from "ostinato/core";
import { recurrentSpec } from "ostinato/model";
import { type ForwardResult, type RecurrentCellName, RecurrentNetwork } from "ostinato/nn";
import { Adam } from "ostinato/optim";
import { inference, type Tensor } from "ostinato/tensor";
import { trainStep } from "ostinato/train";

export interface Lesson<B> {
  cell: RecurrentCellName;
  inputSize: number;
  hiddenSize: number;
  outputSize: number;
  /** Most updates. */
  updates: number;
  /** Of the curve at which training is over. */
  goal: number;
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
  const network = new RecurrentNetwork(recurrentSpec({ cell, inputSize, hiddenSize, outputSize, init: (process.env.INIT ?? "uniform") as "uniform", ...(cell === "lstm" ? { forgetBias: Number(process.env.FB ?? 1) } : {}) }), { rng });
  const optimizer = new Adam(network.parameters(), { learningRate });
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

/** All cells begin with uniform weights; a forget gate begins open (Jozefowicz, Zaremba & Sutskever 2015). */
function initialOf(cell: RecurrentCellName) {
  return cell === "lstm" ? { forgetBias: 1 } : {};
}
