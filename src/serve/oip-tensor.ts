/**
 * @file Tensors of the Open Inference Protocol (KServe v2): named, typed, shaped, their data as JSON values or as little-endian bytes.
 *
 * A model takes one tensor `input`, [1, steps, columns], [steps, columns] or, of one step, [1, columns], with the columns in the order of the
 * model's metadata; or one tensor per column, named as it, [steps] or [1, steps] with axes of 1 anywhere. Models with columns of texts take
 * only the latter, those columns as BYTES. A time is the first column, in ms since 1970, which FP32 cannot hold: it wants FP64.
 *
 * It answers with `output` [1, predictions, outputSize] (FP32), for classes also `label` [1, predictions] (BYTES), and with times `time`
 * [1, predictions] (FP64, ms since 1970). A request of n steps has n predictions, unless the model's grid or window says otherwise.
 */
import { OstinatoError } from "../core/errors.js";
import { decidedClass } from "../model/calibrated.js";
import type { RawRecord } from "../model/stream.js";
import type { ModelVersion } from "./engine.js";
import type { Predictions, StepInput } from "./operation.js";

/** Bytes of an element; 0: each its own. */
const ELEMENT_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
} as const;

export type Datatype = keyof typeof ELEMENT_BYTES;

/** A tensor as it came: its data either raw or as a flat list of values, in row-major order. */
export interface InputTensor {
  name: string;
  datatype: string;
  shape: readonly number[];
  data: { raw: Uint8Array } | { values: ArrayLike<unknown> };
}

export interface OutputTensor {
  name: string;
  datatype: Datatype;
  shape: number[];
  values: Float32Array | Float64Array | readonly string[];
}

/** A tensor of a model's metadata. -1: any length. */
export interface TensorFacts {
  name: string;
  datatype: Datatype;
  shape: number[];
}

const PACKED = "input";
const MAX_RANK = 8;
/** More than any message can hold. */
const MAX_ELEMENTS = 2 ** 31 - 1;
/** Longest time that a date can be, ms. */
const LONGEST_TIME = 8.64e15;

const refuse = (tensor: string, what: string, facts: { expected?: string; got?: string; repair?: string } = {}) =>
  new OstinatoError("OST_REQUEST", { what, where: `input ${JSON.stringify(tensor)}`, ...facts });

/** The tensors that a model takes. */
export function inputTensors({ columns, time, textColumns }: ModelVersion): TensorFacts[] {
  if (textColumns.length === 0) {
    return [{ name: PACKED, datatype: time === null ? "FP32" : "FP64", shape: [1, -1, columns.length] }];
  }
  const datatypeOf = (column: string) => (textColumns.includes(column) ? "BYTES" : column === time ? "FP64" : "FP32");
  return columns.map((name) => ({ name, datatype: datatypeOf(name), shape: [1, -1] }));
}

/** The tensors that a model answers with. */
export function outputTensors({ classes, time, outputSize }: ModelVersion): TensorFacts[] {
  const tensors: TensorFacts[] = [{ name: "output", datatype: "FP32", shape: [1, -1, outputSize] }];
  if (classes.length > 0) tensors.push({ name: "label", datatype: "BYTES", shape: [1, -1] });
  if (time !== null) tensors.push({ name: "time", datatype: "FP64", shape: [1, -1] });
  return tensors;
}

/**
 * The records that tensors hold. NaN, and null in JSON, is a missing value.
 *
 * @throws OST_REQUEST shapes, datatypes or lengths that do not fit; OST_COLUMN for tensors that the model does not have; OST_VALUE for
 *   values that no column can hold.
 */
export function readInput(model: ModelVersion, tensors: readonly InputTensor[]): StepInput {
  const { columns, textColumns, time } = model;
  const packed = tensors.length === 1 && tensors[0].name === PACKED && !(columns.length === 1 && columns[0] === PACKED);
  if (!packed) return readColumns(model, tensors);
  const [tensor] = tensors;
  if (textColumns.length > 0) {
    throw refuse(PACKED, "one tensor of numbers cannot hold this model's columns of texts", {
      expected: `a tensor per column, BYTES for "${textColumns.join('", "')}"`,
    });
  }
  const count = packedSteps(tensor, columns.length);
  if (time !== null && tensor.datatype !== "FP64") {
    throw refuse(PACKED, `the first column, "${time}", is a time in ms since 1970, which ${tensor.datatype} cannot hold`, {
      expected: "FP64",
      got: tensor.datatype,
      repair: "send the tensor as FP64, or a tensor per column with the time as FP64 or INT64",
    });
  }
  return { rows: readNumbers(tensor, count * columns.length), count };
}

