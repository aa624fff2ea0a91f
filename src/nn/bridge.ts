/**
 * @file From an encoder's final state to the initial state of a decoder, layer by layer.
 *
 *     copy     s = h                         of two directions: their sum or mean, as the encoder's outputs are merged
 *     linear   s = tanh(W [h; h_reverse] + b)
 *     none     s = 0
 *
 * Parameters of "linear", one layer per tensor of the decoder's state: {name}.weight [H, directions * H], {name}.bias [H], where the name is
 * that of the state ("h_l0", "c_l0").
 *
 * Source: Sutskever, Vinyals & Le 2014 (arXiv 1409.3215), who copy; Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473), who project.
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import { concatenate, type Tensor } from "../tensor/index.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import type { Merge } from "./recurrent-variant.js";
import { type State, type StateSpec, zeroState } from "./state.js";

export const BRIDGE_KINDS = ["copy", "linear", "none"] as const;
export type BridgeKind = (typeof BRIDGE_KINDS)[number];

export interface BridgeOptions {
  /** Of the encoder: "h_l0", "c_l0", "h_l0_reverse", ... */
  encoder: StateSpec;
  /** Of the decoder, which runs forward: "h_l0", "c_l0", ... */
  decoder: StateSpec;
  /** How the encoder's directions are merged; default "concat". */
  merge?: Merge;
  rng: Rng;
  engine?: Kernels;
}

export class Bridge extends Module {
  readonly kind: BridgeKind;
  readonly #decoder: StateSpec;
  readonly #merge: Merge;
  /** By name of the decoder's state. */
  readonly #layers: ReadonlyMap<string, Linear>;

  /** @throws OST_CONFIG for no kind of bridge, and where a state of the decoder has no counterpart, or "copy" meets other widths. */
  constructor(kind: BridgeKind, { encoder, decoder, merge = "concat", rng, engine }: BridgeOptions) {
    super();
    this.kind = kind;
    if (!BRIDGE_KINDS.includes(kind)) {
      throw new OstinatoError("OST_CONFIG", {
        what: "no such bridge",
        expected: BRIDGE_KINDS.join(", "),
        got: String(kind),
        where: "bridge",
      });
    }
    this.#decoder = decoder;
    this.#merge = merge;
    const layers = new Map<string, Linear>();
    for (const [name, width] of kind === "none" ? [] : Object.entries(decoder)) {
      const reverse = encoder[`${name}_reverse`];
      const given = encoder[name] === undefined ? undefined : encoder[name] + (reverse ?? 0);
      const copied = reverse !== undefined && merge !== "concat" ? encoder[name] : given;
      if (given === undefined || (kind === "copy" && copied !== width)) {
        throw new OstinatoError("OST_CONFIG", {
          what: `the encoder has no final state to ${kind === "copy" ? "copy" : "map"} to the decoder's "${name}"`,
          expected: `width ${width}`,
          got: given === undefined ? "none of that layer" : `width ${copied}`,
          where: "bridge",
          repair: given === undefined ? "give encoder and decoder equally many layers of one cell" : 'use the bridge "linear"',
        });
      }
      if (kind === "linear") layers.set(name, new Linear(given, width, { rng, engine }));
    }
    this.#layers = layers;
    // Under their names, so that they are listed as parts.
    Object.assign(this, Object.fromEntries(layers));
  }

  /**
   * @param state     final state of the encoder, each tensor [batch, width]
   * @param batchSize of the result; @param engine where "none" makes its zeros
   * @returns initial state of the decoder
   */
  forward(state: State, { batchSize, engine }: { batchSize: number; engine: Kernels }): State {
    if (this.kind === "none") return zeroState(this.#decoder, batchSize, engine);
    return Object.fromEntries(Object.keys(this.#decoder).map((name) => [name, this.#one(name, state)]));
  }

  #one(name: string, state: State): Tensor {
    const [there, back] = [state[name], state[`${name}_reverse`]];
    const layer = this.#layers.get(name);
    if (layer) return layer.forward(back ? concatenate([there, back], 1) : there).tanh();
    if (!back) return there;
    const sum = there.add(back);
    return this.#merge === "mean" ? sum.multiply(0.5) : sum;
  }
}
