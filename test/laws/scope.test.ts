/** @file The laws of memory: scopes free, results live, nothing outlives its owner; and engines and shapes that do not fit are refused. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { type ErrorCode, OstinatoError } from "../../src/core/errors.js";
import { seed } from "../../src/core/rng.js";
import { ReferenceKernels } from "../../src/kernels/index.js";
import { crossEntropy, mse } from "../../src/losses/index.js";
import { GRU, GRUCell, Linear, LSTM, Recurrent, RecurrentNetwork, WindowMLP } from "../../src/nn/index.js";
import { concatenate, inference, integers, parameter, scope, type Tensor, tensor, zeros } from "../../src/tensor/index.js";

const engine = new ReferenceKernels("float32");
const inUse = () => engine.memory.bytesInUse;
const make = (...values: number[]) => tensor(values, [values.length], { engine });

describe("a scope", () => {
  it("frees what it made and keeps what it returns, also in objects, arrays and maps", () => {
    const before = inUse();
    const kept = scope(() => {
      const a = make(1, 2);
      return { one: a.add(1), list: [a.add(2)], map: new Map([["x", a.add(3)]]), number: 4 };
    });
    const perTensor = scope(() => {
      const start = inUse();
      make(1, 2);
      return inUse() - start;
    });
    expect(inUse() - before).toBe(3 * perTensor);
    expect([...kept.one.toArray()]).toEqual([2, 3]);
    expect([...kept.list[0].toArray()]).toEqual([3, 4]);
    expect([...kept.map.get("x")!.toArray()]).toEqual([4, 5]);
    expect(kept.number).toBe(4);
  });

  it("hands its result to the enclosing scope, which frees it", () => {
    const before = inUse();
    scope(() => {
      const inner = scope(() => make(1).add(1));
      expect(inner.item()).toBe(2);
      scope(() => inner.add(1));
      expect(inner.item()).toBe(2);
    });
    expect(inUse()).toBe(before);
  });

  it("keeps a result that shares its values with something else", () => {
    const shared = scope(() => make(1, 2).detach());
    expect([...shared.toArray()]).toEqual([1, 2]);
  });

  it("frees everything when its function throws", () => {
    const before = inUse();
    expect(() =>
      scope(() => {
        make(1, 2).exp();
        throw new Error("stop");
      }),
    ).toThrow("stop");
    expect(() =>
      scope(() =>
        scope(() =>
          make(1)
            .add(make(1, 2, 3).sum())
            .reshape([7]),
        ),
      ),
    ).toThrow(OstinatoError);
    expect(inUse()).toBe(before);
    expect(make(1).add(1).item()).toBe(2);
  });

  it("frees what forward and backward made, but for the parameters' gradients", () => {
    const layer = new LSTM(2, 3, { rng: seed(1), engine, numLayers: 2, bidirectional: true });
    const step = () =>
      scope(() =>
        layer
          .forward(tensor(new Array(12).fill(0.5), [2, 3, 2], { engine }))
          .last.sum()
          .backward(),
      );
    step();
    const before = inUse();
    for (let i = 0; i < 20; i++) step();
    expect(inUse()).toBe(before);
  });

  it("must be synchronous", () => {
    refuses("OST_MEMORY", () => scope(async () => make(1)), /synchronous.*got a promise/);
    refuses("OST_MEMORY", () => inference(() => Promise.resolve(1)), /synchronous/);
  });

  it("a tensor used after its scope ended is refused", () => {
    let leaked: Tensor | undefined;
    scope(() => {
      leaked = make(1);
    });
    refuses("OST_MEMORY", () => leaked?.item(), /after its scope ended/);
    refuses("OST_MEMORY", () => leaked?.add(1), /after its scope ended/);
    const result = scope(() => parameter([1], [1], { engine }).add(1).sum());
    expect(result.item()).toBe(2);
    const late = scope(() => parameter([2], [1], { engine }).square().add(0).square().sum());
    refuses("OST_MEMORY", () => late.backward(), /after its scope ended/);
  });

  it("a lazy result is computed inside the scope that returns it", () => {
    const spec = {
      type: "recurrent",
      cell: "gru",
      inputSize: 2,
      hiddenSize: 3,
      outputSize: 1,
      numLayers: 1,
      bidirectional: false,
    } as const;
    const rest = { dropout: 0, init: "uniform", forgetBias: null, resetAfter: true, nonlinearity: "tanh" } as const;
    const model = new RecurrentNetwork({ ...spec, ...rest }, { rng: seed(1), engine });
    const x = tensor(new Array(8).fill(0.5), [2, 2, 2], { engine });
    const result = inference(() => model.forward(x));
    expect(result.last.requiresGrad).toBe(false);
    expect([...result.last.toArray()]).toEqual([...model.forward(x).last.toArray()]);
    expect([...result.output.slice(1, 1, 2).toArray()]).toEqual([...result.last.toArray()]);
  });
});

describe("inference", () => {
  it("keeps nothing for a backward pass, and gives the same numbers", () => {
    const layer = new GRU(2, 3, { rng: seed(1), engine });
    const x = tensor(new Array(16).fill(0.5), [2, 4, 2], { engine });
    layer.forward(x);
    const used = (run: (work: () => Tensor) => Tensor) => {
      let most = 0;
      const result = run(() => {
        const before = inUse();
        const { last } = layer.forward(x);
        most = inUse() - before;
        return last;
      });
      return { most, result };
    };
    const [recorded, plain] = [used(scope), used(inference)];
    expect(plain.most).toBeLessThan(recorded.most);
    expect([...plain.result.toArray()]).toEqual([...recorded.result.toArray()]);
    expect(plain.result.requiresGrad).toBe(false);
    refuses("OST_GRADIENT", () => inference(() => layer.forward(x).last.sum().backward()), /inference/);
    inference(() => scope(() => expect(layer.forward(x).last.requiresGrad).toBe(false)));
  });

  it("cuts history: what comes out of it is a constant", () => {
    const p = parameter([3], [1], { engine });
    const constant = inference(() => p.square());
    p.multiply(constant).sum().backward();
    expect(p.grad?.floats()[0]).toBe(9);
  });
});

describe("backward", () => {
  it("starts from a recorded scalar, and runs once", () => {
    const p = parameter([1, 2], [2], { engine });
    refuses("OST_GRADIENT", () => p.add(1).backward(), /scalar.*got size 2/);
    refuses("OST_GRADIENT", () => make(1).sum().backward(), /got size 1, not recorded/);
    const loss = p.sum();
    loss.backward();
    refuses("OST_GRADIENT", () => loss.backward(), /once/);
  });

  it("of a parameter that is itself the scalar adds one", () => {
    const p = parameter([5], [], { engine });
    p.backward();
    p.backward();
    expect(p.grad?.floats()[0]).toBe(2);
  });

  it("does not flow through detach", () => {
    const p = parameter([3], [1], { engine });
    p.multiply(p.detach()).sum().backward();
    expect(p.grad?.floats()[0]).toBe(3);
  });
});

describe("outside any scope", () => {
  it("the garbage collector frees tensors, parameters and packed weights", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const memory = new ReferenceKernels("float32");
    const before = memory.memory.bytesInUse;
    (() => {
      const layer = new GRU(2, 3, { rng: seed(1), engine: memory });
      for (let i = 0; i < 50; i++)
        layer
          .forward(zeros([1, 2, 2], { engine: memory }))
          .last.sum()
          .backward();
    })();
    expect(memory.memory.bytesInUse).toBeGreaterThan(before);
    for (let i = 0; i < 100 && memory.memory.bytesInUse > before; i++) {
      collect();
      await new Promise((resume) => setTimeout(resume, 10));
    }
    expect(memory.memory.bytesInUse).toBe(before);
  });
});

describe("what does not fit is refused", () => {
  it("two engines", () => {
    const other = new ReferenceKernels("float32");
    const foreign = tensor([1], [1], { engine: other });
    refuses("OST_ENGINE", () => make(1).add(foreign), /two engines/);
    refuses("OST_ENGINE", () => concatenate([make(1), foreign], 0), /two engines/);
    const layer = new GRU(2, 3, { rng: seed(1), engine });
    refuses("OST_ENGINE", () => layer.forward(zeros([1, 2, 2], { engine: other })), /two engines/);
    refuses(
      "OST_ENGINE",
      () => layer.forward(zeros([1, 2, 2], { engine }), { lengths: integers([1], [1], { engine: other }) }),
      /two engines/,
    );
    refuses(
      "OST_ENGINE",
      () => layer.forward(zeros([1, 2, 2], { engine }), { state: { h_l0: zeros([1, 3], { engine: other }) } }),
      /two engines/,
    );
  });

  it("shapes: the message names what was expected and what was got", () => {
    const [a, b] = [zeros([2, 3], { engine }), zeros([4, 5], { engine })];
    refuses("OST_SHAPE", () => a.add(b), /expected axes equal or 1.*got \[2, 3\] and \[4, 5\]/);
    refuses("OST_SHAPE", () => a.matmul(b), /expected \[\.\.\., M, K\].*got \[2, 3\] and \[4, 5\]/);
    refuses("OST_SHAPE", () => a.reshape([5]), /expected 6 values, got \[2, 3\] to \[5\]/);
    refuses("OST_SHAPE", () => concatenate([a, b], 0), /got \[2, 3\], \[4, 5\]/);
    refuses("OST_SHAPE", () => mse(a, b), /expected \[2, 3\], got target \[4, 5\]/);
    refuses("OST_SHAPE", () => mse(a, a, { mask: [1] }), /mask of 1/);
    refuses("OST_SHAPE", () => crossEntropy(a, integers([1, 1, 1], [3], { engine })), /expected int32 \[2\], got int32 \[3\]/);
    refuses(
      "OST_SHAPE",
      () => crossEntropy(a, integers([1, 1], [2], { engine }), { classWeights: make(1) }),
      /expected \[3\], got \[1\]/,
    );
    refuses("OST_SHAPE", () => a.item(), /got \[2, 3\]/);
    refuses("OST_SHAPE", () => tensor([1, 2], [3], { engine }), /expected 3 values.*got 2/);
    refuses("OST_SHAPE", () => parameter([1, 2], [2], { engine }).assign([1]), /expected 2 values.*got 1/);
    refuses("OST_SHAPE", () => new Linear(2, 2, { rng: seed(1), engine }).forward(a), /wants 2 features.*got x \[2, 3\]/);
    const layer = new LSTM(2, 3, { rng: seed(1), engine });
    refuses(
      "OST_SHAPE",
      () => layer.forward(zeros([1, 2, 4], { engine })),
      /wants features 2.*got x \[batch 1, time 2, features 4\]/,
    );
    refuses(
      "OST_SHAPE",
      () => layer.forward(zeros([1, 2, 2], { engine }), { state: { h_l0: zeros([1, 3], { engine }) } }),
      /state "c_l0"/,
    );
    const stepped = new Recurrent(new GRUCell(2, 3, { rng: seed(1), engine }));
    refuses(
      "OST_SHAPE",
      () => stepped.forward(zeros([1, 2, 2], { engine }), { state: {} }),
      /state "h".*got a state with nothing/,
    );
    const spec = { type: "windowMLP", window: 3, inputSize: 2, hiddenSize: 4, outputSize: 1 } as const;
    const mlp = new WindowMLP(spec, { rng: seed(1), engine });
    const short = { window: zeros([1, 4], { engine }) };
    refuses(
      "OST_SHAPE",
      () => mlp.forward(zeros([1, 2, 2], { engine }), { state: short }),
      /expected \[batch 1, width 6\], got \[1, 4\]/,
    );
    const lengths = (values: number[]) => ({ lengths: integers(values, [values.length], { engine }) });
    refuses(
      "OST_SHAPE",
      () => layer.forward(zeros([2, 2, 2], { engine }), lengths([1])),
      /expected int32 \[2\], got int32 \[1\]/,
    );
    refuses("OST_LENGTH", () => layer.forward(zeros([2, 2, 2], { engine }), lengths([1, 3])), /row 1.*expected 0 \.\. 2, got 3/);
    refuses("OST_LENGTH", () => layer.forward(zeros([2, 2, 2], { engine }), lengths([-1, 1])), /expected 0 \.\. 2, got -1/);
    refuses("OST_SHAPE", () => layer.loadStateDict(new Map()), /weight_ih_l0.*expected \[12, 2\], got nothing/);
    refuses(
      "OST_SHAPE",
      () => layer.loadStateDict(new Map([["weight_ih_l1", { shape: [1], data: new Float32Array(1) }]])),
      /no parameter "weight_ih_l1"/,
    );
  });

  it("ranges and types", () => {
    const a = zeros([2, 3], { engine });
    const ints = integers([0, 1], [2], { engine });
    refuses("OST_RANGE", () => a.slice(1, 2, 4), /expected 0 <= start <= stop <= 3, got 2 \.\. 4/);
    refuses("OST_RANGE", () => a.sum(2), /expected -2 \.\. 1, got 2/);
    refuses("OST_RANGE", () => a.gather(integers([2], [1], { engine })), /expected below 2, got 2/);
    refuses("OST_RANGE", () => crossEntropy(a, integers([0, 3], [2], { engine })), /expected -1 \.\. 2, got 3/);
    refuses("OST_RANGE", () => crossEntropy(a, ints, { smoothing: 1 }), /expected 0 <= smoothing < 1, got 1/);
    refuses("OST_RANGE", () => new GRU(2, 0, { rng: seed(1), engine }), /got 0/);
    const sequence = integers([1, 2, 3, 4], [1, 2, 2], { engine });
    refuses("OST_DTYPE", () => new GRU(2, 3, { rng: seed(1), engine }).forward(sequence), /float tensor is wanted.*got int32/);
    refuses("OST_DTYPE", () => ints.tanh(), /float tensor is wanted.*got int32/);
    refuses("OST_DTYPE", () => a.gather(a), /int32 tensor is wanted.*got float/);
    refuses("OST_DTYPE", () => mse(zeros([2], { engine }), ints), /float tensor is wanted.*got int32/);
  });
});

function refuses(code: ErrorCode, run: () => unknown, message: RegExp): void {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(OstinatoError);
  expect((thrown as OstinatoError).code).toBe(code);
  expect((thrown as OstinatoError).message.replaceAll("\n", " ")).toMatch(message);
}