/** Steps of a tensor [1, steps, columns], [steps, columns] or [columns]. */
function packedSteps({ name, shape }: InputTensor, columns: number): number {
  checkedSize(name, shape);
  const last = shape.at(-1);
  const steps = shape.length === 1 ? 1 : shape.at(-2);
  const fits = last === columns && shape.length <= 3 && (shape.length < 3 || shape[0] === 1);
  if (fits && steps !== undefined && steps > 0) return steps;
  throw refuse(name, `unexpected shape for input '${name}'`, {
    expected: `[1, steps, ${columns}] or [steps, ${columns}], with at least one step`,
    got: `[${shape.join(", ")}]`,
    repair: "send one sequence per request, its columns in the order of the model's metadata",
  });
}

function readColumns({ columns, textColumns, time }: ModelVersion, tensors: readonly InputTensor[]): StepInput {
  const byName = new Map<string, InputTensor>();
  for (const tensor of tensors) {
    if (!columns.includes(tensor.name)) {
      throw new OstinatoError("OST_COLUMN", {
        what: `unexpected inference input '${tensor.name}'`,
        expected: `${textColumns.length === 0 ? `one tensor "${PACKED}", or ` : ""}a tensor for each of "${columns.join('", "')}"`,
        got: tensors.map(({ name }) => name).join(", "),
        where: "inputs",
      });
    }
    if (byName.has(tensor.name)) throw refuse(tensor.name, "the tensor is there twice");
    byName.set(tensor.name, tensor);
  }
  const inOrder = columns.map((column) => {
    const tensor = byName.get(column);
    if (tensor) return tensor;
    throw new OstinatoError("OST_COLUMN", {
      what: `expected ${columns.length} inputs but got ${tensors.length}: there is no tensor for a column`,
      expected: `a tensor "${column}"`,
      where: "inputs",
      repair: "send a tensor for every column, NaN (or null in JSON) where its value is missing",
    });
  });
  const count = columnSteps(inOrder[0]);
  for (const tensor of inOrder) {
    if (columnSteps(tensor) === count) continue;
    throw refuse(tensor.name, "the columns are not of one length", {
      expected: `${count} steps`,
      got: `[${tensor.shape.join(", ")}]`,
    });
  }
  const timeTensor = time === null ? undefined : byName.get(time);
  if (timeTensor && !["FP64", "INT64", "UINT64", "BYTES"].includes(timeTensor.datatype)) {
    throw refuse(timeTensor.name, `a time in ms since 1970, which ${timeTensor.datatype} cannot hold`, {
      expected: "FP64 or INT64",
    });
  }
  if (inOrder.every(({ name, datatype }) => datatype !== "BYTES" && !textColumns.includes(name))) {
    const rows = new Float64Array(count * columns.length);
    for (const [c, tensor] of inOrder.entries()) {
      const numbers = readNumbers(tensor, count);
      for (let t = 0; t < count; t++) rows[t * columns.length + c] = numbers[t];
    }
    return { rows, count };
  }
  const cells = inOrder.map((tensor) => cellsOf(tensor, count, tensor.name === time));
  const records = Array.from(
    { length: count },
    (_, t) => Object.fromEntries(columns.map((column, c) => [column, cells[c][t]])) as RawRecord,
  );
  return { records };
}

/** Steps of a tensor of one column: at most one axis is longer than 1. */
function columnSteps({ name, shape }: InputTensor): number {
  const size = checkedSize(name, shape);
  if (size > 0 && shape.filter((length) => length > 1).length <= 1) return size;
  throw refuse(name, `unexpected shape for input '${name}'`, {
    expected: "[1, steps], with at least one step",
    got: `[${shape.join(", ")}]`,
    repair: "send one sequence per request",
  });
}

/** Product of a shape's axes. */
function checkedSize(name: string, shape: readonly number[]): number {
  let size = 1;
  const bad = shape.length < 1 || shape.length > MAX_RANK;
  for (const length of shape) {
    if (bad || !Number.isInteger(length) || length < 0 || length > MAX_ELEMENTS || (size *= length) > MAX_ELEMENTS) {
      size = -1;
      break;
    }
  }
  if (!bad && size >= 0) return size;
  throw refuse(name, "a shape that no tensor can have", {
    expected: `1 to ${MAX_RANK} axes, none negative, of at most ${MAX_ELEMENTS} elements`,
    got: `[${shape.slice(0, MAX_RANK + 1).join(", ")}]`,
  });
}

