/** @file Workers come, go and are lost, and no caller waits for ever. That threads change no bit is held by `test/laws/threads.test.ts`. */
import { spawnSync } from "node:child_process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import { ReferenceKernels } from "./reference.js";
import { WasmKernels, type WasmOptions } from "./wasm.js";

afterEach(() => {
  vi.restoreAllMocks();
  vi.doUnmock("#platform");
  vi.resetModules();
});

/** An engine whose workers have started, and those workers. */
async function withWorkers(options: WasmOptions): Promise<{ engine: WasmKernels; workers: Worker[] }> {
  const unref = vi.spyOn(Worker.prototype, "unref");
  const engine = WasmKernels.create(options);
  const workers = [...unref.mock.contexts] as Worker[];
  unref.mockRestore();
  while (engine.threadsReady < engine.threads) await new Promise((resolve) => setTimeout(resolve, 5));
  return { engine, workers };
}

/** Multiplies ones: every element of the result is `inner`. Threads share out the rows, in tiles of four; of three tiles the caller has one. */
function product(engine: WasmKernels, { rows = 12, columns = 12, inner = 9000, c = 0 } = {}): Float32Array {
  const { memory } = engine;
  const blocks = [rows * inner, inner * columns, rows * columns].map((count) => {
    const block = memory.allocate(4 * count);
    memory.floatsAt(block, count).fill(1);
    return block;
  });
  const [a, b, own] = blocks;
  const strides = { aRowStride: inner, aColumnStride: 1, bRowStride: columns, bColumnStride: 1 };
  engine.matmul({ rows, columns, inner, a, b, c: c || own, accumulate: false, ...strides });
  const result = memory.floatsAt(own, rows * columns).slice() as Float32Array;
  for (const block of blocks) memory.free(block);
  return result;
}

function refusal(call: () => unknown): OstinatoError {
  try {
    call();
  } catch (error) {
    if (error instanceof OstinatoError) return error;
    throw error;
  }
  throw new Error("it went through");
}

const code = (call: () => unknown): ErrorCode => refusal(call).code;

