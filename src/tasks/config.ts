/**
 * @file The configuration of an experiment: one object that says everything from the data file to the decision.
 *
 * The zod schema is the one source: it validates, fills in defaults, gives the TypeScript type, and is published as a JSON Schema
 * (`schema/config.json`) for editors.
 */
import { z } from "zod";
import { nearest, OstinatoError } from "../core/errors.js";
import { dataSchema } from "./data-config.js";

const name = z.string().min(1);
const count = z.number().int().min(1);
const seedNumber = z.number().int().min(0).max(0xffffffff);

const window = z.strictObject({
  length: count.optional().describe("input steps; streaming: steps between two truncations of backpropagation"),
  horizon: count.default(1).describe("forecast: steps predicted"),
  stride: count.default(1).describe("steps from one training window to the next"),
  normalize: z.enum(["none", "last", "meanStd"]).default("none").describe("per window, undone at the output"),
});

const model = z.strictObject({
  cell: z.enum(["rnn", "lstm", "gru"]).default("gru"),
  hiddenSize: count.max(65536).default(64),
  numLayers: count.max(64).default(1),
  dropout: z.number().min(0).lt(1).default(0).describe("between layers and before the head"),
  bidirectional: z.boolean().default(false).describe("needs mode: offline"),
  init: z.enum(["uniform", "orthogonal"]).default("orthogonal"),
  forgetBias: z.number().nullable().default(1).describe("lstm: initial bias of the forget gates"),
  resetAfter: z.boolean().default(true).describe("gru: position of the reset gate"),
  nonlinearity: z.enum(["tanh", "relu"]).default("tanh").describe("rnn"),
});

const schedule = z.union([
  z.enum(["constant", "cosine", "plateau"]),
  z.strictObject({
    kind: z.literal("cosine"),
    warmupSteps: z.number().int().min(0).default(0),
    floor: z.number().min(0).max(1).default(0),
  }),
  z.strictObject({ kind: z.literal("step"), every: count, factor: z.number().gt(0).lte(1).default(0.5) }),
  z.strictObject({
    kind: z.literal("plateau"),
    patience: z.number().int().min(0).default(2),
    factor: z.number().gt(0).lt(1).default(0.5),
  }),
]);

const share = z.number().gt(0).lt(1);
const augment = z
  .strictObject({
    jitter: z.number().positive().optional().describe("standard deviation of noise on scaled inputs"),
    scaling: z.number().positive().optional().describe("standard deviation of each column's factor"),
    timeMask: z.strictObject({ share, count: count.default(1) }).optional(),
    featureMask: z.strictObject({ width: count, count: count.default(1) }).optional(),
    slice: share.optional().describe("share of the steps that is kept"),
    speed: z.tuple([z.number().positive(), z.number().positive()]).optional().describe("lowest and highest factor"),
    timeWarp: z.strictObject({ std: z.number().positive(), knots: count.default(4) }).optional(),
  })
  .describe("variations of training examples, drawn anew in every epoch");

const train = z.strictObject({
  epochs: count.default(10),
  maxSteps: count.optional(),
  batchSize: count.default(32),
  maxTokens: count.optional().describe("most steps of a batch, padding included: as many examples as fit"),
  shuffleBuffer: count.optional().describe("examples shuffled at a time; default 1,048,576"),
  prefetch: z.enum(["auto", "on", "off"]).default("auto").describe("batches made ahead by a worker"),
  augment: augment.optional(),
  loss: z
    .enum(["mse", "mae", "huber", "crossEntropy"])
    .optional()
    .describe("default mse for forecasts, crossEntropy for classes"),
  labelSmoothing: z.number().min(0).lt(1).default(0),
  classWeights: z.enum(["none", "balanced"]).default("none").describe("balanced: inverse training frequency"),
  optimizer: z.enum(["sgd", "adam", "adamw"]).default("adamw"),
  learningRate: z.number().positive().default(1e-3),
  momentum: z.number().min(0).lt(1).default(0.9).describe("sgd"),
  weightDecay: z.number().min(0).default(1e-4),
  schedule: schedule.default("constant"),
  clipNorm: z
    .number()
    .positive()
    .nullable()
    .default(1)
    .describe("largest norm of all gradients together; null turns clipping off"),
  recompute: z
    .union([z.literal("auto"), count])
    .optional()
    .describe("steps of a segment whose activations the backward pass computes again, to save memory; auto: sqrt of the steps"),
  seed: seedNumber.default(7),
  earlyStopping: z
    .strictObject({ patience: z.number().int().min(0).default(3) })
    .nullable()
    .default({ patience: 3 }),
});

const decision = z.union([
  z.strictObject({
    metric: z.enum(["mse", "mae", "rmse", "smape", "mase", "accuracy", "balancedAccuracy", "macroF1", "logLoss"]),
  }),
  z.strictObject({ costs: z.record(name, z.record(name, z.number())) }).describe("cost by true and predicted class"),
  z.strictObject({ alertBudget: z.strictObject({ class: name, per1000: z.number().min(0).max(1000) }) }),
]);

const evaluation = z.strictObject({
  period: count.optional().describe("steps of a season, for seasonal naive and MASE"),
  lags: count.optional().describe("ridge: lags; default the window"),
  window: count.optional().describe("steps pooled by the logistic regression of tags"),
  rivals: z.boolean().default(true).describe("also trains a window MLP and a GRU of a quarter of the width"),
  resamples: z.number().int().min(100).max(100_000).default(2000).describe("of the bootstrap"),
});

