import { describe, expect, it } from "vitest";
import { NATIVE_ENGINES, skipAbsentNative } from "../../test/support/native-engines.js";
import { type Rng, seed } from "../core/rng.js";
import { checkKernels } from "../testing/check-kernels.js";
import { type CellKind, type Kernels, NULL } from "./kernels.js";
import { ReferenceKernels } from "./reference.js";
import { WasmKernels } from "./wasm.js";

const relaxedRuns = WasmKernels.create().variant === "relaxed";

describe("every engine keeps the laws", () => {
  it("wasm simd128", () => {
    const { checks, maxError } = checkKernels(() => WasmKernels.create({ variant: "simd128" }));
    expect(checks).toBeGreaterThan(3000);
    expect(maxError).toBeGreaterThan(0);
  });

  it.runIf(relaxedRuns)("wasm relaxed SIMD", () => {
    checkKernels(() => WasmKernels.create({ variant: "relaxed" }));
  });

  it.each(NATIVE_ENGINES)("%s", (_, create) => {
    const { checks, maxError } = checkKernels(create);
    expect(checks).toBeGreaterThan(3000);
    expect(maxError).toBeGreaterThan(0);
  });

  it.each(NATIVE_ENGINES.slice(0, 1))("%s on three threads", (_, create) => {
    checkKernels(() => Object.assign(create(), { threads: 3 }));
  });
  skipAbsentNative();

  it("reference float32", () => {
    checkKernels(() => new ReferenceKernels("float32"));
  });
});

