/**
 * @file One time step, outside autograd, of one row or of many that know nothing of each other: what sessions run for every record.
 *
 * A recurrent layer whose calls are fused, alone or with linear maps on top, runs as one recorded program of kernel calls over one set of blocks in the engine's
 * memory, which all sessions of the network share, as they share its packed weights: a session's own part is its state, which goes in before
 * the program and comes out behind it. Any other network runs through its `forward`: all rows at once where the rows of its batches are known
 * to be independent, which is where it is built in, else row by row.
 *
 * Laws: stepping through a sequence gives, bit for bit, what `forward` gives on the whole of it; sessions interleaved in any order give what
 * each gives alone; and so do sessions stepped together, in any number, place and company.
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

/** One row on its way through one step. */
export interface StepRow {
  /** One time step, [inputSize] */
  readonly x: ArrayLike<number>;
  /** Laid out as by `flattenState`, [stateWidth] */
  readonly state: Float32Array;
}

export interface SteppedRow {
  /** [outputSize], an array of its own. */
  output: Float32Array;
  /** [stateWidth], an array of its own. */
  state: Float32Array;
}

export interface Stepper {
  /**
   * @param x     one time step, [inputSize]
   * @param state laid out as by `flattenState`, [stateWidth]; advanced in place.
   * @returns the output, [outputSize], an array of its own. Null if x, the output or the new state is not finite: `state` is as before then.
   * @throws OST_SHAPE if x has another width, OST_RANGE if a code is no row of its table; `state` is as before.
   */
  step(x: ArrayLike<number>, state: Float32Array): Float32Array | null;

  /**
   * One step each of rows that are independent: row i's result is that of `step` alone, bit for bit, whatever the others hold.
   *
   * @param rows stay as they are, their states too.
   * @returns per row what it gave; null if its x, output or new state is not finite; the error `step` would throw for it.
   */
  stepMany(rows: readonly StepRow[]): (SteppedRow | OstinatoError | null)[];
}

const steppers = new WeakMap<SequenceModel, Stepper>();

/** The one stepper of a causal network. */
export function stepperOf(network: SequenceModel): Stepper {
  let stepper = steppers.get(network);
  if (stepper === undefined) {
    const layer = ownLayer(network);
    const embedding = network instanceof RecurrentNetwork ? network.embedding : null;
    if (layer?.fused) {
      stepper = new RecurrentStepper(layer, network instanceof RecurrentNetwork ? network.heads : [], embedding);
    } else {
      stepper = new ForwardStepper(network, layer && (embedding?.layout ?? layer).inputSize);
    }
    steppers.set(network, stepper);
  }
  return stepper;
}

/** The recurrent layer of a built-in network, or the network that is one, if nobody gave it a forward pass of their own. */
function ownLayer(network: SequenceModel): RecurrentLayer | null {
  const whole = network instanceof RecurrentNetwork && network.forward === RecurrentNetwork.prototype.forward;
  const layer = whole ? network.recurrent : network;
  return layer instanceof RecurrentLayer && layer.forward === RecurrentLayer.prototype.forward ? layer : null;
}

/** Frees the programs of steppers that are gone. */
const collected = new FinalizationRegistry<Map<number, StepProgram>>((programs) => {
  for (const { program } of programs.values()) program.free();
});

/** Floats between two arrays that kernels read or write: what a cache line and the widest vector hold. */
const ALIGNMENT = 16;

/** Rows of one program; more run in slices. The blocks grow to hold as many as were ever asked for at once. */
const MOST_ROWS = 128;

/** The kernel calls of one step of so many rows. */
interface StepProgram {
  program: Program;
  /**
   * Places of the arrays, in floats behind the storage's beginning, each [rows, width]. What must be finite lies at the front: x at 0, the
   * new states, the output.
   */
  places: { output: number; parts: readonly StatePart[] };
}

/** One tensor of the state: where it lies in a flat state, and in the blocks. */
interface StatePart {
  at: number;
  width: number;
  before: number;
  next: number;
}

class RecurrentStepper implements Stepper {
  readonly #engine: Kernels;
  readonly #layer: RecurrentLayer;
  /** From the layer's output up. */
  readonly #heads: readonly Linear[];
  readonly #embedding: EmbeddedColumns | null;
  readonly #stateWidth: number;
  readonly #outputSize: number;
  /** Rows the storage holds: a power of two. */
  #capacity = 0;
  #storage!: Storage;
  /** int32s: [capacity] each row's length, always 1, and whether all was finite. */
  #lengths: Pointer = NULL;
  #finite: Pointer = NULL;
  /** By number of rows. */
  readonly #programs = new Map<number, StepProgram>();
  /** What the programs were recorded for, layer by layer. */
  readonly #recorded: ReturnType<RecurrentLayer["stepArgs"]>[] = [];
  readonly #packedHeads: Pointer[] = [];

