/**
 * @file An engine whose every array has walls: between the arrays of the one memory lies poison, so that AddressSanitizer stops the kernel that
 * reads or writes one byte beside what it was given. For addons built with OSTINATO_SANITIZED.
 *
 * Scratch is lent anew for every call, exactly as large as the call wants, and like all fresh memory it holds NaN: a kernel that reads what
 * nobody wrote shows in its result.
 */
import type { NativeAddon } from "../../src/kernels/addon-file.js";
import { CompiledKernels } from "../../src/kernels/compiled.js";
import type { Pointer } from "../../src/kernels/kernels.js";
import { Memory } from "../../src/kernels/memory.js";

export interface SanitizedAddon extends NativeAddon {
  poison(memory: Uint8Array, offset: number, bytes: number): void;
  unpoison(memory: Uint8Array, offset: number, bytes: number): void;
}

/** Poisoned bytes before and after every array, beside what the allocator keeps for itself. */
const WALL = 4096;
const FRESH = 0xff;

class GuardedMemory extends Memory {
  readonly #addon: SanitizedAddon;
  readonly #bytesAt = new Map<Pointer, number>();
  #poisoned = 0;
  #lent: Pointer = 0;
  #lentBytes = 0;

  constructor(addon: SanitizedAddon) {
    super("float32");
    this.#addon = addon;
    this.#poisonNew();
  }

  override allocate(bytes: number): Pointer {
    const pointer = super.allocate(bytes + 2 * WALL) + WALL;
    this.#poisonNew();
    this.#addon.unpoison(this.bytes, pointer, bytes);
    this.bytes.fill(FRESH, pointer, pointer + bytes);
    this.#bytesAt.set(pointer, bytes);
    return pointer;
  }

  override free(pointer: Pointer): void {
    this.#addon.poison(this.bytes, pointer, this.#bytesAt.get(pointer) as number);
    this.#bytesAt.delete(pointer);
    super.free(pointer - WALL);
  }

  override get scratchBytes(): number {
    return this.#lentBytes;
  }

  override scratch(bytes: number): Pointer {
    this.dropScratch();
    this.#lentBytes = bytes;
    this.#lent = this.allocate(bytes);
    return this.#lent;
  }

  dropScratch(): void {
    if (this.#lent !== 0) this.free(this.#lent);
    this.#lent = this.#lentBytes = 0;
  }

  #poisonNew(): void {
    if (this.byteLength > this.#poisoned) this.#addon.poison(this.bytes, this.#poisoned, this.byteLength - this.#poisoned);
    this.#poisoned = this.byteLength;
  }
}

export class GuardedKernels extends CompiledKernels {
  readonly name = "native";
  readonly isa: string;
  readonly detail: string;
  readonly #addon: SanitizedAddon;

  constructor(addon: SanitizedAddon) {
    super(new GuardedMemory(addon));
    this.#addon = addon;
    this.isa = addon.isa;
    this.detail = `${addon.isa}, guarded`;
  }

  protected override run(block: Pointer, context: Pointer): number {
    const wanted = this.#addon.run(this.memory.bytes, block, context);
    if (wanted === 0) {
      (this.memory as GuardedMemory).dropScratch();
      this.memory.ints.fill(0, context / 4, context / 4 + 2);
    }
    return wanted;
  }
}
