/** @file What a stream's state is made of, as one hash. */
import { sha256 } from "../core/bytes.js";
import type { Preprocessing } from "../data/index.js";
import type { LoadedModel } from "./load.js";
import { sequenceModel } from "./network.js";

/** Raised whenever states are laid out differently. */
const LAYOUT = 1;

/** Of a transform without state nothing can depend on what it scales by, and what fills a gap is never remembered. */
const FITTED = ["fill", "scaler", "entities"];

/**
 * sha256 (hex) of what gives the numbers of a state their meaning: the columns read, the transforms with memory, the network's cells and
 * widths or the window's length. Weights and fitted constants are no part of it, so that a model trained again can go on from the states of
 * the one before; a windowed state holds scaled inputs, and there they are.
 */
export function stateSchemaOf({ header, preprocessing, network }: LoadedModel): string {
  const { streaming, windowLength, architecture, detection, spec } = header;
  const carried = streaming === "carried" && network !== null;
  const facts = {
    layout: LAYOUT,
    streaming,
    windowLength,
    features: preprocessing.featureNames,
    // A detector also holds its latest prediction, in scaled values or by code, and the alarm's mean.
    preprocessing: preprocessingFacts(preprocessing, carried && !detection),
    network: carried ? { ...cellFacts(architecture), state: sequenceModel(network).stateSpec } : null,
    ...(detection && {
      detection: {
        by: detection.by,
        smooth: detection.smooth,
        outputs: [spec.classes.length, spec.targets, spec.distribution ?? null],
        scaler: preprocessing.targetScaler?.toJSON() ?? null,
      },
    }),
  };
  return sha256(new TextEncoder().encode(canonicalJSON(facts)));
}

function preprocessingFacts(preprocessing: Preprocessing, carried: boolean) {
  const { roles, derived, stateSize } = preprocessing;
  const { transforms, categories } = preprocessing.toJSON();
  const { sessions } = derived;
  const counts = transforms.some(({ transform }) => transform === "runningCount");
  return {
    stateSize,
    time: roles.time !== null,
    keys: sessions ? (sessions.by ?? []) : roles.entity === null ? [] : [roles.entity],
    changed: sessions?.changed ?? [],
    // Codes are in the state where they are counted or kept in a window.
    categories: carried && !counts ? (roles.categories ?? []) : (categories ?? []),
    transforms: carried
      ? transforms
          .filter(({ transform }) => transform !== "scale" && transform !== "oneHot")
          .map((transform) => Object.fromEntries(Object.entries(transform).filter(([name]) => !FITTED.includes(name))))
      : transforms,
  };
}

/** What the steps of two networks must have in common. */
function cellFacts(architecture: object) {
  const { type, cell, resetAfter, nonlinearity } = architecture as Record<string, unknown>;
  return { type, cell, ...(cell === "gru" && { resetAfter }), ...(cell === "rnn" && { nonlinearity }) };
}

/** JSON with the fields of every object in the order of their names. */
function canonicalJSON(value: unknown): string {
  return JSON.stringify(value, (_, item) => {
    if (item === null || typeof item !== "object" || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
