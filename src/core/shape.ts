/** @file Shapes: lists of non-negative axis sizes, and what can be said of them without data. */
import { OstinatoError } from "./errors.js";

export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const axis of shape) size *= axis;
  return size;
}

/** For messages: "[32, 100, 8]", or with names "[batch 32, time 100, features 8]". */
export function describeShape(shape: Shape, names?: readonly string[]): string {
  return `[${shape.map((axis, i) => (names?.[i] ? `${names[i]} ${axis}` : `${axis}`)).join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((axis, i) => axis === b[i]);
}

/** The shape two operands broadcast to, axes aligned at the right as in NumPy. @throws OST_SHAPE */
export function broadcastShapes(a: Shape, b: Shape, where: string): number[] {
  const rank = Math.max(a.length, b.length);
  const result: number[] = new Array(rank);
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1;
    const y = b[b.length - i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new OstinatoError("OST_SHAPE", {
        what: "shapes do not broadcast",
        expected: `axes equal or 1, aligned at the right`,
        got: `${describeShape(a)} and ${describeShape(b)}`,
        where,
      });
    }
    result[rank - i] = x === 1 ? y : x;
  }
  return result;
}

/** Row-major strides of a shape when read as `target` by broadcasting: 0 along axes it lacks or has as 1. */
export function broadcastStrides(shape: Shape, target: Shape): number[] {
  const strides: number[] = new Array(target.length).fill(0);
  let stride = 1;
  for (let i = 1; i <= shape.length; i++) {
    const axis = shape[shape.length - i];
    strides[target.length - i] = axis === 1 ? 0 : stride;
    stride *= axis;
  }
  return strides;
}

/** An axis given as -rank .. rank-1 as 0 .. rank-1. @throws OST_RANGE */
export function normalizeAxis(axis: number, rank: number, where: string): number {
  const normalized = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normalized < 0 || normalized >= rank) {
    throw new OstinatoError("OST_RANGE", { what: "no such axis", expected: `-${rank} .. ${rank - 1}`, got: String(axis), where });
  }
  return normalized;
}
