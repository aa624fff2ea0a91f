/** @file A part of a model: it finds its own parameters and those of its parts, and names them by their path as PyTorch does. */
import { nearest, OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import { Parameter } from "../tensor/index.js";

/** A parameter's values under its path, for saving. */
export interface StateDictEntry {
  shape: readonly number[];
  data: Float32Array | Float64Array;
}

export abstract class Module {
  #engine: Kernels | null = null;

  /** Every parameter under its path ("lstm.weight_ih_l0"), in the order of declaration. */
  namedParameters(): Map<string, Parameter> {
    const found = new Map<string, Parameter>();
    collect(this, "", found);
    // A part that lists its own parameters does not shorten the names they have in the whole.
    for (const [name, parameter] of found) if (!parameter.name.endsWith(name)) parameter.name = name;
    return found;
  }

  parameters(): Parameter[] {
    return [...this.namedParameters().values()];
  }

  /** Number of trainable values. */
  parameterCount(): number {
    return this.parameters().reduce((total, { size }) => total + size, 0);
  }

  /** The engine its parameters live on. @throws OST_ENGINE for a module without parameters. */
  get engine(): Kernels {
    if (this.#engine === null) {
      const first = this.parameters()[0];
      if (!first) throw new OstinatoError("OST_ENGINE", { what: "a module without parameters has no engine" });
      this.#engine = first.engine;
    }
    return this.#engine;
  }

  /** Copies of all values. */
  stateDict(): Map<string, StateDictEntry> {
    const entries = new Map<string, StateDictEntry>();
    for (const [name, parameter] of this.namedParameters()) {
      entries.set(name, { shape: parameter.shape, data: parameter.floats().slice() });
    }
    return entries;
  }

  /** Overwrites all values. @throws OST_SHAPE if a name is missing, unknown or of another shape; nothing is changed then. */
  loadStateDict(entries: ReadonlyMap<string, StateDictEntry>): void {
    const own = this.namedParameters();
    for (const name of entries.keys()) {
      if (!own.has(name)) {
        throw new OstinatoError("OST_SHAPE", {
          what: `the model has no parameter "${name}"`,
          expected: nearest(name, [...own.keys()]) ?? "one of its own names",
          where: "loadStateDict",
        });
      }
    }
    for (const [name, parameter] of own) {
      const entry = entries.get(name);
      if (!entry || describeShape(entry.shape) !== describeShape(parameter.shape)) {
        throw new OstinatoError("OST_SHAPE", {
          what: `parameter "${name}" does not fit`,
          expected: describeShape(parameter.shape),
          got: entry ? describeShape(entry.shape) : "nothing",
          where: "loadStateDict",
        });
      }
    }
    for (const [name, parameter] of own) parameter.assign((entries.get(name) as StateDictEntry).data);
  }
}

/** Each object is visited once, so a parameter that two parts share is listed under the first name it is met by. */
function collect(value: unknown, path: string, found: Map<string, Parameter>, seen = new Set<unknown>()): void {
  if (seen.has(value)) return;
  const inside = (key: string | number) => (path === "" ? String(key) : `${path}.${key}`);
  if (value instanceof Parameter) {
    seen.add(value);
    found.set(path, value);
  } else if (value instanceof Module || isPlain(value)) {
    seen.add(value);
    for (const [key, part] of Object.entries(value as object)) collect(part, inside(key), found, seen);
  } else if (Array.isArray(value)) {
    seen.add(value);
    for (const [i, part] of value.entries()) collect(part, inside(i), found, seen);
  }
}

function isPlain(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
