/** @file Float arrays as safetensors entries and back. */
import { OstinatoError } from "../core/errors.js";
import type { SafetensorsTensor } from "./safetensors.js";

export function floatEntry(data: Float32Array | Float64Array, shape: readonly number[]): SafetensorsTensor {
  const dtype = data instanceof Float32Array ? "F32" : "F64";
  return { dtype, shape: [...shape], data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** @throws OST_MODEL_FILE unless the entry holds F32 or F64. */
export function floatsOf({ dtype, data }: SafetensorsTensor): Float32Array | Float64Array {
  // A copy, also of a Node Buffer, whose own slice would be a view.
  const bytes = new Uint8Array(data).buffer;
  if (dtype === "F32") return new Float32Array(bytes);
  if (dtype === "F64") return new Float64Array(bytes);
  throw new OstinatoError("OST_MODEL_FILE", { what: "a float tensor is wanted", expected: "F32 or F64", got: dtype });
}
