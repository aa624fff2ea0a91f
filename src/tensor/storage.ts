/**
 * @file Who owns a block of engine memory, and for how long.
 *
 * A `scope` owns what is allocated inside it and frees it at its end, except what it returns. Outside any scope, and for `persistent`
 * blocks such as parameters, the garbage collector decides. That is the whole memory interface: nothing has a dispose method.
 */
import { OstinatoError } from "../core/errors.js";
import type { Memory, Pointer } from "../kernels/index.js";

/** A block of engine memory; tensors that view the same values share one. */
export class Storage {
  released = false;
  /** True while no scope owns it: then the garbage collector gives the block back. */
  collected = false;
  constructor(
    readonly memory: Memory,
    readonly pointer: Pointer,
  ) {}
}

interface Scope {
  storages: Storage[];
  records: boolean;
}

const scopes: Scope[] = [];
const collected = new FinalizationRegistry<{ memory: Memory; pointer: Pointer }>(({ memory, pointer }) => memory.free(pointer));

/** Takes a block that the innermost scope owns; `persistent` blocks live as long as somebody holds them. */
export function allocate(memory: Memory, bytes: number, { persistent = false } = {}): Storage {
  const storage = new Storage(memory, memory.allocate(bytes));
  adopt(storage, persistent ? undefined : scopes[scopes.length - 1]);
  return storage;
}

/** True when operations should keep what a backward pass needs. */
export function isRecording(): boolean {
  return scopes.length === 0 || scopes[scopes.length - 1].records;
}

/**
 * Runs a function and frees the tensors it made, except those in its result (found in plain objects, arrays and maps), which pass to the
 * enclosing scope. The function must be synchronous.
 *
 * @throws OST_MEMORY if the function returns a promise.
 */
export function scope<T>(run: () => T): T {
  return within({ storages: [], records: isRecording() }, run);
}

/** A scope whose operations keep nothing for a backward pass: less memory, same numbers. */
export function inference<T>(run: () => T): T {
  return within({ storages: [], records: false }, run);
}

function within<T>(current: Scope, run: () => T): T {
  scopes.push(current);
  const depth = scopes.length;
  const kept = new Set<Storage>();
  try {
    const result = run();
    if (typeof (result as { then?: unknown } | undefined)?.then === "function") {
      throw new OstinatoError("OST_MEMORY", {
        what: "a scope must be synchronous",
        got: "a promise",
        where: "scope",
        repair: "await outside, and wrap only the computation in scope(() => ...)",
      });
    }
    // Searched inside the scope: reading a lazy part of the result computes tensors, and they belong here.
    findStorages(result, kept, 0);
    return result;
  } finally {
    scopes.length = depth - 1;
    const outer = scopes[scopes.length - 1];
    for (const storage of current.storages) {
      if (kept.has(storage)) adopt(storage, outer);
      else release(storage);
    }
  }
}

/** Gives a block back before its scope ends; for the system's own short-lived gradients. */
export function release(storage: Storage): void {
  if (storage.released) return;
  storage.released = true;
  if (storage.collected) collected.unregister(storage);
  storage.memory.free(storage.pointer);
}

function adopt(storage: Storage, owner: Scope | undefined): void {
  storage.collected = owner === undefined;
  if (owner) owner.storages.push(storage);
  else collected.register(storage, { memory: storage.memory, pointer: storage.pointer }, storage);
}

const MAX_DEPTH = 6;

function findStorages(value: unknown, found: Set<Storage>, depth: number): void {
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return;
  if ("storage" in value && value.storage instanceof Storage) {
    found.add(value.storage);
  } else if (Array.isArray(value)) {
    for (const item of value) findStorages(item, found, depth + 1);
  } else if (value instanceof Map) {
    for (const item of value.values()) findStorages(item, found, depth + 1);
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) findStorages(item, found, depth + 1);
  }
}