  constructor(layer: RecurrentLayer, heads: readonly Linear[], embedding: EmbeddedColumns | null = null) {
    this.#engine = layer.engine;
    this.#layer = layer;
    this.#heads = heads;
    this.#embedding = embedding;
    this.#stateWidth = stateWidth(layer.stateSpec);
    this.#outputSize = heads.at(-1)?.weight.shape[0] ?? layer.outputSize;
    collected.register(this, this.#programs);
    this.#reserve(1);
  }

  step(x: ArrayLike<number>, state: Float32Array): Float32Array | null {
    this.#wantWidth(x);
    const step = this.#programFor(1);
    if (!this.#putIn(step, 0, x, state)) return null;
    step.program.run();
    const fits = this.#allFinite() || this.#rowFinite(step, 0);
    const output = fits ? this.#takeOutput(step, 0) : null;
    if (fits) this.#takeState(step, 0, state);
    this.#clearIfNotFinite();
    return output;
  }

  stepMany(rows: readonly StepRow[]): (SteppedRow | OstinatoError | null)[] {
    const results = new Array<SteppedRow | OstinatoError | null>(rows.length);
    for (let first = 0; first < rows.length; first += MOST_ROWS) {
      this.#stepSlice(rows, first, Math.min(MOST_ROWS, rows.length - first), results);
    }
    return results;
  }

  #stepSlice(rows: readonly StepRow[], first: number, count: number, results: (SteppedRow | OstinatoError | null)[]): void {
    const step = this.#programFor(count);
    for (let b = 0; b < count; b++) {
      const refusal = this.#tryPutIn(step, b, rows[first + b]);
      if (refusal === true) continue;
      results[first + b] = refusal;
      this.#clearInput(b);
    }
    step.program.run();
    const allFinite = this.#allFinite();
    for (let b = 0; b < count; b++) {
      // What was refused before the run has its result.
      if (results[first + b] !== undefined) continue;
      if (!allFinite && !this.#rowFinite(step, b)) {
        results[first + b] = null;
        continue;
      }
      const state = new Float32Array(this.#stateWidth);
      this.#takeState(step, b, state);
      results[first + b] = { output: this.#takeOutput(step, b), state };
    }
    this.#clearIfNotFinite();
  }

  #wantWidth(x: ArrayLike<number>): void {
    const { inputSize } = this.#embedding?.layout ?? this.#layer;
    if (x.length === inputSize) return;
    throw new OstinatoError("OST_SHAPE", {
      what: "a step wants one value per input feature",
      expected: `${inputSize} values`,
      got: String(x.length),
      where: "step",
      repair: "did the column list change after training?",
    });
  }

  /** True once row b is in the blocks; else what stands in the place of its result. */
  #tryPutIn(step: StepProgram, b: number, { x, state }: StepRow): true | OstinatoError | null {
    try {
      this.#wantWidth(x);
      return this.#putIn(step, b, x, state) || null;
    } catch (error) {
      if (error instanceof OstinatoError) return error;
      throw error;
    }
  }

  /** False, and its x is not there, where a code is not finite. */
  #putIn({ places: { parts } }: StepProgram, b: number, x: ArrayLike<number>, state: Float32Array): boolean {
    const { floats } = this.#engine.memory;
    const start = this.#start;
    const { inputSize } = this.#layer;
    const at = start + b * inputSize;
    if (this.#embedding === null) floats.set(x, at);
    else if (!this.#embedding.lookUp(x, floats.subarray(at, at + inputSize))) return false;
    for (const part of parts) copy(state, part.at, floats, start + part.before + b * part.width, part.width);
    return true;
  }

  #clearInput(b: number): void {
    const { inputSize } = this.#layer;
    const at = this.#start + b * inputSize;
    this.#engine.memory.floats.fill(0, at, at + inputSize);
  }

  #takeState({ places: { parts } }: StepProgram, b: number, state: Float32Array): void {
    const { floats } = this.#engine.memory;
    const start = this.#start;
    for (const part of parts) copy(floats, start + part.next + b * part.width, state, part.at, part.width);
  }

