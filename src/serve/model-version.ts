/** @file From a model's source to something that streams, and the facts of it that protocols need. */
import { createHash } from "node:crypto";
import type { WeightType } from "../kernels/index.js";
import { checkBatchInvariance } from "../model/batch-invariance.js";
import { openModel } from "../model/load.js";
import { ProbeModel } from "../model/probe.js";
import { type StreamModel, toStream } from "../model/stream.js";
import type { ModelSource, ModelVersion } from "./engine.js";

export interface VersionDetails {
  /** What the recurrent layers compute with. Default float32. */
  weights?: WeightType;
  /** Of the model file. */
  bytes: number;
  batchInvariant: boolean;
  /** The reference profile of the model file; default null. */
  profile?: unknown;
}

/** A version that computes. */
export interface OpenVersion {
  facts: ModelVersion;
  model: StreamModel;
}

/**
 * The name of a version: sha256 of the file's hash and of the numbers it computes with. Engines are not in it: they go on from each other's
 * states.
 */
export function versionId(hash: string, weights: WeightType = "float32"): string {
  return createHash("sha256").update(`${hash}\n${weights}`).digest("hex");
}

/** Everything of a model that is not weights. */
export function modelVersionOf(
  model: StreamModel,
  { weights, bytes, batchInvariant, profile = null }: VersionDetails,
): ModelVersion {
  const { boundaries, stateSize } = model;
  return {
    version: versionId(model.hash, weights),
    task: model.task,
    streaming: model.streaming,
    windowLength: model.windowLength,
    columns: [...model.columns],
    time: model.time,
    textColumns: [...model.textColumns],
    classes: [...model.classes],
    targets: [...model.targets],
    horizon: model.horizon,
    ...(model.threshold !== undefined && { threshold: model.threshold }),
    ...(model.interval && { interval: model.interval }),
    features: [...model.features],
    outputSize: model.outputSize,
    stateSchema: model.stateSchema,
    stateSize: stateSize.preprocessing + stateSize.model,
    bytes,
    resets: {
      timeGapMs: boundaries.timeGapMs,
      marker: boundaries.marker && { ...boundaries.marker },
      changed: [...boundaries.changed],
      maxSteps: boundaries.maxSteps,
    },
    batchInvariant,
    profile,
  };
}

export interface OpenVersionOptions {
  /** Try out whether results depend on the batch: takes a second for some models. Without it `batchInvariant` is false. Default false. */
  tryBatches?: boolean;
}

/**
 * Opens a model file, or makes the probe.
 *
 * @throws OST_MODEL_FILE if the file is malformed, OST_CAUSAL if it looks ahead, OST_RANGE if its weights cannot be made small.
 */
export async function openVersion(source: ModelSource, { tryBatches = false }: OpenVersionOptions = {}): Promise<OpenVersion> {
  const { model, ...details } = await openSource(source);
  return { model, facts: modelVersionOf(model, { ...details, batchInvariant: tryBatches && checkBatchInvariance(model) }) };
}

async function openSource(source: ModelSource): Promise<Omit<VersionDetails, "batchInvariant"> & { model: StreamModel }> {
  if ("model" in source) return { model: source.model, bytes: 0 };
  if ("probe" in source) return { model: new ProbeModel(), bytes: 0 };
  const { bytes, weights } = source;
  const loaded = await openModel(bytes, { weights });
  return { model: toStream(loaded), weights, bytes: bytes.length, profile: loaded.header.profile };
}
