/** @file Data that a model did not learn from, to fit something to it: its validation part, or a file of its own; and the test part to show what that is worth. */
import { basename } from "node:path";
import type { Batch, ExampleSpec, Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { applyPreprocessing, type PreparedData, partCode } from "../data/index.js";
import { hashSource, type ReadOptions } from "../data/read/index.js";
import type { LoadedModel } from "../model/index.js";
import { type ExperimentConfig, evaluationBatches } from "../tasks/index.js";
import { readModelInput } from "./data-file.js";
import { ownData } from "./evaluate.js";
import { locateData, trainedConfig } from "./model-file.js";
import { alignColumns, figure } from "./terminal.js";

/** A part of data, which may be gone through again and again. */
export interface HeldBack {
  /** In a sentence, and at the head of a column. */
  name: string;
  short: string;
  config: ExperimentConfig;
  prepared: PreparedData;
  part: Part;
  batches(): Iterable<Batch>;
}

/** The part to fit on, and the test part of the model's own data where they are at hand. */
export async function heldBackData(
  loaded: LoadedModel,
  path: string,
  { data, notes }: { data: string | undefined; notes: string[] },
): Promise<{ fitted: HeldBack; test: HeldBack | null; spec: ExampleSpec }> {
  const trained = trainedConfig(loaded, path);
  const own = await ownData(loaded, path).catch((error) => {
    if (data !== undefined && error instanceof OstinatoError) return error;
    throw error;
  });
  const found = own instanceof OstinatoError ? null : own;
  if (own instanceof OstinatoError)
    notes.push(`nothing was scored on a test part: the model's own data are not at hand (${own.detail.what}).`);
  const spec = found?.spec ?? loaded.header.spec;
  const test =
    found && found.prepared.split.test > 0
      ? heldBack(found.config, found.prepared, "test", { name: `the test part of ${found.prepared.source}`, short: "test" })
      : null;
  if (found) notes.push(...found.notes);
  if (data !== undefined) {
    await wantUnseen(loaded, data, trained);
    const table = await readModelInput(data, { ...loaded.preprocessing, config: trained });
    const prepared = asValidation(applyPreprocessing(table, loaded.preprocessing));
    const config = (await locateData(trained, path)) ?? trained;
    return {
      fitted: heldBack(config, prepared, "validation", { name: `all of ${basename(data)}`, short: basename(data) }),
      test,
      spec,
    };
  }
  const { prepared, config } = found as Exclude<typeof found, null>;
  if (prepared.split.validation === 0) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the model's own data hold nothing back: their validation part is empty",
      expected: "a validation part; the test part is never fitted on",
      got: `${prepared.split.train} rows to train on, ${prepared.split.test} to test`,
      where: path,
      repair: "name other data that the model has not seen: --data FILE",
    });
  }
  notes.push(
    "the validation part also chose the epoch, so what is fitted there is a little too sure of itself; --data FILE fits on data of its own.",
  );
  return {
    fitted: heldBack(config, prepared, "validation", { name: `the validation part of ${prepared.source}`, short: "validation" }),
    test,
    spec,
  };
}

/** @throws OST_SPLIT for a file that the model was trained, chosen or tested with. */
async function wantUnseen({ header }: LoadedModel, data: string, { data: trained }: ExperimentConfig): Promise<void> {
  const hash = await hashSource(data, trained.read as ReadOptions);
  const twin = Object.entries(header.provenance.data).find(([, known]) => known === hash)?.[0];
  if (twin === undefined) return;
  throw new OstinatoError("OST_SPLIT", {
    what: "this is the model's own data, which hold rows it learned from or is tested with",
    expected: "a file the model has not seen",
    got: `the same bytes as ${twin} (sha256 ${hash.slice(0, 12)})`,
    where: `--data ${data}`,
    repair: "leave --data out: that fits on the validation part alone",
  });
}

/** Rows of a file that is there to be fitted on are validation rows, though new data are read as those of a test. */
function asValidation(prepared: PreparedData): PreparedData {
  const [test, validation] = [partCode("test"), partCode("validation")];
  const series = prepared.series.map((one) => ({ ...one, part: one.part.map((code) => (code === test ? validation : code)) }));
  return { ...prepared, series, split: { ...prepared.split, validation: prepared.split.test, test: 0 } };
}

/** Values, logits of all classes together, that are held at a time: 128 MB. */
const MOST_LOGITS = 2 ** 25;

function heldBack(
  config: ExperimentConfig,
  prepared: PreparedData,
  part: Part,
  { name, short }: Pick<HeldBack, "name" | "short">,
): HeldBack {
  const { targetKind, classes } = prepared.preprocessing;
  const keepsLogits = targetKind !== "values" && config.task !== "detect";
  const decisions = keepsLogits ? prepared.split[part] * classes.length : 0;
  const every = Math.max(1, Math.ceil(decisions / MOST_LOGITS));
  return {
    ...{ name, short, config, prepared, part },
    *batches() {
      let i = 0;
      for (const batch of evaluationBatches(config, prepared, part)) if (i++ % every === 0) yield batch;
    },
  };
}

/** What a model is worth on a part, by the name of the figure. */
export type Quality = Record<string, number>;

export interface ComparedPart {
  part: string;
  before: Quality;
  after: Quality;
}

export function qualityTable(parts: readonly ComparedPart[]): string[] {
  const names = [...new Set(parts.flatMap(({ before, after }) => [...Object.keys(after), ...Object.keys(before)]))];
  const cell = (value: number | undefined) => (value === undefined ? "none" : figure(value, 4));
  const rows = [
    ["", ...parts.flatMap(({ part }) => [`${part}: before`, "after"])],
    ...names.map((name) => [name, ...parts.flatMap((one) => [cell(one.before[name]), cell(one.after[name])])]),
  ];
  return alignColumns(rows, { right: parts.flatMap((_, i) => [2 * i + 1, 2 * i + 2]) });
}
