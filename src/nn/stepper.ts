/**
 * @file One time step of one row, outside autograd: what a session runs for every record.
 *
 * A recurrent layer, alone or with a linear head, runs as one recorded program of kernel calls over one set of blocks in the engine's
 * memory, which all sessions of the network share, as they share its packed weights: a session's own part is its state, which goes in before
 * the program and comes out behind it. Any other network runs through its `forward`.
 *
 * Laws: stepping through a sequence gives, bit for bit, what `forward` gives on the whole of it; sessions interleaved in any order give what
 * each gives alone.
 */
import { OstinatoError } from "../core/errors.js";
import { type FloatArray, type Kernels, NULL, type Pointer, type Program } from "../kernels/index.js";
import { inference, tensor } from "../tensor/index.js";
import { allocate, type Storage } from "../tensor/storage.js";
import type { EmbeddedColumns } from "./embedded-columns.js";
import type { Linear } from "./linear.js";
import type { SequenceModel } from "./model.js";
import { RecurrentNetwork } from "./network.js";
import { RecurrentLayer } from "./recurrent-layer.js";
import { flattenState, stateWidth, unflattenState } from "./state.js";

export interface Stepper {
  /**
   * @param x     one time step, [inputSize]
   * @param state laid out as by `flattenState`, [stateWidth]; advanced in place.
   * @returns the output, [outputSize], an array of its own. Null if x, the output or the new state is not finite: `state` is as before then.
   * @throws OST_SHAPE if x has another width, OST_RANGE if a code is no row of its table; `state` is as before.
   */
  step(x: ArrayLike<number>, state: Float32Array): Float32Array | null;
}

const steppers = new WeakMap<SequenceModel, Stepper>();

/** The one stepper of a causal network. */
export function stepperOf(network: SequenceModel): Stepper {
  let stepper = steppers.get(network);
  if (stepper === undefined) {
    if (network instanceof RecurrentNetwork && network.forward === RecurrentNetwork.prototype.forward) {
      stepper = new RecurrentStepper(network.recurrent, network.head, network.embedding);
    } else if (network instanceof RecurrentLayer && network.forward === RecurrentLayer.prototype.forward) {
      stepper = new RecurrentStepper(network, null);
    } else {
      stepper = new ForwardStepper(network);
    }
    steppers.set(network, stepper);
  }
  return stepper;
}

/** Frees the programs of steppers that are gone. */
const programs = new FinalizationRegistry<Program>((program) => program.free());

/** Floats between two arrays that kernels read or write: what a cache line and the widest vector hold. */
const ALIGNMENT = 16;

class RecurrentStepper implements Stepper {
  readonly #engine: Kernels;
  readonly #layer: RecurrentLayer;
  readonly #head: Linear | null;
  readonly #embedding: EmbeddedColumns | null;
  readonly #storage: Storage;
  /** Places of the arrays, in floats behind the storage's beginning. What must be finite lies at the front: x, the new state, the output. */
  readonly #places: { next: number; output: number; state: number; hidden: number };
  readonly #stateWidth: number;
  readonly #outputSize: number;
  /** int32s: the row's length, and whether all was finite. */
  readonly #length: Pointer;
  readonly #finite: Pointer;
  #program: Program | null = null;
  /** What the program was recorded for, layer by layer. */
  readonly #recorded: ReturnType<RecurrentLayer["stepArgs"]>[] = [];
  #packedHead: Pointer = NULL;
  /** The memory that the views below are of: it changes when the memory grows. */
  #floats: FloatArray | null = null;
  #x!: FloatArray;
  #state!: FloatArray;
  #next!: FloatArray;
  #output!: FloatArray;