describe("a number of threads", () => {
  it("is a whole one from 1 to 64, on every engine that has threads", () => {
    const engine = WasmKernels.create();
    for (const count of [0, -1, 1.5, 65, Number.NaN]) {
      expect(code(() => WasmKernels.create({ threads: count }))).toBe("OST_RANGE");
      expect(
        code(() => {
          engine.threads = count;
        }),
      ).toBe("OST_RANGE");
    }
    expect(engine.threads).toBe(1);
    const reference = new ReferenceKernels();
    reference.threads = 4;
    expect(reference.threads).toBe(1);
  });

  it("has to be said when a WebAssembly engine is made, because its memory is shared from the beginning or never", async () => {
    const engine = WasmKernels.create();
    expect(
      code(() => {
        engine.threads = 2;
      }),
    ).toBe("OST_ENGINE");
    expect([engine.threads, engine.detail]).toEqual([1, engine.isa]);
    const { engine: shared, workers } = await withWorkers({ threads: 2 });
    expect([workers.length, shared.threads, shared.detail]).toEqual([1, 2, `${shared.isa}, 2 threads`]);
    shared.threads = 1;
    expect(shared.detail).toBe(shared.isa);
    shared.threads = 4;
    while (shared.threadsReady < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    shared.sharedCalls({ insist: true });
    product(shared, { rows: 600 });
    expect(shared.sharedCalls()).toEqual({ calls: 1, threads: 4 });
  });

  it("is an error where there are no workers, and auto is one thread there that says why", async () => {
    vi.doMock("#platform", async (original) => ({
      ...(await original<object>()),
      missingForWorkers: () => "the page is not cross-origin isolated",
      coreCount: () => 4,
    }));
    vi.resetModules();
    const { WasmKernels } = await import("./wasm.js");
    expect(() => WasmKernels.create({ threads: 2 })).toThrow(/OST_ENGINE.*expected 2 threads, got the page is not cross-origin/);
    const engine = WasmKernels.create({ threads: "auto", note: "native: not built" });
    expect(engine.threads).toBe(1);
    expect(engine.detail).toBe(`${engine.isa}; native: not built; one thread: the page is not cross-origin isolated`);
  });

  it.each([
    [1, 1],
    [6, 6],
    [48, 8],
  ])("left to a machine of %i cores is %i", async (cores, threads) => {
    const started: object[] = [];
    vi.doMock("#platform", async (original) => ({
      ...(await original<object>()),
      coreCount: () => cores,
      startWorker: (_program: string, data: object) => {
        started.push(data);
        return () => {};
      },
    }));
    vi.resetModules();
    const { WasmKernels } = await import("./wasm.js");
    expect(WasmKernels.create({ threads: "auto" }).threads).toBe(threads);
    expect(started).toHaveLength(threads - 1);
  });
});

describe("a lost worker", () => {
  it("between calls is missed by nobody but the log: calls go on with the others", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { engine, workers } = await withWorkers({ threads: 3 });
    const expected = product(engine);
    await workers[0].terminate();
    await expect.poll(() => warn.mock.calls.length).toBe(1);
    expect(warn.mock.calls[0][0]).toMatch(/fewer threads.*ended/);
    expect(engine.detail).toMatch(/3 threads; fewer threads: it was ended/);
    for (let i = 0; i < 50; i++) expect(product(engine).every((value, k) => value === expected[k])).toBe(true);
  });

  it("that could not start is said, and computing goes on without it", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const unref = vi.spyOn(Worker.prototype, "unref");
    const engine = WasmKernels.create({ threads: 2 });
    const [worker] = unref.mock.contexts as Worker[];
    worker.emit("error", new Error("no room for a thread"));
    await worker.terminate();
    expect(engine.detail).toMatch(/fewer threads: .*no room for a thread/);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(product(engine)[0]).toBe(9000);
  });

  it("that meets an error in a call ends the call with an error, and the engine", async () => {
    const { engine } = await withWorkers({ threads: 2 });
    engine.sharedCalls({ insist: true });
    expect(product(engine)[0]).toBe(9000);
    // The caller's rows fit into the memory, the worker's do not.
    const c = engine.memory.byteLength - 5 * 12 * 4;
    expect(() => product(engine, { c })).toThrow(/OST_ENGINE.*a worker thread stopped answering.*it met an error/);
    for (let i = 0; i < 3; i++) expect(() => product(engine)).toThrow(/OST_ENGINE.*computes no more/);
    const after = await withWorkers({ threads: 2 });
    expect(product(after.engine)[0]).toBe(9000);
  });

  it("that stops answering in the middle of a call is given up, and the engine with it", { timeout: 60_000 }, async () => {
    const { engine, workers } = await withWorkers({ threads: 2, timeoutMs: 200 });
    engine.sharedCalls({ insist: true });
    expect(product(engine)[0]).toBe(9000);
    // The caller naps while it waits: then the worker is killed.
    let killed = false;
    vi.spyOn(Atomics, "wait").mockImplementation(() => {
      if (!killed) void workers[0].terminate();
      killed = true;
      return "timed-out";
    });
    const calls = () => {
      for (let i = 0; i < 5000; i++) product(engine);
    };
    expect(calls).toThrow(/OST_ENGINE.*a worker thread stopped answering.*nothing for 0\.2 s/);
    const started = performance.now();
    expect(() => product(engine)).toThrow(/OST_ENGINE/);
    expect(performance.now() - started).toBeLessThan(150);
  });

  it("or a caller that meets an error itself leaves no worker waiting", async () => {
    const { engine, workers } = await withWorkers({ threads: 2 });
    const exit = new Promise((resolve) => workers[0].once("exit", resolve));
    expect(product(engine)[0]).toBe(9000);
    const c = engine.memory.byteLength - 4;
    expect(() => product(engine, { c })).toThrow(WebAssembly.RuntimeError);
    await exit;
    expect(() => product(engine)).toThrow(/OST_ENGINE.*computes no more/);
  });
});

describe("workers end", () => {
  it("when nobody refers to their engine any more", { timeout: 60_000 }, async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const make = async () => {
      const { engine, workers } = await withWorkers({ threads: 3 });
      expect(product(engine)[0]).toBe(9000);
      return Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))));
    };
    let ended = false;
    const ending = make().then(() => {
      ended = true;
    });
    while (!ended) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      collect();
    }
    await ending;
  });

  it("with their process, which they neither hold nor disturb", { timeout: 60_000 }, () => {
    const program = `
      import { WasmKernels } from ${JSON.stringify(new URL("./wasm.ts", import.meta.url).href)};
      const engine = WasmKernels.create({ threads: 3 });
      while (engine.threadsReady < 3) await new Promise((resolve) => setTimeout(resolve, 5));
      const [a, b, c] = [0, 0, 0].map(() => engine.memory.allocate(4 * 90_000));
      const strides = { aRowStride: 300, aColumnStride: 1, bRowStride: 300, bColumnStride: 1 };
      engine.matmul({ rows: 300, columns: 300, inner: 300, a, b, c, accumulate: false, ...strides });
      console.log(engine.threadsReady);`;
    const args = ["--conditions=ostinato-source", "--import", "tsx", "--input-type=module", "--eval", program];
    const run = (options = "") =>
      spawnSync(process.execPath, args, { encoding: "utf8", timeout: 50_000, env: { ...process.env, NODE_OPTIONS: options } });
    expect(run()).toMatchObject({ status: 0, stdout: "3\n", stderr: "" });
    // What the process was started with is not loaded once more by every worker.
    const loud = run("--import=data:text/javascript,console.log('loaded')");
    expect(loud.stdout).toMatch(/3\n$/);
    expect(loud.stdout.match(/loaded/g)?.length).toBeLessThanOrEqual(2);
  });
});
