/** @file One call of the recurrent kernels as values: how to make it, run it on an engine, and cut it into rows, chunks and paddings. */
import { type CellKind, NULL, type WeightType } from "../kernels/kernels.js";
import type { Check, Values, Workbench } from "./kernel-check.js";

export const CELLS: CellKind[] = ["rnnTanh", "rnnRelu", "lstm", "gru", "gruResetBefore"];
const GATES: Record<CellKind, number> = { rnnTanh: 1, rnnRelu: 1, lstm: 4, gru: 3, gruResetBefore: 3 };

export interface RecurrentCase {
  cell: CellKind;
  batch: number;
  time: number;
  inputSize: number;
  hiddenSize: number;
  lengths: number[];
  reverse: boolean;
  /** Values between the end of one output row and the start of the next. */
  outputGap: number;
  weightIh: Values;
  weightHh: Values;
  /** Undefined passes NULL. */
  biasIh: Values | undefined;
  biasHh: Values | undefined;
  x: Values;
  h0: Values;
  c0: Values;
  dOutput: Values | undefined;
  dHN: Values | undefined;
  dCN: Values | undefined;
}

export interface RecurrentResult {
  output: Values;
  hN: Values;
  cN: Values;
  gates: Values;
  cells: Values;
  dX: Values;
  dWeightIh: Values;
  dWeightHh: Values;
  dBiasIh: Values;
  dBiasHh: Values;
  dH0: Values;
  dC0: Values;
}

export const FORWARD = ["output", "hN", "cN", "gates", "cells"] as const;
export const PER_ROW = ["dX", "dH0", "dC0"] as const;
export const GRADIENTS = [...PER_ROW, "dWeightIh", "dWeightHh", "dBiasIh", "dBiasHh"] as const;
/** What stands in gradients marked "+=" before the backward pass, and between strided output rows. */
export const START = 0.125;
const BETWEEN = 7.5;

export interface RunOptions {
  backward?: boolean;
  /** Keeps nothing for a backward pass. */
  inference?: boolean;
  /** Passes `gates` as `dGates`. */
  inPlace?: boolean;
  /** Default "float32"; others have no backward pass. */
  weights?: WeightType;
}

