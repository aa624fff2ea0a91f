/**
 * @file A training step by the engine's kernels alone: pack, forward, backward and Adam on the parameters of a recurrent layer and its head.
 *
 * What the public interface costs is the time of a workload over that of its twin here, which leaves out the head's product and the loss.
 */
import { defaultEngine, NULL } from "ostinato/kernels";
import type { RecurrentShape } from "./workloads.js";

/** @param options `everyStep`: the gradient enters at every output, else at the last one. `classes`: rows of the head. */
export function rawTraining(
  { cell, batch, time, inputSize, hiddenSize }: RecurrentShape,
  { everyStep, classes }: { everyStep: boolean; classes: number },
): { step: () => void; parameterCount: number } {
  const kernels = defaultEngine();
  const { memory } = kernels;
  const isLstm = cell === "lstm";
  const rows = (isLstm ? 4 : 3) * hiddenSize;
  const [steps, states] = [batch * time, batch * hiddenSize];
  const take = (count: number, amplitude = 0) => {
    const pointer = memory.allocate(count * memory.bytesPerFloat);
    const values = memory.floatsAt(pointer, count);
    for (let i = 0; i < count; i++) values[i] = amplitude * Math.sin(i * 12.9898);
    return pointer;
  };
  const counts = [rows * inputSize, rows * hiddenSize, rows, rows, classes * hiddenSize, classes];
  const parameters = counts.map((count) => ({
    count,
    parameter: take(count, hiddenSize ** -0.5),
    gradient: take(count),
    firstMoment: take(count),
    secondMoment: take(count),
  }));
  const [weightIh, weightHh, biasIh, biasHh] = parameters;
  const lengths = memory.allocate(batch * 4);
  memory.intsAt(lengths, batch).fill(time);
  const packed = memory.allocate(kernels.packedBytes(cell, inputSize, hiddenSize));
  const sequence = {
    cell,
    batch,
    time,
    inputSize,
    hiddenSize,
    reverse: false,
    lengths,
    x: take(steps * inputSize, 1),
    h0: take(states),
    c0: isLstm ? take(states) : NULL,
    output: take(steps * hiddenSize),
    outputStride: hiddenSize,
    gates: take(steps * 4 * hiddenSize),
    cells: isLstm ? take(steps * hiddenSize) : NULL,
  };
  const ends = { hN: take(states), cN: isLstm ? take(states) : NULL };
  const gradients = {
    dOutput: everyStep ? take(steps * hiddenSize, 1e-3) : NULL,
    dHN: everyStep ? NULL : take(states, 1e-3),
    dCN: NULL,
    dGates: sequence.gates,
    dX: NULL,
    dWeightIh: weightIh.gradient,
    dWeightHh: weightHh.gradient,
    dBiasIh: biasIh.gradient,
    dBiasHh: biasHh.gradient,
    dH0: take(states),
    dC0: isLstm ? take(states) : NULL,
  };
  const weights = { weightIh: weightIh.parameter, weightHh: weightHh.parameter };
  const biases = { biasIh: biasIh.parameter, biasHh: biasHh.parameter };
  const [beta1, beta2] = [0.9, 0.999];
  const adam = { gradientScale: 1, learningRate: 1e-3, beta1, beta2, epsilon: 1e-8, weightDecay: 0 };
  let updates = 0;
  const step = () => {
    for (const { gradient, count } of parameters) memory.floatsAt(gradient, count).fill(0);
    kernels.recurrentPack({ cell, inputSize, hiddenSize, ...weights, ...biases, packed });
    kernels.recurrentForward({ ...sequence, packed, ...ends });
    kernels.recurrentBackward({ ...sequence, ...weights, ...gradients });
    updates++;
    kernels.adamStep({ ...adam, parameters, correction1: 1 - beta1 ** updates, correction2: 1 - beta2 ** updates });
  };
  return { step, parameterCount: counts.reduce((sum, count) => sum + count) };
}