describe("checkKernels finds", () => {
  const broken = (change: (kernels: Kernels) => Partial<Kernels>) => () => {
    const kernels = WasmKernels.create();
    const changes = change(kernels);
    return new Proxy(kernels, {
      get(target, name) {
        const value = changes[name as keyof Kernels] ?? Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };

  it("a wrong gradient", () => {
    const create = broken((kernels) => ({
      recurrentBackward(args) {
        kernels.recurrentBackward(args);
        if (args.dWeightHh !== NULL) kernels.memory.floatsAt(args.dWeightHh, 1)[0] += 0.01;
      },
    }));
    expect(() => checkKernels(create)).toThrow(/dWeightHh/);
  });

  it("a result that depends on the batch", () => {
    const create = broken((kernels) => ({
      recurrentForward(args) {
        kernels.recurrentForward(args);
        if (args.batch > 1) kernels.memory.floatsAt(args.hN, 1)[0] *= 1 + 2 ** -22;
      },
    }));
    expect(() => checkKernels(create)).toThrow(/hN/);
  });

  it("weights that are not rounded as they should be", () => {
    const create = broken((kernels) => ({
      packedBytes: (cell, inputSize, hiddenSize) => kernels.packedBytes(cell, inputSize, hiddenSize),
      recurrentPack: ({ weights: _, ...args }) => kernels.recurrentPack(args),
      recurrentForward: ({ weights: _, ...args }) => kernels.recurrentForward(args),
    }));
    expect(() => checkKernels(create)).toThrow(/bfloat16/);
  });

  it("an infinity that int8 weights hide", () => {
    const create = broken((kernels) => ({
      recurrentForward(args) {
        const x = kernels.memory.floatsAt(args.x, args.batch * args.time * args.inputSize);
        if (args.weights === "int8") for (let i = 0; i < x.length; i++) if (Math.abs(x[i]) === Infinity) x[i] = 0;
        kernels.recurrentForward(args);
      },
    }));
    expect(() => checkKernels(create)).toThrow(/int8.*Infinity in x/);
  });

  it("NaN that is swallowed", () => {
    const create = broken((kernels) => ({
      tanh(count, x, y) {
        kernels.tanh(count, x, y);
        const values = kernels.memory.floatsAt(y, count);
        for (let i = 0; i < count; i++) if (Number.isNaN(values[i])) values[i] = 1;
      },
    }));
    expect(() => checkKernels(create)).toThrow(/NaN must pass/);
  });
});

describe("the float64 reference agrees with central differences", () => {
  const cells: [CellKind, number][] = [
    ["rnnTanh", 1],
    ["rnnRelu", 1],
    ["lstm", 4],
    ["gru", 3],
    ["gruResetBefore", 3],
  ];
  for (const [cell, gates] of cells) {
    for (const reverse of [false, true]) {
      it(`${cell}${reverse ? ", reverse" : ""}`, () => {
        expect(recurrentGradientError(cell, gates, reverse, seed(11))).toBeLessThan(1e-7);
      });
    }
  }

  it("cross-entropy, with class weights and smoothing", () => {
    const kernels = new ReferenceKernels("float64");
    const { memory } = kernels;
    const rng = seed(3);
    const [rows, classes] = [4, 5];
    const logits = normals(kernels, rng, rows * classes);
    const targets = memory.allocate(rows * 4);
    memory.intsAt(targets, rows).set([2, -1, 0, 4]);
    const classWeights = normals(kernels, rng, classes, (value) => Math.abs(value));
    const args = { rows, classes, logits, targets, classWeights, smoothing: 0.2 };
    const [losses, dLosses, dLogits] = [
      memory.allocate(rows * 8),
      normals(kernels, rng, rows),
      memory.allocate(rows * classes * 8),
    ];
    memory.floatsAt(dLogits, rows * classes).fill(0);
    kernels.crossEntropyBackward({ ...args, dLosses, dLogits });
    const loss = () => {
      kernels.crossEntropyForward({ ...args, losses });
      return dot(memory.floatsAt(losses, rows), memory.floatsAt(dLosses, rows));
    };
    expect(differenceError(loss, memory.floatsAt(logits, rows * classes), memory.floatsAt(dLogits, rows * classes))).toBeLessThan(
      1e-7,
    );
  });
});

/** Largest relative error of all gradients of a small ragged case. */
function recurrentGradientError(cell: CellKind, gates: number, reverse: boolean, rng: Rng): number {
  const kernels = new ReferenceKernels("float64");
  const { memory } = kernels;
  const [batch, time, inputSize, hiddenSize] = [3, 4, 2, 3];
  const outputStride = 2 * hiddenSize;
  const [steps, states, rows] = [batch * time, batch * hiddenSize, gates * hiddenSize];
  const isLstm = cell === "lstm";
  const zeros = (count: number) => {
    const pointer = memory.allocate(count * 8);
    memory.floatsAt(pointer, count).fill(0);
    return pointer;
  };
  const sizes = {
    x: steps * inputSize,
    weightIh: rows * inputSize,
    weightHh: rows * hiddenSize,
    biasIh: rows,
    biasHh: rows,
    h0: states,
    ...(isLstm ? { c0: states } : {}),
  };
  const inputs = Object.fromEntries(Object.entries(sizes).map(([name, count]) => [name, normals(kernels, rng, count)]));
  const lengths = memory.allocate(batch * 4);
  memory.intsAt(lengths, batch).set([4, 0, 3]);
  const sequence = {
    cell,
    batch,
    time,
    inputSize,
    hiddenSize,
    reverse,
    lengths,
    x: inputs["x"],
    h0: inputs["h0"],
    c0: isLstm ? inputs["c0"] : NULL,
    output: zeros(steps * outputStride),
    outputStride,
    gates: gates === 1 ? NULL : zeros(steps * 4 * hiddenSize),
    cells: isLstm ? zeros(steps * hiddenSize) : NULL,
  };
  const { weightIh, weightHh, biasIh, biasHh } = inputs;
  const packed = memory.allocate(kernels.packedBytes(cell, inputSize, hiddenSize));
  const [hN, cN] = [zeros(states), isLstm ? zeros(states) : NULL];
  const dOutput = normals(kernels, rng, steps * outputStride);
  const [dHN, dCN] = [normals(kernels, rng, states), isLstm ? normals(kernels, rng, states) : NULL];
  const loss = () => {
    kernels.recurrentPack({ cell, inputSize, hiddenSize, weightIh, weightHh, biasIh, biasHh, packed });
    kernels.recurrentForward({ ...sequence, packed, hN, cN });
    let sum = dot(memory.floatsAt(hN, states), memory.floatsAt(dHN, states));
    if (isLstm) sum += dot(memory.floatsAt(cN, states), memory.floatsAt(dCN, states));
    for (let step = 0; step < steps; step++) {
      const at = step * outputStride * 8;
      sum += dot(memory.floatsAt(sequence.output + at, hiddenSize), memory.floatsAt(dOutput + at, hiddenSize));
    }
    return sum;
  };
  loss();
  const gradients = {
    dX: zeros(sizes.x),
    dWeightIh: zeros(sizes.weightIh),
    dWeightHh: zeros(sizes.weightHh),
    dBiasIh: zeros(rows),
    dBiasHh: zeros(rows),
    dH0: zeros(states),
    dC0: isLstm ? zeros(states) : NULL,
  };
  const dGates = zeros(steps * 4 * hiddenSize);
  kernels.recurrentBackward({ ...sequence, weightIh, weightHh, dOutput, dHN, dCN, dGates, ...gradients });
  let worst = 0;
  for (const [name, count] of Object.entries(sizes)) {
    const gradient = gradients[`d${name[0].toUpperCase()}${name.slice(1)}` as keyof typeof gradients];
    worst = Math.max(worst, differenceError(loss, memory.floatsAt(inputs[name], count), memory.floatsAt(gradient, count)));
  }
  return worst;
}

/** Five-point central differences of `loss` by each value, against `gradient`: largest |difference| / (|gradient| + 1e-2). */
function differenceError(loss: () => number, values: ArrayLike<number>, gradient: ArrayLike<number>): number {
  const at = values as Float64Array;
  const width = 1e-3;
  let worst = 0;
  for (let i = 0; i < at.length; i++) {
    const kept = at[i];
    const shifted = (steps: number) => {
      at[i] = kept + steps * width;
      return loss();
    };
    const slope = (shifted(-2) - 8 * shifted(-1) + 8 * shifted(1) - shifted(2)) / (12 * width);
    at[i] = kept;
    worst = Math.max(worst, Math.abs(slope - gradient[i]) / (Math.abs(gradient[i]) + 1e-2));
  }
  return worst;
}

function normals({ memory }: Kernels, rng: Rng, count: number, change = (value: number) => value): number {
  const pointer = memory.allocate(count * memory.bytesPerFloat);
  const values = memory.floatsAt(pointer, count);
  for (let i = 0; i < count; i++) values[i] = change(rng.normal());
  return pointer;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