  #takeOutput({ places }: StepProgram, b: number): Float32Array {
    const output = new Float32Array(this.#outputSize);
    copy(this.#engine.memory.floats, this.#start + places.output + b * output.length, output, 0, output.length);
    return output;
  }

  /** True after a run all of whose rows are finite. After false each row is asked: something between the arrays may not have been. */
  #allFinite(): boolean {
    return this.#engine.memory.ints[this.#finite / 4] !== 0;
  }

  #rowFinite({ places: { output, parts } }: StepProgram, b: number): boolean {
    const { floats } = this.#engine.memory;
    const start = this.#start;
    const { inputSize } = this.#layer;
    return (
      finiteAt(floats, start + b * inputSize, inputSize) &&
      finiteAt(floats, start + output + b * this.#outputSize, this.#outputSize) &&
      parts.every(({ next, width }) => finiteAt(floats, start + next + b * width, width))
    );
  }

  /** Leaves nothing behind that would make the next run look as if it were not finite. */
  #clearIfNotFinite(): void {
    if (!this.#allFinite()) this.#engine.memory.floats.fill(0, this.#start, this.#start + this.#places(this.#capacity).count);
  }

  /** Where the storage begins, in floats. */
  get #start(): number {
    return this.#storage.pointer / this.#engine.memory.bytesPerFloat;
  }

  /** The program for so many rows, with the weights as they are now. */
  #programFor(rows: number): StepProgram {
    const { numLayers } = this.#layer;
    let moved = false;
    for (let k = 0; k < numLayers; k++) {
      const now = this.#layer.stepArgs(k);
      if (now.packed === this.#recorded[k]?.packed && now.weights === this.#recorded[k].weights) continue;
      this.#recorded[k] = now;
      moved = true;
    }
    for (let k = 0; k < this.#heads.length; k++) {
      const { packed } = this.#heads[k];
      moved ||= packed !== this.#packedHeads[k];
      this.#packedHeads[k] = packed;
    }
    if (moved) this.#forgetPrograms();
    if (rows > this.#capacity) this.#reserve(rows);
    let step = this.#programs.get(rows);
    if (step === undefined) {
      const { places, between } = this.#places(rows);
      step = { program: this.#engine.record(() => this.#calls(rows, places, between)), places };
      this.#programs.set(rows, step);
    }
    return step;
  }

  #forgetPrograms(): void {
    for (const { program } of this.#programs.values()) program.free();
    this.#programs.clear();
  }

  /** Makes room for so many rows. */
  #reserve(rows: number): void {
    this.#forgetPrograms();
    let capacity = 1;
    while (capacity < rows) capacity *= 2;
    const { memory } = this.#engine;
    const { count } = this.#places(capacity);
    this.#capacity = capacity;
    this.#storage = allocate(memory, count * memory.bytesPerFloat + 4 * (capacity + 1), { persistent: true });
    // The gaps between arrays are checked with them.
    memory.floatsAt(this.#storage.pointer, count).fill(0);
    this.#lengths = this.#storage.pointer + count * memory.bytesPerFloat;
    this.#finite = this.#lengths + 4 * capacity;
    memory.intsAt(this.#lengths, capacity + 1).fill(1);
  }

  /** Where the arrays of so many rows lie, `between` what each layer and head but the last makes, and all their floats. */
  #places(rows: number): { places: StepProgram["places"]; between: readonly number[]; count: number } {
    const { inputSize, layout, stateSpec } = this.#layer;
    let end = aligned(rows * inputSize);
    const take = (width: number) => {
      const place = end;
      end += aligned(rows * width);
      return place;
    };
    let at = 0;
    const widths = Object.values(stateSpec);
    const next = widths.map(take);
    const output = take(this.#outputSize);
    const parts = widths.map((width, p): StatePart => {
      at += width;
      return { at: at - width, width, next: next[p], before: take(width) };
    });
    const made = [...layout.map(({ outputSize }) => outputSize), ...this.#heads.map(({ weight }) => weight.shape[0])];
    const between = made.slice(0, -1).map(take);
    return { places: { output, parts }, between, count: end };
  }

  #calls(rows: number, { output, parts }: StepProgram["places"], between: readonly number[]): void {
    const { layout, numLayers } = this.#layer;
    const engine = this.#engine;
    const at = (place: number) => this.#storage.pointer + place * engine.memory.bytesPerFloat;
    const perLayer = parts.length / numLayers;
    let input = at(0);
    for (let k = 0; k < numLayers; k++) {
      const args = this.#recorded[k];
      const [h, c] = parts.slice(k * perLayer, (k + 1) * perLayer);
      const made = at(between[k] ?? output);
      engine.recurrentForward({
        ...args,
        batch: rows,
        time: 1,
        reverse: false,
        lengths: this.#lengths,
        x: input,
        h0: at(h.before),
        c0: c ? at(c.before) : NULL,
        output: made,
        outputStride: layout[k].hiddenSize,
        hN: at(h.next),
        cN: c ? at(c.next) : NULL,
        gates: NULL,
        cells: NULL,
      });
      input = made;
    }
    for (const [k, { weight, bias }] of this.#heads.entries()) {
      const [outputs, inputs] = weight.shape;
      const y = at(between[numLayers + k] ?? output);
      engine.linearForward({ rows, inputs, outputs, x: input, packed: this.#packedHeads[k], bias: bias?.pointer ?? NULL, y });
      input = y;
    }
    engine.allFinite(output + rows * this.#outputSize, at(0), this.#finite);
  }
}

class ForwardStepper implements Stepper {
  /** @param inputSize of a network whose rows are independent in any batch; null where that is not known. */
  constructor(
    readonly network: SequenceModel,
    readonly inputSize: number | null,
  ) {}

  step(x: ArrayLike<number>, state: Float32Array): Float32Array | null {
    if (!allFinite(Float32Array.from(x))) return null;
    const { output, state: next } = this.#forward(x, 1, state);
    if (!allFinite(output) || !allFinite(next)) return null;
    state.set(next);
    return output;
  }

  stepMany(rows: readonly StepRow[]): (SteppedRow | OstinatoError | null)[] {
    if (this.inputSize === null || rows.length < 2) return rows.map((row) => this.#stepAlone(row));
    const results = new Array<SteppedRow | OstinatoError | null>(rows.length);
    for (let first = 0; first < rows.length; first += MOST_ROWS) {
      const slice = rows.slice(first, first + MOST_ROWS);
      for (const [i, result] of (this.#stepTogether(slice) ?? slice.map((row) => this.#stepAlone(row))).entries()) {
        results[first + i] = result;
      }
    }
    return results;
  }

  #stepAlone({ x, state: before }: StepRow): SteppedRow | OstinatoError | null {
    const state = before.slice();
    try {
      const output = this.step(x, state);
      return output && { output, state };
    } catch (error) {
      if (error instanceof OstinatoError) return error;
      throw error;
    }
  }

  /** Null where a row is not as it should be, which then shows when each is stepped alone. */
  #stepTogether(rows: readonly StepRow[]): (SteppedRow | null)[] | null {
    const width = this.inputSize as number;
    const all = new Float64Array(rows.length * width);
    for (const [i, { x }] of rows.entries()) {
      if (x.length !== width) return null;
      all.set(x, i * width);
    }
    if (!allFinite(Float32Array.from(all))) return null;
    const size = rows[0].state.length;
    const states = new Float32Array(rows.length * size);
    for (const [i, { state }] of rows.entries()) states.set(state, i * size);
    try {
      const { output, state } = this.#forward(all, rows.length, states);
      const outputSize = output.length / rows.length;
      return rows.map((_, i) => {
        const own = { output: output.slice(i * outputSize, (i + 1) * outputSize), state: state.slice(i * size, (i + 1) * size) };
        return allFinite(own.output) && allFinite(own.state) ? own : null;
      });
    } catch (error) {
      if (error instanceof OstinatoError) return null;
      throw error;
    }
  }

  /** One step of `count` rows: outputs and new states, side by side. */
  #forward(x: ArrayLike<number>, count: number, states: Float32Array): { output: Float32Array; state: Float32Array } {
    const { engine, stateSpec } = this.network;
    return inference(() => {
      const result = this.network.forward(tensor(x, [count, 1, x.length / count], { engine }), {
        state: unflattenState(stateSpec, states, engine),
      });
      return { output: Float32Array.from(result.output.toArray()), state: flattenState(stateSpec, result.state) };
    });
  }
}

function aligned(count: number): number {
  return Math.ceil(count / ALIGNMENT) * ALIGNMENT;
}

function copy(from: FloatArray, fromAt: number, to: FloatArray, toAt: number, count: number): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[fromAt + i];
}

function allFinite(values: Float32Array): boolean {
  return finiteAt(values, 0, values.length);
}

function finiteAt(values: FloatArray, at: number, count: number): boolean {
  for (let i = at; i < at + count; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
