/** @file From a model file to something that predicts: network or baseline, with its frozen preprocessing. */
import { restoreBaseline } from "../baselines/index.js";
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { outputsPerValue } from "../core/predictive-distribution.js";
import { seed } from "../core/rng.js";
import { Preprocessing } from "../data/index.js";
import { defaultEngine, type Kernels, type WeightType } from "../kernels/index.js";
import { useWeights } from "../nn/index.js";
import { type Architecture, buildNetwork, countParameters, describeArchitecture } from "./architecture.js";
import { calibratedPredictor } from "./calibrated.js";
import { type Calibration, decodeModel, encodeModel, type ModelArrays, type ModelHeader } from "./file.js";
import { isEncoderDecoder, type Network } from "./network.js";
import { networkPredictor } from "./network-predictor.js";
import type { Predictor } from "./predictor.js";

export interface LoadedModel {
  header: ModelHeader;
  preprocessing: Preprocessing;
  /** Null for a baseline. */
  network: Network | null;
  predictor: Predictor;
  /** What its recurrent layers compute with; the file holds float32. */
  weights: WeightType;
  /** sha256 of the file, hex. */
  hash: string;
  bytes: number;
}

export interface OpenModelOptions {
  /** Default the process's `defaultEngine()`. */
  engine?: Kernels;
  /** Makes the network of a model class of your own from its architecture; default the built-in ones. */
  build?: (architecture: Architecture) => Network;
  /** Default "float32". "bfloat16" and "int8" round the recurrent layers' weights for faster steps, see `useWeights`. */
  weights?: WeightType;
}

/**
 * Opens a model from the bytes of its file.
 *
 * @throws OST_MODEL_FILE if the file is malformed or its weights do not fit its architecture.
 * @throws OST_RANGE if `weights` are to be small and the model has no recurrent layer, or one that is too wide.
 */
export async function openModel(
  bytes: Uint8Array,
  { engine = defaultEngine(), build, weights = "float32" }: OpenModelOptions = {},
): Promise<LoadedModel> {
  const { header, arrays } = decodeModel(bytes);
  const preprocessing = Preprocessing.fromJSON(header.preprocessing);
  checkConsistent(header, preprocessing);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice()));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const { architecture, spec, name } = header;
  if (architecture.type === "baseline") {
    const { kind, options } = architecture;
    if (weights !== "float32") throw nothingToRound(kind, weights);
    const restored = restoreBaseline({ kind, spec, options }, arrays as Parameters<typeof restoreBaseline>[1]);
    const predictor = calibratedPredictor(restored, spec, header.calibration);
    return { header, preprocessing, network: null, predictor, weights, hash, bytes: bytes.length };
  }
  const network = build?.(architecture) ?? emptyNetwork(architecture, arrays, engine);
  try {
    network.loadStateDict(new Map(Object.entries(arrays)));
  } catch (cause) {
    if (!(cause instanceof OstinatoError)) throw cause;
    throw new OstinatoError(
      "OST_MODEL_FILE",
      { ...cause.detail, what: `the weights do not fit the architecture: ${cause.detail.what}` },
      { cause },
    );
  }
  if (weights !== "float32" && (isEncoderDecoder(network) || useWeights(network, weights) === 0))
    throw nothingToRound(describeArchitecture(architecture), weights);
  return {
    header,
    preprocessing,
    network,
    weights,
    predictor: calibratedPredictor(
      networkPredictor(name || describeArchitecture(architecture), network, spec, { decoding: header.decoding }),
      spec,
      header.calibration,
    ),
    hash,
    bytes: bytes.length,
  };
}

function nothingToRound(name: string, weights: WeightType): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "the model has no recurrent layer whose weights could be made small",
    expected: "weights float32",
    got: `${weights} for ${name}`,
    where: "weights",
    repair: "leave the option out",
  });
}

