/**
 * @file What a recurrent stack may have beyond the plain one, as data, and the sizes of its layers that follow from it.
 *
 *     u_k = drop(x_k)                          x_0 the input, x_{k+1} = y_k
 *     z_k = merge(layer_k(u_k))                one direction, or two
 *     y_k = norm_k(z_k) + x_k                  norm and residual where they are switched on
 *
 * The identity path of a residual carries what was neither dropped nor normalised. `last` goes the same way: the merged final h of every
 * direction, normalised, plus the `last` of the layer below; so that in one direction it is the output at the last valid step.
 */
import { OstinatoError } from "../core/errors.js";

/** How two directions become one output: side by side, or their sum or mean. */
export const MERGES = ["concat", "sum", "mean"] as const;
export type Merge = (typeof MERGES)[number];

/** Everything is off where it is absent, and then costs nothing. Shares are probabilities p, 0 <= p < 1. */
export interface RecurrentVariant {
  /** Hidden units of each layer, the last of them `hiddenSize`; default `hiddenSize` in all `numLayers`. */
  layerSizes?: readonly number[];
  /**
   * LSTM only: h_t = W_hr (o_t * tanh(c_t)), so many values and fewer than the hidden units (Sak, Senior & Beaufays 2014). Runs step by step,
   * several times slower than a layer without.
   */
  projection?: number;
  /** Of two directions, in every layer; default "concat". */
  merge?: Merge;
  /** Adds a layer's input to its output wherever both have one width, from the second layer on (He et al. 2016; Wu et al. 2016). */
  residual?: boolean;
  /** Normalises the output of every layer (Ba, Kiros & Hinton 2016), before a residual is added. */
  layerNorm?: boolean;
  /** Fresh states are parameters, "initial_h_l{k}" (and "initial_c_l{k}"), zero at first, in place of zeros. */
  learnedState?: boolean;
  /** Share of the stack's input that is dropped in training, one mask per sequence (Gal & Ghahramani 2016). */
  inputDropout?: number;
  /** Between layers and before a head as `dropout`, but with one mask per sequence (Gal & Ghahramani 2016). */
  lockedDropout?: number;
  /**
   * Share of h_{t-1} that the gates do not see in training, one mask per sequence (Gal & Ghahramani 2016). Training runs step by step.
   */
  recurrentDropout?: number;
  /** Share of weight_hh that is zero in training, drawn once a call (DropConnect; Merity, Keskar & Socher 2018). */
  weightDropout?: number;
  /**
   * Share of h that keeps its value from step to step in training; at inference h_t = p h_{t-1} + (1 - p) h'_t (Krueger et al. 2017). Runs
   * step by step.
   */
  zoneout?: number;
  /** LSTM only: the same of c; default as `zoneout`. */
  cellZoneout?: number;
}

/** The keys of {@link RecurrentVariant} that are shares. */
export const SHARES = ["inputDropout", "lockedDropout", "recurrentDropout", "weightDropout", "zoneout", "cellZoneout"] as const;

export interface StackSizes extends Pick<RecurrentVariant, "layerSizes" | "projection" | "merge" | "residual"> {
  inputSize: number;
  hiddenSize: number;
  numLayers: number;
  bidirectional: boolean;
}

export interface LayerSizes {
  inputSize: number;
  /** H: of the gates, and of c. */
  hiddenSize: number;
  /** R: of h, H or projection. */
  stateSize: number;
  /** Of both directions, merged. */
  outputSize: number;
  /** Whether its input is added to its output. */
  residual: boolean;
}

/** The sizes of every layer, from the input up. */
export function stackLayout(stack: StackSizes): LayerSizes[] {
  const { hiddenSize, numLayers, layerSizes, projection, residual = false } = stack;
  const copies = stack.bidirectional && (stack.merge ?? "concat") === "concat" ? 2 : 1;
  let inputSize = stack.inputSize;
  return Array.from({ length: numLayers }, (_, k) => {
    const size = layerSizes?.[k] ?? hiddenSize;
    const stateSize = projection ?? size;
    const outputSize = copies * stateSize;
    const layer = { inputSize, hiddenSize: size, stateSize, outputSize, residual: residual && k > 0 && inputSize === outputSize };
    inputSize = outputSize;
    return layer;
  });
}

/** @throws OST_RANGE if a choice is out of its range, or does not go with the cell or the sizes. */
export function wantVariant(
  variant: RecurrentVariant,
  { isLstm, hiddenSize, numLayers }: { isLstm: boolean; hiddenSize: number; numLayers: number },
): void {
  const { layerSizes, projection, merge } = variant;
  for (const key of SHARES) {
    const share = variant[key];
    if (share !== undefined && !(share >= 0 && share < 1)) throw outOfRange(`${key} is a share`, `0 <= ${key} < 1`, share);
  }
  if (layerSizes) {
    const counts = layerSizes.every((size) => Number.isInteger(size) && size >= 1);
    if (!counts || layerSizes.length !== numLayers || layerSizes[numLayers - 1] !== hiddenSize) {
      throw outOfRange(
        "layerSizes names the hidden units of each layer",
        `${numLayers} counts, the last hiddenSize ${hiddenSize}`,
        JSON.stringify(layerSizes),
      );
    }
  }
  if (projection !== undefined) {
    const least = Math.min(hiddenSize, ...(layerSizes ?? []));
    const fits = Number.isInteger(projection) && projection >= 1 && projection < least;
    if (!isLstm) throw outOfRange("only the LSTM projects its output", "no projection", projection);
    if (!fits) throw outOfRange("a projection makes h narrower", `1 <= projection < ${least}`, projection);
  }
  if (variant.cellZoneout !== undefined && !isLstm) {
    throw outOfRange("only the LSTM has a cell state", "no cellZoneout", variant.cellZoneout);
  }
  if (merge !== undefined && !MERGES.includes(merge)) throw outOfRange("no such merge", MERGES.join(", "), merge);
}

function outOfRange(what: string, expected: string, got: unknown): OstinatoError {
  return new OstinatoError("OST_RANGE", { what, expected, got: String(got), where: "layer" });
}
