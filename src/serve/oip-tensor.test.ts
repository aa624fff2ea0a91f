import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import type { ModelVersion } from "./engine.js";
import {
  type InputTensor,
  inputTensors,
  type OutputTensor,
  outputTensors,
  readInput,
  tensorBytes,
  writeOutput,
} from "./oip-tensor.js";

const model = (facts: Partial<ModelVersion> = {}): ModelVersion => ({
  version: "f".repeat(64),
  task: "classify",
  streaming: "carried",
  windowLength: 1,
  columns: ["a", "b"],
  time: null,
  textColumns: [],
  classes: ["no", "yes"],
  targets: [],
  horizon: 0,
  features: ["a", "b"],
  outputSize: 2,
  stateSchema: "s",
  stateSize: 4,
  bytes: 1,
  resets: { timeGapMs: null, marker: null, changed: [], maxSteps: null },
  batchInvariant: true,
  profile: null,
  ...facts,
});

const raw = (bytes: ArrayBufferView) => ({ raw: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) });
const packed = (shape: number[], data: InputTensor["data"], datatype = "FP64"): InputTensor => ({
  name: "input",
  datatype,
  shape,
  data,
});
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof OstinatoError) return error.code;
    throw error;
  }
  return "none";
};
const texts = (...list: string[]) =>
  Buffer.concat(
    list.map((text) => Buffer.concat([Buffer.from(Uint32Array.of(Buffer.byteLength(text)).buffer), Buffer.from(text)])),
  );

describe("one tensor of all columns", () => {
  it("is read in every shape, raw and as values, to the same rows", () => {
    const values = [1, 2, Number.NaN, 4, 5, 6];
    for (const shape of [
      [1, 3, 2],
      [3, 2],
    ]) {
      expect(readInput(model(), [packed(shape, { values: values.map((v) => (Number.isNaN(v) ? null : v)) })])).toEqual({
        rows: Float64Array.from(values),
        count: 3,
      });
      expect(readInput(model(), [packed(shape, raw(Float64Array.from(values)))])).toEqual({
        rows: Float64Array.from(values),
        count: 3,
      });
      expect(readInput(model(), [packed(shape, raw(Float32Array.from(values)), "FP32")])).toEqual({
        rows: Float64Array.from(values),
        count: 3,
      });
    }
    expect(readInput(model(), [packed([1, 2], { values: [7, 8] })])).toEqual({ rows: Float64Array.of(7, 8), count: 1 });
  });

  it("rounds FP32 in JSON as raw FP32 is rounded", () => {
    const json = readInput(model(), [packed([1, 2], { values: [0.1, 0.2] }, "FP32")]);
    expect(json).toEqual(readInput(model(), [packed([1, 2], raw(Float32Array.of(0.1, 0.2)), "FP32")]));
  });

  it("may lie at any offset of a message", () => {
    const bytes = new Uint8Array(1 + 16);
    new DataView(bytes.buffer).setFloat64(1, 3, true);
    new DataView(bytes.buffer).setFloat64(9, 4, true);
    expect(readInput(model(), [packed([1, 2], { raw: bytes.subarray(1) })])).toEqual({ rows: Float64Array.of(3, 4), count: 1 });
  });

  it("of a model with a time must be FP64", () => {
    const timed = model({ columns: ["at", "a"], time: "at" });
    expect(inputTensors(timed)).toEqual([{ name: "input", datatype: "FP64", shape: [1, -1, 2] }]);
    const at = Date.UTC(2026, 0, 1);
    expect(readInput(timed, [packed([1, 2], { values: [at, 1] })])).toEqual({ rows: Float64Array.of(at, 1), count: 1 });
    expect(codeOf(() => readInput(timed, [packed([1, 2], { values: [at, 1] }, "FP32")]))).toBe("OST_REQUEST");
  });

  it("is refused for every shape that does not fit", () => {
    const values = { values: [1, 2] };
    for (const shape of [
      [],
      [2, 1],
      [1],
      [0, 2],
      [2, 1, 2],
      [1, 1, 1, 2],
      [-1, 2],
      [1.5, 2],
      [2 ** 31, 2],
      [2 ** 40, 2 ** 40],
      [Number.NaN, 2],
    ]) {
      expect([shape, codeOf(() => readInput(model(), [packed(shape, values)]))]).toEqual([shape, "OST_REQUEST"]);
    }
  });
});