/** The built-in network, only if the file holds as many weights as it has; its cheapest initial values are overwritten at once. */
function emptyNetwork(architecture: Architecture, arrays: ModelArrays, engine: Kernels): Network {
  let stored = 0;
  for (const { data } of Object.values(arrays)) {
    stored += data.length;
    if (!data.every(Number.isFinite)) throw new OstinatoError("OST_MODEL_FILE", { what: "a weight is not finite" });
  }
  const wanted = countParameters(architecture);
  if (stored !== wanted) {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "the weights do not fit the architecture",
      expected: `${wanted} values for ${describeArchitecture(architecture)}`,
      got: String(stored),
    });
  }
  const cheap = "init" in architecture ? { ...architecture, init: "uniform" as const } : architecture;
  return buildNetwork(cheap, { rng: seed(0), engine });
}

/** The file of a network with its present weights. */
export function saveNetwork(header: ModelHeader, network: Network): Uint8Array {
  const arrays: ModelArrays = {};
  for (const [name, { shape, data }] of network.stateDict()) arrays[name] = { shape, data: Float32Array.from(data) };
  return encodeModel(header, arrays);
}

function checkConsistent({ spec, architecture, calibration }: ModelHeader, preprocessing: Preprocessing): void {
  if (calibration) checkCalibrated(spec, calibration);
  const features = preprocessing.featureNames.length;
  const network = architecture.type === "baseline" ? null : architecture;
  const outputs = outputsWanted(spec, network);
  const fits =
    spec.features.length === features &&
    preprocessing.targetKind === spec.targetKind &&
    spec.targetFeature.length === spec.targets.length &&
    spec.targetFeature.every((index) => Number.isInteger(index) && index >= -1 && index < features) &&
    sameCodes(spec.codes ?? [], preprocessing.codes) &&
    (network === null || (network.inputSize === features && outputsOf(network) === outputs)) &&
    (!spec.recursive || network === null || readsItself(spec, network)) &&
    (network?.embeddings ?? []).every(({ column, size }) =>
      preprocessing.codes.some((code) => code.column === column && code.size <= size),
    );
  if (!fits) {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "preprocessing, specification and architecture disagree",
      expected: `${features} features in, ${outputs} values out, codes ${describeCodes(preprocessing.codes)}`,
      got: network
        ? `${network.inputSize} in, ${outputsOf(network)} out, embeddings ${describeCodes(network.embeddings)}`
        : `${spec.features.length} features, codes ${describeCodes(spec.codes)}`,
      where: "ostinato",
    });
  }
}

function checkCalibrated({ classes, horizon, targets }: ModelHeader["spec"], { threshold, conformal }: Calibration): void {
  const { halfWidth = [] } = conformal ?? {};
  const fits =
    (threshold === undefined || classes.length === 2) &&
    (!conformal || (halfWidth.length === horizon && halfWidth.every((row) => row.length === targets.length)));
  if (fits) return;
  throw new OstinatoError("OST_MODEL_FILE", {
    what: "specification and calibration disagree",
    expected: conformal
      ? `half-widths for ${horizon} steps of ${targets.length} targets`
      : "two classes where there is a threshold",
    got: conformal ? `${halfWidth.length} steps` : `${classes.length} classes`,
    where: "ostinato.calibration",
  });
}

/** Whether what a recursive forecast predicts is all that it reads, by a network that can be read on from. */
function readsItself({ targetFeature }: ModelHeader["spec"], network: Architecture): boolean {
  return network.type === "recurrent" && !network.bidirectional && targetFeature.every((feature) => feature >= 0);
}

function outputsOf(network: Architecture): number {
  return network.type === "encoderDecoder" ? network.targetSize : network.outputSize;
}

/** Outputs of a step: one per class, a blank beside those of an alignment, or those of every value. */
function outputsWanted(spec: ModelHeader["spec"], network: Architecture | null): number {
  const { targetKind, targets, classes, horizon, distribution, recursive } = spec;
  if (targetKind !== "values") return classes.length + (targetKind === "tokens" && network?.type !== "encoderDecoder" ? 1 : 0);
  const steps = recursive ? 1 : horizon;
  return steps * targets.length * outputsPerValue(recursive ? recursive.distribution : distribution);
}

/** Whether the same columns hold as many codes. */
function sameCodes(a: readonly CodeColumn[], b: readonly CodeColumn[]): boolean {
  return a.length === b.length && a.every(({ column, size }, k) => column === b[k].column && size === b[k].size);
}

function describeCodes(codes: readonly CodeColumn[] = []): string {
  return codes.map(({ column, size }) => `${size} in column ${column}`).join(", ") || "none";
}