/** Runs one case on one engine and reads everything back; output and dOutput are dense [B, T, H] outside. */
export function run(
  bench: Workbench,
  given: RecurrentCase,
  { backward = true, inference = false, inPlace = true, weights = "float32" }: RunOptions = {},
): RecurrentResult {
  const { kernels } = bench;
  const { cell, batch, time, inputSize, hiddenSize, reverse } = given;
  const [steps, states, rows] = [batch * time, batch * hiddenSize, GATES[cell] * hiddenSize];
  const [isLstm, isRnn] = [cell === "lstm", GATES[cell] === 1];
  const outputStride = hiddenSize + given.outputGap;
  const spread = (dense: Values, between: number) => {
    const out = new Float64Array(steps * outputStride).fill(between);
    for (let i = 0; i < steps; i++) out.set(dense.subarray(i * hiddenSize, (i + 1) * hiddenSize), i * outputStride);
    return out;
  };
  const optional = (values: Values | undefined) => (values ? bench.put(values) : NULL);

  const weightIh = bench.put(given.weightIh);
  const weightHh = bench.put(given.weightHh);
  const packed = bench.bytes(kernels.packedBytes(cell, inputSize, hiddenSize, weights));
  kernels.recurrentPack({
    cell,
    weights,
    inputSize,
    hiddenSize,
    weightIh,
    weightHh,
    biasIh: optional(given.biasIh),
    biasHh: optional(given.biasHh),
    packed,
  });
  const gateCount = isRnn ? 0 : steps * 4 * hiddenSize;
  const sequence = {
    cell,
    batch,
    time,
    inputSize,
    hiddenSize,
    reverse,
    outputStride,
    lengths: bench.putInts(given.lengths),
    x: bench.put(given.x),
    h0: bench.put(given.h0),
    c0: isLstm ? bench.put(given.c0) : NULL,
    output: bench.put(spread(new Float64Array(steps * hiddenSize).fill(Number.NaN), BETWEEN)),
    gates: isRnn || inference ? NULL : bench.hole(gateCount),
    cells: isLstm && !inference ? bench.hole(steps * hiddenSize) : NULL,
  };
  const hN = bench.hole(states);
  const cN = isLstm ? bench.hole(states) : NULL;
  kernels.recurrentForward({ ...sequence, weights, packed, hN, cN });

  const strided = bench.read(sequence.output, steps * outputStride);
  const output = new Float64Array(steps * hiddenSize);
  for (let i = 0; i < steps; i++) {
    output.set(strided.subarray(i * outputStride, i * outputStride + hiddenSize), i * hiddenSize);
    if (strided.subarray(i * outputStride + hiddenSize, (i + 1) * outputStride).some((value) => value !== BETWEEN)) {
      throw new Error(
        `checkKernels: ${kernels.name} (${kernels.detail}): ${describe(given)}: wrote between the rows of a strided output`,
      );
    }
  }
  const result: RecurrentResult = {
    output,
    hN: bench.read(hN, states),
    cN: bench.read(cN, isLstm ? states : 0),
    gates: bench.read(sequence.gates, sequence.gates ? gateCount : 0),
    cells: bench.read(sequence.cells, sequence.cells ? steps * hiddenSize : 0),
    dX: new Float64Array(0),
    dWeightIh: new Float64Array(0),
    dWeightHh: new Float64Array(0),
    dBiasIh: new Float64Array(0),
    dBiasHh: new Float64Array(0),
    dH0: new Float64Array(0),
    dC0: new Float64Array(0),
  };
  if (backward && !inference) {
    const begun = (count: number) => bench.put(new Float64Array(count).fill(START));
    const pointers = {
      dX: begun(steps * inputSize),
      dWeightIh: begun(rows * inputSize),
      dWeightHh: begun(rows * hiddenSize),
      dBiasIh: given.biasIh ? begun(rows) : NULL,
      dBiasHh: given.biasHh ? begun(rows) : NULL,
      dH0: bench.hole(states),
      dC0: isLstm ? bench.hole(states) : NULL,
    };
    kernels.recurrentBackward({
      ...sequence,
      weightIh,
      weightHh,
      dOutput: given.dOutput ? bench.put(spread(given.dOutput, Number.NaN)) : NULL,
      dHN: optional(given.dHN),
      dCN: isLstm ? optional(given.dCN) : NULL,
      dGates: inPlace && !isRnn ? sequence.gates : bench.hole(steps * 4 * hiddenSize),
      ...pointers,
    });
    result.dX = bench.read(pointers.dX, steps * inputSize);
    result.dWeightIh = bench.read(pointers.dWeightIh, rows * inputSize);
    result.dWeightHh = bench.read(pointers.dWeightHh, rows * hiddenSize);
    result.dBiasIh = bench.read(pointers.dBiasIh, given.biasIh ? rows : 0);
    result.dBiasHh = bench.read(pointers.dBiasHh, given.biasHh ? rows : 0);
    result.dH0 = bench.read(pointers.dH0, states);
    result.dC0 = bench.read(pointers.dC0, isLstm ? states : 0);
  }
  bench.release();
  return result;
}

type Sizes = Pick<RecurrentCase, "cell" | "batch" | "time" | "inputSize" | "hiddenSize"> & Partial<RecurrentCase>;