describe("a tensor per column", () => {
  const column = (name: string, datatype: string, data: InputTensor["data"], shape = [1, 2]): InputTensor => ({
    name,
    datatype,
    shape,
    data,
  });

  it("is read in any order and mix of datatypes", () => {
    const a = column("a", "INT64", raw(BigInt64Array.of(-5n, 6n)));
    const b = column("b", "BOOL", { values: [true, 0] }, [2, 1]);
    expect(readInput(model(), [b, a])).toEqual({ rows: Float64Array.of(-5, 1, 6, 0), count: 2 });
  });

  it("carries texts and times as records", () => {
    const mixed = model({ columns: ["at", "a", "kind"], time: "at", textColumns: ["kind"] });
    expect(inputTensors(mixed).map(({ name, datatype }) => [name, datatype])).toEqual([
      ["at", "FP64"],
      ["a", "FP32"],
      ["kind", "BYTES"],
    ]);
    const tensors = [
      column("at", "INT64", raw(BigInt64Array.of(1000n, 2000n))),
      column("a", "FP64", { values: [1.5, null] }),
      column("kind", "BYTES", raw(texts("é", ""))),
    ];
    expect(readInput(mixed, tensors)).toEqual({
      records: [
        { at: "1970-01-01T00:00:01.000Z", a: 1.5, kind: "é" },
        { at: "1970-01-01T00:00:02.000Z", a: null, kind: "" },
      ],
    });
    expect(codeOf(() => readInput(mixed, [packed([1, 3], { values: [1, 2, 3] })]))).toBe("OST_REQUEST");
    expect(codeOf(() => readInput(mixed, [column("at", "FP32", { values: [1, 2] }), tensors[1], tensors[2]]))).toBe(
      "OST_REQUEST",
    );
  });

  it("is refused where one lacks, is there twice, is unknown, or is of another length", () => {
    const a = column("a", "FP64", { values: [1, 2] });
    const b = column("b", "FP64", { values: [1, 2] });
    expect(codeOf(() => readInput(model(), [a]))).toBe("OST_COLUMN");
    expect(codeOf(() => readInput(model(), [a, a, b]))).toBe("OST_REQUEST");
    expect(codeOf(() => readInput(model(), [a, { ...b, name: "c" }]))).toBe("OST_COLUMN");
    expect(codeOf(() => readInput(model(), [a, packed([1, 2], { values: [1, 2] })]))).toBe("OST_COLUMN");
    expect(codeOf(() => readInput(model(), [a, column("b", "FP64", { values: [1] }, [1, 1])]))).toBe("OST_REQUEST");
    expect(codeOf(() => readInput(model(), [a, column("b", "FP64", { values: [1, 2, 3, 4] }, [2, 2])]))).toBe("OST_REQUEST");
  });

  it("refuses values that a column of doubles would change", () => {
    const big = 2n ** 53n + 1n;
    const of = (datatype: string, data: InputTensor["data"]) =>
      codeOf(() => readInput(model({ columns: ["a"] }), [column("a", datatype, data, [1])]));
    expect(of("INT64", raw(BigInt64Array.of(big)))).toBe("OST_VALUE");
    expect(of("INT64", { values: [big] })).toBe("OST_VALUE");
    expect(of("INT32", { values: [2 ** 31] })).toBe("OST_VALUE");
    expect(of("INT32", { values: [0.5] })).toBe("OST_VALUE");
    expect(of("UINT8", { values: [-1] })).toBe("OST_VALUE");
    expect(of("FP32", { values: [1e39] })).toBe("OST_VALUE");
    expect(of("FP32", raw(Float32Array.of(Number.POSITIVE_INFINITY)))).toBe("OST_VALUE");
    expect(of("FP64", { values: ["1"] })).toBe("OST_VALUE");
    expect(of("BOOL", { values: [2] })).toBe("OST_VALUE");
    expect(of("BF16", { values: [1] })).toBe("OST_REQUEST");
    expect(of("toString", { values: [1] })).toBe("OST_REQUEST");
  });

  it("refuses texts that end too early, too late, or are no UTF-8", () => {
    const mixed = model({ columns: ["kind"], textColumns: ["kind"] });
    const of = (bytes: Buffer, shape = [1, 2]) =>
      codeOf(() => readInput(mixed, [column("kind", "BYTES", { raw: bytes }, shape)]));
    const good = texts("one", "two");
    expect(of(good)).toBe("none");
    for (let cut = 0; cut < good.length; cut++) expect(of(good.subarray(0, cut))).toBe("OST_REQUEST");
    expect(of(Buffer.concat([good, Buffer.of(0)]))).toBe("OST_REQUEST");
    expect(of(good, [1, 2 ** 30])).toBe("OST_REQUEST");
    expect(of(Buffer.concat([texts("a"), Buffer.from([1, 0, 0, 0, 0xff])]))).toBe("OST_VALUE");
  });
});

