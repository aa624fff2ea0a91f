/** @file One type of weights for all recurrent layers of a network. */
import type { WeightType } from "../kernels/index.js";
import type { SequenceModel } from "./model.js";
import { Module } from "./module.js";
import { RecurrentLayer } from "./recurrent-layer.js";

/**
 * Sets {@link RecurrentLayer.weights} of every recurrent layer in a network. What has no recurrent layer (a window MLP, cells of your own)
 * stays in float32, as heads and embeddings do: they are small, or rows of them are read and not the whole.
 *
 * @returns how many layers there were.
 * @throws OST_RANGE for no type of weights, or int8 for a layer that is too wide; nothing is changed then.
 */
export function useWeights(network: SequenceModel, weights: WeightType): number {
  const layers = recurrentLayers(network);
  const before = layers.map((layer) => layer.weights);
  try {
    for (const layer of layers) layer.weights = weights;
  } catch (error) {
    layers.forEach((layer, i) => {
      layer.weights = before[i];
    });
    throw error;
  }
  return layers.length;
}

/** Every recurrent layer among the parts of a module, once. */
function recurrentLayers(part: unknown, seen = new Set<unknown>()): RecurrentLayer[] {
  if (typeof part !== "object" || part === null || seen.has(part)) return [];
  seen.add(part);
  if (part instanceof RecurrentLayer) return [part];
  const holdsParts = part instanceof Module || Array.isArray(part) || Object.getPrototypeOf(part) === Object.prototype;
  return holdsParts ? Object.values(part).flatMap((inner) => recurrentLayers(inner, seen)) : [];
}