export function recurrentCase(check: Check, given: Sizes): RecurrentCase {
  const { cell, batch, time, inputSize, hiddenSize } = given;
  const rows = GATES[cell] * hiddenSize;
  const states = () => check.normals(batch * hiddenSize);
  return {
    lengths: Array.from({ length: batch }, (_, b) => (b === 0 ? time : check.rng.integer(time + 1))),
    reverse: check.rng.integer(2) === 1,
    outputGap: check.rng.integer(2) * hiddenSize,
    weightIh: check.normals(rows * inputSize, 1 / Math.sqrt(inputSize)),
    weightHh: check.normals(rows * hiddenSize, 1 / Math.sqrt(hiddenSize)),
    biasIh: check.normals(rows),
    biasHh: check.normals(rows),
    x: check.normals(batch * time * inputSize),
    h0: states(),
    c0: states(),
    dOutput: check.normals(batch * time * hiddenSize),
    dHN: states(),
    dCN: states(),
    ...given,
  };
}

export function describe({ cell, batch, time, inputSize, hiddenSize, lengths, reverse }: RecurrentCase): string {
  return `${cell} B=${batch} T=${time} I=${inputSize} H=${hiddenSize}${reverse ? " reverse" : ""} lengths=${lengths.slice(0, 9)}`;
}

export function rowOf(given: RecurrentCase, b: number): RecurrentCase {
  const row = (values: Values) => values.slice((b * values.length) / given.batch, ((b + 1) * values.length) / given.batch);
  const optional = (values: Values | undefined) => values && row(values);
  const { x, h0, c0, dOutput, dHN, dCN } = given;
  const states = { h0: row(h0), c0: row(c0), dHN: optional(dHN), dCN: optional(dCN) };
  return { ...given, batch: 1, lengths: [given.lengths[b]], x: row(x), dOutput: optional(dOutput), ...states };
}

/** Steps from .. to of every row of [B, T, width] values. */
function stepsOf(values: Values, batch: number, from: number, to: number): Values {
  const row = values.length / batch;
  return Float64Array.from(Array.from({ length: batch }, (_, b) => [...values.subarray(b * row + from, b * row + to)]).flat());
}

/** The forward pass cut along time, the state carried from call to call; in reverse the last chunk comes first. */
export function runInChunks(
  check: Check,
  given: RecurrentCase,
  chunk: number,
  options: RunOptions = {},
): Pick<RecurrentResult, "output" | "hN" | "cN"> {
  const { batch, time, inputSize, hiddenSize } = given;
  const output = new Float64Array(batch * time * hiddenSize);
  let [h0, c0] = [given.h0, given.c0];
  const starts = Array.from({ length: Math.ceil(time / chunk) }, (_, i) => i * chunk);
  for (const start of given.reverse ? starts.reverse() : starts) {
    const count = Math.min(chunk, time - start);
    const lengths = given.lengths.map((length) => Math.min(Math.max(length - start, 0), count));
    const x = stepsOf(given.x, batch, start * inputSize, (start + count) * inputSize);
    const piece = run(check.engine, { ...given, time: count, lengths, x, h0, c0 }, { ...options, backward: false });
    for (let b = 0; b < batch; b++) {
      output.set(piece.output.subarray(b * count * hiddenSize, (b + 1) * count * hiddenSize), (b * time + start) * hiddenSize);
    }
    [h0, c0] = [piece.hN, piece.cN];
  }
  return { output, hN: h0, cN: given.cell === "lstm" ? c0 : new Float64Array(0) };
}

/** The case with `more` further padded steps; x and dOutput are NaN at every padded step, old or new. */
export function padded(given: RecurrentCase, more: number): RecurrentCase {
  const time = given.time + more;
  const extend = (values: Values, width: number) => {
    const out = new Float64Array(given.batch * time * width).fill(Number.NaN);
    for (let b = 0; b < given.batch; b++) {
      const start = b * given.time * width;
      out.set(values.subarray(start, start + given.lengths[b] * width), b * time * width);
    }
    return out;
  };
  return {
    ...given,
    time,
    x: extend(given.x, given.inputSize),
    dOutput: given.dOutput && extend(given.dOutput, given.hiddenSize),
  };
}