describe("any tensor at all", () => {
  const datatype = fc.constantFrom("FP32", "FP64", "INT8", "INT64", "UINT64", "BOOL", "BYTES", "FP16", "", "__proto__");
  const axis = fc.oneof(fc.integer({ min: -2, max: 6 }), fc.double(), fc.constantFrom(2 ** 31, 2 ** 53, 1e300));
  const data = fc.oneof(
    fc.record({ raw: fc.uint8Array({ maxLength: 64 }) }),
    fc.record({
      values: fc.array(fc.oneof(fc.double(), fc.bigInt(), fc.string(), fc.boolean(), fc.constant(null), fc.object()), {
        maxLength: 12,
      }),
    }),
  );
  const tensor = fc.record({
    name: fc.constantFrom("input", "a", "b", "kind", "__proto__"),
    datatype,
    shape: fc.array(axis, { maxLength: 5 }),
    data,
  });
  const models = [
    model(),
    model({ columns: ["a"] }),
    model({ columns: ["kind", "a"], textColumns: ["kind"] }),
    model({ columns: ["a", "b"], time: "a" }),
  ];

  it("is read or refused, and what is read has the model's columns", () => {
    const property = fc.property(fc.array(tensor, { maxLength: 3 }), fc.constantFrom(...models), (tensors, version) => {
      let input: ReturnType<typeof readInput>;
      try {
        input = readInput(version, tensors);
      } catch (error) {
        expect(error).toBeInstanceOf(OstinatoError);
        return;
      }
      if ("rows" in input) {
        expect(input.rows.length).toBe(input.count * version.columns.length);
        expect(input.rows.every((value) => Math.abs(value) !== Number.POSITIVE_INFINITY)).toBe(true);
      } else for (const record of input.records) expect(Object.keys(record)).toEqual(version.columns);
    });
    fc.assert(property, { numRuns: 5000 });
  });

  it("is read as it was written", () => {
    const numbers = fc.array(fc.oneof(fc.float({ noDefaultInfinity: true }), fc.constant(Number.NaN)), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(numbers, (values) => {
        const bytes = tensorBytes({
          name: "output",
          datatype: "FP32",
          shape: [1, values.length, 1],
          values: Float32Array.from(values),
        });
        const input = readInput(model({ columns: ["a"] }), [packed([1, values.length, 1], { raw: bytes }, "FP32")]);
        expect(input).toEqual({ rows: Float64Array.from(values), count: values.length });
      }),
    );
  });
});

describe("predictions", () => {
  const predictions = {
    count: 2,
    seq: Float64Array.of(1, 2),
    time: Float64Array.of(10, 20),
    values: Float64Array.of(0.25, 0.75, 0.5, 0.5),
  };
  const byName = (tensors: readonly OutputTensor[]) => Object.fromEntries(tensors.map((tensor) => [tensor.name, tensor]));

  it("are probabilities, labels and times", () => {
    const timed = model({ time: "at", columns: ["at", "a"] });
    const { output, label, time } = byName(writeOutput(timed, predictions));
    expect(output).toMatchObject({ datatype: "FP32", shape: [1, 2, 2], values: Float32Array.of(0.25, 0.75, 0.5, 0.5) });
    expect(label).toMatchObject({ datatype: "BYTES", shape: [1, 2], values: ["yes", "no"] });
    expect(time).toMatchObject({ datatype: "FP64", shape: [1, 2], values: Float64Array.of(10, 20) });
    expect(outputTensors(timed).map(({ name }) => name)).toEqual(["output", "label", "time"]);
    expect([...tensorBytes(label)]).toEqual([...texts("yes", "no")]);
  });

  it("are told in the order asked for, and no others", () => {
    expect(writeOutput(model(), predictions, ["label", "output"]).map(({ name }) => name)).toEqual(["label", "output"]);
    expect(codeOf(() => writeOutput(model(), predictions, ["time"]))).toBe("OST_REQUEST");
    expect(codeOf(() => writeOutput(model(), predictions, ["output", "output"]))).toBe("OST_REQUEST");
    expect(outputTensors(model({ task: "forecast", classes: [] })).map(({ name }) => name)).toEqual(["output"]);
  });

  it("may be none yet", () => {
    const none = { count: 0, seq: new Float64Array(0), time: new Float64Array(0), values: new Float64Array(0) };
    for (const tensor of writeOutput(model(), none)) {
      expect(tensor.shape[1]).toBe(0);
      expect(tensorBytes(tensor).length).toBe(0);
    }
  });
});