export const configSchema = z
  .strictObject({
    name: name.optional(),
    task: z.enum(["forecast", "classify", "tag"]),
    data: dataSchema,
    mode: z.enum(["streaming", "causal", "offline"]).default("causal"),
    window: window.prefault({}),
    model: model.prefault({}),
    train: train.prefault({}),
    decision: decision.optional(),
    evaluation: evaluation.prefault({}),
  })
  .describe("An Ostinato experiment");

export type ExperimentConfig = z.output<typeof configSchema>;
/** As written by a user: defaults left out. */
export type ExperimentConfigInput = z.input<typeof configSchema>;

/**
 * Validates a configuration and fills in the defaults.
 *
 * @param where what messages call it, such as the file's name.
 * @throws OST_CONFIG naming the key, what was expected and, for an unknown key, the nearest known one. @throws OST_CAUSAL
 */
export function parseConfig(value: unknown, where = "configuration"): ExperimentConfig {
  const result = configSchema.safeParse(value);
  if (!result.success) throw fault(result.error.issues[0], value, where);
  const config = result.data;
  check(config, where);
  return config;
}

/** The JSON Schema of what a user writes. */
export function configJsonSchema(): object {
  return z.toJSONSchema(configSchema, { io: "input" });
}

function check(
  { task, mode, model: network, window: { length, normalize }, data: { target }, train: { loss } }: ExperimentConfig,
  where: string,
): void {
  const refuse = (key: string, expected: string, got: string, repair: string) =>
    new OstinatoError("OST_CONFIG", { what: `${key} does not fit`, expected, got, where, repair });
  if (network.bidirectional && mode !== "offline") {
    throw new OstinatoError("OST_CAUSAL", {
      what: "a bidirectional network reads the future",
      expected: "mode: offline",
      got: `mode: ${mode}`,
      where: `${where}: model.bidirectional`,
      repair: "set mode: offline (such a model cannot be streamed), or model.bidirectional: false",
    });
  }
  if (length === undefined && (task === "forecast" || mode === "streaming")) {
    throw refuse(
      "window.length",
      "a number of steps",
      "none",
      "say how many steps the model reads, for example window: { length: 96 }",
    );
  }
  if (task === "classify" && mode === "streaming") {
    throw refuse(
      "mode",
      "causal or offline for task: classify",
      "streaming",
      "one class per sequence is learned from whole sequences: set mode: causal",
    );
  }
  if (task !== "forecast" && target.length !== 1) {
    throw refuse("data.target", "one column of labels", target.join(", "), `name one column: target: ${target[0]}`);
  }
  if (normalize !== "none" && (task !== "forecast" || mode === "streaming")) {
    throw refuse("window.normalize", "none, unless windows are forecast", normalize, "set window.normalize: none");
  }
  if (loss !== undefined && (loss === "crossEntropy") === (task === "forecast")) {
    throw refuse("train.loss", task === "forecast" ? "mse, mae or huber" : "crossEntropy", loss, "leave train.loss out");
  }
}

function fault(issue: z.core.$ZodIssue, value: unknown, where: string): OstinatoError {
  const concrete = deepest(issue);
  const path = concrete.path.join(".");
  const at = path ? `${where}: ${path}` : where;
  if (concrete.code === "unrecognized_keys") {
    const key = concrete.keys[0];
    const known = knownKeys(configSchema, concrete.path.map(String));
    const guess = nearest(key, known);
    return new OstinatoError("OST_CONFIG", {
      what: `there is no key "${key}"`,
      expected: known.length > 0 ? `one of ${known.join(", ")}` : "a known key",
      got: `"${key}"`,
      where: at,
      repair: guess ? `did you mean "${guess}"?` : "remove it",
    });
  }
  const got = concrete.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value);
  return new OstinatoError("OST_CONFIG", {
    what: concrete.message.replace(/^Invalid input: /, "").replace(/^./, (c) => c.toLowerCase()),
    got: (JSON.stringify(got) ?? "nothing").slice(0, 80),
    where: at,
    repair: got === undefined ? `set ${path}` : `correct ${path || "the file"}`,
  });
}

/** Inside a failed union, the branch that got furthest says most. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const candidates = issue.errors.flatMap((branch) => (branch.length > 0 ? [branch] : [])).sort((a, b) => a.length - b.length);
  const objects = candidates.filter((branch) =>
    branch.every(({ path, code }) => path.length > 0 || code === "unrecognized_keys"),
  );
  const best = objects[0]?.[0];
  if (!best) return issue;
  return deepest({ ...best, path: [...issue.path, ...best.path] } as z.core.$ZodIssue);
}

/** Keys the schema knows at a path, over all branches of unions. */
function knownKeys(schema: unknown, path: readonly string[]): string[] {
  const { def } = (schema as { _zod: { def: Record<string, unknown> } })._zod;
  if (def.innerType) return knownKeys(def.innerType, path);
  if (Array.isArray(def.options)) return [...new Set(def.options.flatMap((option) => knownKeys(option, path)))];
  if (def.type !== "object") return [];
  const shape = def.shape as Record<string, unknown>;
  if (path.length === 0) return Object.keys(shape);
  return path[0] in shape ? knownKeys(shape[path[0]], path.slice(1)) : [];
}