function cellsOf(tensor: InputTensor, count: number, isTime: boolean): (string | number | null)[] {
  if (tensor.datatype === "BYTES") return readTexts(tensor, count);
  const numbers = readNumbers(tensor, count);
  return Array.from(numbers, (value) => (Number.isNaN(value) ? null : isTime ? isoTime(tensor, value) : value));
}

/** A record's time is a text, since a small number would be taken for seconds. */
function isoTime({ name }: InputTensor, value: number): string {
  if (Number.isInteger(value) && Math.abs(value) <= LONGEST_TIME) return new Date(value).toISOString();
  throw new OstinatoError("OST_VALUE", {
    what: "not a time",
    expected: "whole ms since 1970",
    got: String(value),
    where: `input ${JSON.stringify(name)}`,
  });
}

type Reader = (view: DataView, at: number) => number | bigint;

const READERS: Record<Exclude<Datatype, "BYTES">, Reader> = {
  BOOL: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
  UINT8: (view, at) => view.getUint8(at),
  UINT16: (view, at) => view.getUint16(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  UINT64: (view, at) => view.getBigUint64(at, true),
  INT8: (view, at) => view.getInt8(at),
  INT16: (view, at) => view.getInt16(at, true),
  INT32: (view, at) => view.getInt32(at, true),
  INT64: (view, at) => view.getBigInt64(at, true),
  FP32: (view, at) => view.getFloat32(at, true),
  FP64: (view, at) => view.getFloat64(at, true),
};

const WHOLE_RANGE: Partial<Record<Datatype, [number, number]>> = {
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffffffff],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x80000000, 0x7fffffff],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** [count] Numbers of a tensor. @throws OST_REQUEST, OST_VALUE. */
function readNumbers(tensor: InputTensor, count: number): Float64Array {
  const { name, datatype, data } = tensor;
  if (!Object.hasOwn(ELEMENT_BYTES, datatype) || datatype === "BYTES") {
    throw refuse(name, `unexpected datatype '${datatype}' for a column of numbers`, {
      expected: Object.keys(READERS).join(", "),
      got: datatype,
    });
  }
  const type = datatype as Exclude<Datatype, "BYTES">;
  if ("values" in data) {
    checkLength(tensor, data.values.length, count, "elements");
    const numbers = new Float64Array(count);
    for (let i = 0; i < count; i++) numbers[i] = numberOf(tensor, type, data.values[i], i);
    return numbers;
  }
  const size = ELEMENT_BYTES[type];
  checkLength(tensor, data.raw.byteLength, count * size, "bytes");
  const numbers = new Float64Array(count);
  const view = new DataView(data.raw.buffer, data.raw.byteOffset, data.raw.byteLength);
  const read = READERS[type];
  for (let i = 0; i < count; i++) {
    const value = read(view, i * size);
    const number = Number(value);
    if (Math.abs(number) === Number.POSITIVE_INFINITY)
      throw badValue(tensor, i, String(value), "a finite number, or NaN where it is missing");
    if (typeof value === "bigint" && !Number.isSafeInteger(number)) throw notExact(tensor, i, value);
    numbers[i] = number;
  }
  return numbers;
}

function numberOf(tensor: InputTensor, type: Exclude<Datatype, "BYTES">, value: unknown, index: number): number {
  if (type === "BOOL") {
    if (typeof value === "boolean") return value ? 1 : 0;
    if (value === 0 || value === 1) return value;
    throw badValue(tensor, index, String(value).slice(0, 40), "true or false");
  }
  const range = WHOLE_RANGE[type];
  if (!range) {
    if (value === null) return Number.NaN;
    const given = typeof value === "bigint" ? Number(value) : value;
    // FP32 in JSON is rounded as it is in a raw tensor, so that both give the same bits.
    const number = typeof given === "number" && type === "FP32" ? Math.fround(given) : given;
    if (typeof number === "number" && Math.abs(number) !== Number.POSITIVE_INFINITY) return number;
    throw badValue(tensor, index, describe(value), "a finite number, or null where it is missing");
  }
  if (typeof value === "bigint") throw notExact(tensor, index, value);
  if (typeof value === "number" && Number.isInteger(value)) {
    if (value >= range[0] && value <= range[1]) return value;
    if (!Number.isSafeInteger(value)) throw notExact(tensor, index, value);
  }
  throw badValue(tensor, index, describe(value), `a whole number from ${range[0]} to ${range[1]}`);
}

function describe(value: unknown): string {
  return typeof value === "number" || typeof value === "bigint"
    ? String(value).slice(0, 40)
    : value === null
      ? "null"
      : typeof value;
}