  constructor(layer: RecurrentLayer, head: Linear | null, embedding: EmbeddedColumns | null = null) {
    this.#engine = layer.engine;
    this.#layer = layer;
    this.#head = head;
    this.#embedding = embedding;
    this.#stateWidth = stateWidth(layer.stateSpec);
    this.#outputSize = head ? head.weight.shape[0] : layer.hiddenSize;
    const { memory } = this.#engine;
    const next = aligned(layer.inputSize);
    const output = next + aligned(this.#stateWidth);
    const state = output + aligned(this.#outputSize);
    const hidden = state + aligned(this.#stateWidth);
    const count = hidden + layer.numLayers * aligned(layer.hiddenSize);
    this.#places = { next, output, state, hidden };
    this.#storage = allocate(memory, count * memory.bytesPerFloat + 8, { persistent: true });
    // The gaps between arrays are checked with them.
    memory.floatsAt(this.#storage.pointer, count).fill(0);
    this.#length = this.#storage.pointer + count * memory.bytesPerFloat;
    this.#finite = this.#length + 4;
    memory.ints[this.#length / 4] = 1;
  }

  step(x: ArrayLike<number>, state: Float32Array): Float32Array | null {
    const { inputSize } = this.#embedding?.layout ?? this.#layer;
    if (x.length !== inputSize) {
      throw new OstinatoError("OST_SHAPE", {
        what: "a step wants one value per input feature",
        expected: `${inputSize} values`,
        got: String(x.length),
        where: "step",
        repair: "did the column list change after training?",
      });
    }
    const program = this.#current();
    const { memory } = this.#engine;
    if (this.#floats !== memory.floats) this.#takeViews();
    if (this.#embedding === null) this.#x.set(x);
    else if (!this.#embedding.lookUp(x, this.#x)) return null;
    this.#state.set(state);
    program.run();
    if (this.#floats !== memory.floats) this.#takeViews();
    if (memory.ints[this.#finite / 4] === 0) return null;
    state.set(this.#next);
    return new Float32Array(this.#output);
  }

  /** The program, with the weights as they are now. */
  #current(): Program {
    const { numLayers } = this.#layer;
    let moved = false;
    for (let k = 0; k < numLayers; k++) {
      const now = this.#layer.stepArgs(k);
      if (now.packed === this.#recorded[k]?.packed && now.weights === this.#recorded[k].weights) continue;
      this.#recorded[k] = now;
      moved = true;
    }
    const packedHead = this.#head?.packed ?? NULL;
    if (this.#program !== null && !moved && packedHead === this.#packedHead) return this.#program;
    this.#packedHead = packedHead;
    return this.#record();
  }

  #record(): Program {
    const before = this.#program;
    this.#program = null;
    if (before !== null) {
      programs.unregister(this);
      before.free();
    }
    const program = this.#engine.record(() => this.#calls());
    programs.register(this, program, this);
    this.#program = program;
    return program;
  }

  #calls(): void {
    const { hiddenSize, numLayers } = this.#layer;
    const engine = this.#engine;
    const { next, output, state, hidden } = this.#places;
    const at = (place: number) => this.#storage.pointer + place * engine.memory.bytesPerFloat;
    const perLayer = this.#stateWidth / numLayers;
    let input = at(0);
    for (let k = 0; k < numLayers; k++) {
      const args = this.#recorded[k];
      const isLstm = args.cell === "lstm";
      const isLast = k === numLayers - 1;
      const made = isLast && this.#head === null ? at(output) : at(hidden + k * aligned(hiddenSize));
      engine.recurrentForward({
        ...args,
        batch: 1,
        time: 1,
        reverse: false,
        lengths: this.#length,
        x: input,
        h0: at(state + k * perLayer),
        c0: isLstm ? at(state + k * perLayer + hiddenSize) : NULL,
        output: made,
        outputStride: hiddenSize,
        hN: at(next + k * perLayer),
        cN: isLstm ? at(next + k * perLayer + hiddenSize) : NULL,
        gates: NULL,
        cells: NULL,
      });
      input = made;
    }
    if (this.#head !== null) {
      const [rows, inputs, outputs] = [1, hiddenSize, this.#outputSize];
      const bias = this.#head.bias?.pointer ?? NULL;
      engine.linearForward({ rows, inputs, outputs, x: input, packed: this.#packedHead, bias, y: at(output) });
    }
    engine.allFinite(output + this.#outputSize, at(0), this.#finite);
  }

  #takeViews(): void {
    const { memory } = this.#engine;
    const view = (place: number, count: number) => memory.floatsAt(this.#storage.pointer + place * memory.bytesPerFloat, count);
    this.#floats = memory.floats;
    this.#x = view(0, this.#layer.inputSize);
    this.#state = view(this.#places.state, this.#stateWidth);
    this.#next = view(this.#places.next, this.#stateWidth);
    this.#output = view(this.#places.output, this.#outputSize);
  }
}

class ForwardStepper implements Stepper {
  constructor(readonly network: SequenceModel) {}

  step(x: ArrayLike<number>, state: Float32Array): Float32Array | null {
    if (!allFinite(Float32Array.from(x))) return null;
    return inference(() => {
      const { engine, stateSpec } = this.network;
      const result = this.network.forward(tensor(x, [1, 1, x.length], { engine }), {
        state: unflattenState(stateSpec, state, engine),
      });
      const output = Float32Array.from(result.output.toArray());
      const next = flattenState(stateSpec, result.state);
      if (!allFinite(output) || !allFinite(next)) return null;
      state.set(next);
      return output;
    });
  }
}

function aligned(count: number): number {
  return Math.ceil(count / ALIGNMENT) * ALIGNMENT;
}

function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
