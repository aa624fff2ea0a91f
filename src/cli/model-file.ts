/** @file A model file named on the command line, with what lies beside it in its run folder. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { countParameters, describeArchitecture, type LoadedModel } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { type Entrant, type ExperimentConfig, parseConfig } from "../tasks/index.js";
import { loadConfig } from "./config-file.js";
import { RUN_FILES } from "./run-folder.js";

export interface OpenedModel {
  path: string;
  loaded: LoadedModel;
}

/** The folder of the run that wrote a model or a baseline. */
function runFolderOf(path: string): string {
  const folder = dirname(resolve(path));
  return basename(folder) === RUN_FILES.baselines ? dirname(folder) : folder;
}

/** The other predictors of the model's run: its baselines and rivals, and for one of these the model itself. */
export async function loadRivals(path: string): Promise<OpenedModel[]> {
  const folder = dirname(resolve(path));
  const run = runFolderOf(path);
  const baselines = join(run, RUN_FILES.baselines);
  const files = existsSync(baselines)
    ? readdirSync(baselines)
        .filter((file) => file.endsWith(".safetensors"))
        .sort()
    : [];
  const paths = files.map((file) => join(baselines, file));
  if (run !== folder && existsSync(join(run, RUN_FILES.model))) paths.unshift(join(run, RUN_FILES.model));
  const others = paths.filter((other) => basename(other) !== basename(path) || dirname(other) !== folder);
  return Promise.all(others.map(async (other) => ({ path: other, loaded: await loadModel(other) })));
}

/** As the report calls it: "GRU 48", "ridge(96)". */
export function predictorName({ header, predictor }: LoadedModel): string {
  return header.architecture.type === "baseline" ? predictor.name : describeArchitecture(header.architecture);
}

/** Null for a baseline. */
export function parameterCount({ header: { architecture } }: LoadedModel): number | null {
  return architecture.type === "baseline" ? null : countParameters(architecture);
}

/** Ready to be judged beside `first`. */
export function entrantOf(loaded: LoadedModel, first: LoadedModel): Entrant {
  const size = parameterCount(loaded);
  const kind = size === null ? "baseline" : "model";
  // The model that training went on from has the same architecture, and a name of its own.
  const same = loaded !== first && predictorName(loaded) === predictorName(first);
  return {
    name: same ? loaded.header.name : predictorName(loaded),
    kind,
    predictor: loaded.predictor,
    cheaper: (size ?? 0) < (parameterCount(first) ?? 0),
    ...(loaded.header.detection && { detection: loaded.header.detection }),
  };
}

/**
 * The configuration with its data where the run folder's own says they lie; the model file holds no path of the machine it was made on.
 * Null where no configuration lies beside the model.
 *
 * @throws OST_CONFIG if what lies there is none.
 */
export async function locateData(config: ExperimentConfig, path: string): Promise<ExperimentConfig | null> {
  const own = join(runFolderOf(path), RUN_FILES.config);
  if (!existsSync(own)) return null;
  const { source } = (await loadConfig(own)).config.data;
  return { ...config, data: { ...config.data, source } };
}

/** The configuration a model was trained by. The names of its data are no paths, see {@link locateData}. @throws OST_MODEL_FILE if the file holds none. */
export function trainedConfig({ header }: LoadedModel, path: string): ExperimentConfig {
  if (header.provenance.config === null || header.provenance.config === undefined) {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "the file does not say how it was trained",
      where: path,
      repair: "use predict, stream or serve; evaluate needs the configuration",
    });
  }
  return parseConfig(header.provenance.config, `${path}: provenance.config`);
}