function badValue({ name, datatype }: InputTensor, index: number, got: string, expected: string): OstinatoError {
  return new OstinatoError("OST_VALUE", {
    what: `not a value of ${datatype} that a column can hold`,
    expected,
    got,
    where: `input ${JSON.stringify(name)}, element ${index}`,
  });
}

function notExact(tensor: InputTensor, index: number, value: number | bigint): OstinatoError {
  return badValue(
    tensor,
    index,
    String(value).slice(0, 40),
    `a whole number of at most ${Number.MAX_SAFE_INTEGER}: columns are doubles`,
  );
}

/** [count] Texts of a BYTES tensor, null where JSON holds null. @throws OST_REQUEST, OST_VALUE. */
function readTexts(tensor: InputTensor, count: number): (string | null)[] {
  const { data } = tensor;
  if ("raw" in data) return readRawTexts(tensor, data.raw, count);
  checkLength(tensor, data.values.length, count, "elements");
  return Array.from(data.values, (value, index) => {
    if (value === null || typeof value === "string") return value;
    if (value instanceof Uint8Array) return textOf(tensor, value, index);
    throw badValue(tensor, index, typeof value, "a text");
  });
}

/** Each element: its length in four bytes, little-endian, then its bytes. */
function readRawTexts(tensor: InputTensor, raw: Uint8Array, count: number): string[] {
  // Four bytes each at least: checked before anything is made as long as the shape says.
  if (count * 4 > raw.byteLength) checkLength(tensor, raw.byteLength, count * 4, "bytes at least");
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const texts: string[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const length = at + 4 <= raw.byteLength ? view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    at += 4;
    if (at + length > raw.byteLength) {
      throw refuse(tensor.name, "the data end before the last element", {
        got: `element ${i} of ${count} ends after ${raw.byteLength} bytes`,
      });
    }
    texts.push(textOf(tensor, raw.subarray(at, at + length), i));
    at += length;
  }
  checkLength(tensor, raw.byteLength, at, "bytes");
  return texts;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(tensor: InputTensor, bytes: Uint8Array, index: number): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw badValue(tensor, index, "other bytes", "UTF-8");
  }
}

function checkLength({ name, shape, datatype }: InputTensor, got: number, expected: number, unit: string): void {
  if (got === expected) return;
  throw refuse(name, `the data are not as long as the shape [${shape.join(", ")}] of ${datatype} says`, {
    expected: `${expected} ${unit}`,
    got: `${got}`,
  });
}

/**
 * Predictions as tensors.
 *
 * @param wanted names in the order wanted; default all.
 * @throws OST_REQUEST for an output that the model does not have.
 */
export function writeOutput(model: ModelVersion, predictions: Predictions, wanted?: readonly string[]): OutputTensor[] {
  const { count, values, time } = predictions;
  checkOutputs(model, wanted ?? []);
  // Of a session that is pinned to another version, the predictions say themselves how long each is.
  const size = count === 0 ? model.outputSize : values.length / count;
  const names = wanted ?? outputTensors(model).map(({ name }) => name);
  return names.map((name) => {
    if (name === "output") return { name, datatype: "FP32", shape: [1, count, size], values: new Float32Array(values) };
    if (name === "time") return { name, datatype: "FP64", shape: [1, count], values: time };
    const labels = Array.from(
      { length: count },
      (_, i) => model.classes[decidedClass(values.subarray(i * size, (i + 1) * size), model.threshold)] ?? "",
    );
    return { name, datatype: "BYTES", shape: [1, count], values: labels };
  });
}

/** @throws OST_REQUEST for an output that the model does not have. */
export function checkOutputs(model: ModelVersion, wanted: readonly string[]): void {
  if (wanted.length === 0) return;
  const known = outputTensors(model).map(({ name }) => name);
  for (const [index, name] of wanted.entries()) {
    if (known.includes(name) && wanted.indexOf(name) === index) continue;
    throw new OstinatoError("OST_REQUEST", {
      what: known.includes(name) ? `the output '${name}' is asked twice` : `unexpected inference output '${name}'`,
      expected: known.join(", "),
      got: name,
      where: "outputs",
    });
  }
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** A tensor's data as little-endian bytes; texts each behind its length in four bytes. */
export function tensorBytes({ values }: OutputTensor): Buffer {
  if (values instanceof Float32Array || values instanceof Float64Array) {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    if (LITTLE_ENDIAN) return bytes;
    return values instanceof Float32Array ? Buffer.from(bytes).swap32() : Buffer.from(bytes).swap64();
  }
  const parts = values.flatMap((text) => {
    const bytes = Buffer.from(text, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}
