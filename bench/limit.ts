/** @file The limits a workload is held against, measured in the same process, on the same core and in the same minutes. */
import { type Kernels, type Matmul, NativeKernels, WasmKernels } from "ostinato/kernels";

export interface Peak {
  /** Of all the engine's threads together. */
  gflops: number;
  /** What was measured. */
  how: string;
}

export interface Bandwidth {
  /** 10^9 bytes a second. */
  gbps: number;
}

const SIDE = 256;

/**
 * Prepares the probe of what the core can do at most; it measures for so many seconds. Compiled engines run chains of their own widest
 * multiply-add on data in registers; for any other, its matrix product has to do.
 */
export function peakProbe(kernels: Kernels): (seconds: number) => Peak {
  const { threads } = kernels;
  if (kernels instanceof NativeKernels || kernels instanceof WasmKernels) {
    const how = `multiply-adds in registers${threads > 1 ? `, one core times ${threads}` : ""}`;
    return (seconds) => ({ gflops: (threads * kernels.multiplyAddPeak(seconds)) / 1e9, how });
  }
  const { memory } = kernels;
  const take = () => {
    const pointer = memory.allocate(SIDE * SIDE * memory.bytesPerFloat);
    memory.floatsAt(pointer, SIDE * SIDE).fill(0.5);
    return pointer;
  };
  const sizes = { rows: SIDE, columns: SIDE, inner: SIDE };
  const strides = { aRowStride: SIDE, aColumnStride: 1, bRowStride: SIDE, bColumnStride: 1 };
  const product: Matmul = { ...sizes, ...strides, a: take(), b: take(), c: take(), accumulate: false };
  return (seconds) => ({
    gflops: (2 * SIDE ** 3) / fastestCall(() => kernels.matmul(product), seconds) / 1e6,
    how: `matrix product of ${SIDE} squared`,
  });
}

/**
 * Prepares the probe of how fast one thread reads an array of that size again and again, from whichever cache holds it: the C library
 * searches it for a byte that is not there.
 */
export function readProbe(bytes: number): (seconds: number) => Bandwidth {
  const array = Buffer.alloc(Math.min(Math.max(bytes, 1 << 16), 1 << 28), 1);
  return (seconds) => ({ gbps: array.length / fastestCall(() => array.indexOf(0), seconds) / 1e6 });
}

/** Milliseconds of the fastest call. */
function fastestCall(call: () => void, seconds: number): number {
  let fastest = Number.POSITIVE_INFINITY;
  const start = performance.now();
  for (let before = start; before - start < seconds * 1000 || fastest === Number.POSITIVE_INFINITY; ) {
    call();
    const after = performance.now();
    fastest = Math.min(fastest, after - before);
    before = after;
  }
  return fastest;
}

/** Answers "read:BYTES"; the array of each size is kept. */
export function readTurns(): (name: string, seconds: number) => Bandwidth {
  const probes = new Map<string, (seconds: number) => Bandwidth>();
  return (name, seconds) => {
    let probe = probes.get(name);
    if (!probe) {
      probe = readProbe(Number(name.slice("read:".length)));
      probes.set(name, probe);
    }
    return probe(seconds);
  };
}
