/**
 * @file The configuration of an experiment: one object that says everything from the data file to the decision.
 *
 * The zod schema is the one source: it validates, fills in defaults, gives the TypeScript type, and is published as a JSON Schema
 * (`schema/config.json`) for editors.
 */
import { z } from "zod";
import { nearest, OstinatoError } from "../core/errors.js";
import { METRICS, type MetricName } from "../evaluate/index.js";
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

const dropoutShare = z.number().min(0).lt(1);
const model = z.strictObject({
  cell: z.enum(["rnn", "lstm", "gru"]).default("gru"),
  hiddenSize: count.max(65536).default(64),
  numLayers: count.max(64).default(1),
  layerSizes: z
    .array(count.max(65536))
    .min(1)
    .max(64)
    .optional()
    .describe("units of each layer, in place of hiddenSize and numLayers"),
  dropout: dropoutShare.default(0).describe("between layers and before the head"),
  embeddingDropout: dropoutShare.optional().describe("of codes, whose vectors are zero then wherever they stand"),
  inputDropout: dropoutShare.optional().describe("one mask per sequence, of what the first layer reads"),
  lockedDropout: dropoutShare
    .optional()
    .describe("one mask per sequence, between layers and before the head (Gal & Ghahramani 2016)"),
  recurrentDropout: dropoutShare.optional().describe("one mask per sequence, of the state that goes from step to step"),
  weightDropout: dropoutShare.optional().describe("of the recurrent weights (Merity et al. 2018)"),
  zoneout: dropoutShare.optional().describe("share of units that keep their state in a step (Krueger et al. 2017)"),
  cellZoneout: dropoutShare.optional().describe("lstm: the same for the cells"),
  layerNorm: z.boolean().optional().describe("normalises what each layer gives (Ba et al. 2016)"),
  residual: z
    .boolean()
    .optional()
    .describe("from the second layer on: adds what a layer reads to what it gives, where the widths agree"),
  projection: count.max(65536).optional().describe("lstm: width of the projected state (Sak et al. 2014)"),
  learnedState: z.boolean().optional().describe("the initial state is learned; default zeros"),
  merge: z.enum(["concat", "sum", "mean"]).optional().describe("how two directions are joined; default concat"),
  tieWeights: z.boolean().optional().describe("language: the output layer is the embedding (Press & Wolf 2017)"),
  highway: count
    .optional()
    .describe("forecast: latest steps that also reach the forecast directly, weighted linearly (Lai et al. 2018)"),
  crf: z.boolean().default(false).describe("tag: labels of a sequence are decided together (Lafferty et al. 2001)"),
  attention: z
    .enum(["additive", "dot", "general", "none"])
    .default("additive")
    .describe("translate: Bahdanau et al. 2015, or Luong et al. 2015"),
  inputFeeding: z.boolean().default(false).describe("translate: the decoder also reads what it attended to before"),
  bridge: z
    .enum(["copy", "linear", "none"])
    .default("linear")
    .describe("translate: from the encoder's last state to the decoder's first"),
  targetEmbedding: count.max(4096).default(64).describe("translate: numbers per target token"),
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
  from: name
    .optional()
    .describe("model file whose weights, scaling and vocabularies training goes on from; relative to this file"),
  epochs: count.default(10),
  maxSteps: count.optional(),
  batchSize: count.default(32),
  maxTokens: count.optional().describe("most steps of a batch, padding included: as many examples as fit"),
  shuffleBuffer: count.optional().describe("examples shuffled at a time; default 1,048,576"),
  prefetch: z.enum(["auto", "on", "off"]).default("auto").describe("batches made ahead by a worker"),
  augment: augment.optional(),
  accumulate: count.default(1).describe("batches whose gradients make one update together"),
  workers: count.max(64).default(1).describe("threads that share each batch; the result depends on their number"),
  loss: z
    .enum(["mse", "mae", "huber", "crossEntropy", "focal", "costs"])
    .optional()
    .describe("default mse for forecasts, crossEntropy for classes; costs: the expected cost of decision.costs"),
  focalGamma: z.number().min(0).default(2).describe("focal: how much less sure predictions count (Lin et al. 2017)"),
  labelSmoothing: z.number().min(0).lt(1).default(0),
  classWeights: z.enum(["none", "balanced"]).default("none").describe("balanced: inverse training frequency"),
  optimizer: z.enum(["sgd", "rmsprop", "adam", "adamw"]).default("adamw"),
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
  truncation: z
    .strictObject({ k1: count, k2: count })
    .optional()
    .describe(
      "mode: streaming: an update every k1 steps, each through the last k2 (Williams & Peng 1990); default window.length both",
    ),
  averaging: z
    .strictObject({ decay: z.number().gt(0).lt(1).default(0.999) })
    .nullable()
    .default(null)
    .describe("the model is the moving average of the weights"),
  sampling: z
    .strictObject({
      kind: z.enum(["constant", "linear", "exponential", "inverseSigmoid"]).default("linear"),
      from: z.number().min(0).max(1).default(0).describe("probability of reading its own prediction at first"),
      to: z.number().min(0).max(1).default(0.5).describe("and at last"),
      steps: count.describe("updates from first to last"),
    })
    .nullable()
    .default(null)
    .describe("scheduled sampling (Bengio et al. 2015), for translate and recursive forecasts"),
  rollout: count.optional().describe("recursive forecasts: steps that are predicted from own predictions in training"),
  recompute: z
    .union([z.literal("auto"), count])
    .optional()
    .describe("steps of a segment whose activations the backward pass computes again, to save memory; auto: sqrt of the steps"),
  seed: seedNumber.default(7),
  selection: z
    .enum(["loss", "metric"])
    .default("loss")
    .describe("what the best epoch is chosen by on validation; metric: that of the decision, or else of the task"),
  earlyStopping: z
    .strictObject({ patience: z.number().int().min(0).default(3) })
    .nullable()
    .default({ patience: 3 }),
});

const decision = z.union([
  z.strictObject({
    metric: z.enum(Object.keys(METRICS) as [MetricName, ...MetricName[]]),
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

const levels = z.array(z.number().gt(0).lt(1)).min(1).max(64);
const forecastSchema = z.strictObject({
  strategy: z
    .enum(["direct", "recursive"])
    .default("direct")
    .describe("direct: all of the horizon at once; recursive: one step ahead, which reads its own predictions"),
  distribution: z
    .enum(["point", "quantiles", "gaussian", "studentT", "negativeBinomial"])
    .default("point")
    .describe("what is predicted of a value"),
  levels: levels.default([0.05, 0.25, 0.5, 0.75, 0.95]).describe("quantiles"),
  paths: count.max(10_000).default(100).describe("recursive with a distribution: sample paths whose quantiles are the forecast"),
});

const decoding = z.strictObject({
  method: z.enum(["greedy", "beam"]).default("greedy"),
  width: count.max(1024).default(4).describe("beam: hypotheses kept"),
  lengthPenalty: z.number().min(0).default(0).describe("beam: Wu et al. 2016"),
  coveragePenalty: z.number().min(0).default(0).describe("beam with attention: Wu et al. 2016"),
  noRepeat: count.optional().describe("no sequence of so many tokens is made twice"),
  maxLength: count.optional().describe("default twice the longest target of training"),
});

const detectSchema = z.strictObject({
  by: z
    .enum(["nextEvent", "residual", "reconstruction"])
    .describe("how surprising the next event is, how far the next value is off, or how badly a window can be rebuilt"),
  rank: count
    .optional()
    .describe("nextEvent: a step is anomalous whose event is not among the so many likeliest; default: chosen on validation"),
  shortest: count.default(1).describe("nextEvent: sessions of fewer events are judged by data, see short"),
  short: z.enum(["anomalous", "normal"]).default("anomalous").describe("what a session shorter than shortest counts as"),
  threshold: z
    .union([
      z.strictObject({ per1000: z.number().positive() }).describe("so many alerts in 1,000 validation steps"),
      z.strictObject({ quantile: z.number().gt(0).lt(1) }).describe("of the validation scores"),
      z.strictObject({ metric: z.literal("f1") }).describe("the best F1 on validation, which must hold labels"),
    ])
    .default({ per1000: 1 })
    .describe("chosen on the validation part alone"),
  margin: z
    .number()
    .min(1)
    .default(1)
    .describe("the chosen threshold is raised so many times: a short validation part has not seen the highest normal score"),
  smooth: count
    .max(1_000_000)
    .default(1)
    .describe("scores that are averaged, exponentially, before they are held against the threshold"),
  hold: z
    .strictObject({
      off: z.number().gt(0).lte(1).default(1),
      steps: count.max(1_000_000).default(1),
      quiet: z.number().int().min(0).max(1_000_000).default(0),
    })
    .prefault({})
    .describe(
      "hysteresis: an alert ends below off times the threshold, begins after so many steps above, and is quiet so long after one",
    ),
  unit: z.enum(["step", "series"]).default("step").describe("whether steps are judged, or whole series"),
});

export const configSchema = z
  .strictObject({
    name: name.optional(),
    task: z.enum(["forecast", "classify", "tag", "language", "translate", "transcribe", "detect"]),
    data: dataSchema,
    mode: z.enum(["streaming", "causal", "offline"]).default("causal"),
    window: window.prefault({}),
    model: model.prefault({}),
    train: train.prefault({}),
    forecast: forecastSchema.prefault({}),
    decoding: decoding.prefault({}),
    detect: detectSchema.optional(),
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

type Refuse = (key: string, expected: string, got: string, repair: string) => OstinatoError;

/** What a task predicts at: each step, the end, or as a sequence of its own. */
const STEPWISE = ["tag", "language", "detect"];

function check(config: ExperimentConfig, where: string): void {
  const refuse: Refuse = (key, expected, got, repair) =>
    new OstinatoError("OST_CONFIG", { what: `${key} does not fit`, expected, got, where, repair });
  const { task, mode, data, model: network } = config;
  const offline = task === "translate" || task === "transcribe" || config.detect?.by === "reconstruction";
  if (network.bidirectional && mode !== "offline" && !offline) {
    throw new OstinatoError("OST_CAUSAL", {
      what: "a bidirectional network reads the future",
      expected: "mode: offline",
      got: `mode: ${mode}`,
      where: `${where}: model.bidirectional`,
      repair: "set mode: offline (such a model cannot be streamed), or model.bidirectional: false",
    });
  }
  if (network.bidirectional && (task === "language" || (task === "detect" && config.detect?.by !== "reconstruction"))) {
    throw new OstinatoError("OST_CAUSAL", {
      what: "a network that predicts what comes next must not have read it",
      expected: "model.bidirectional: false",
      got: "true",
      where: `${where}: model.bidirectional`,
      repair: "set model.bidirectional: false",
    });
  }
  checkWindow(config, refuse);
  checkTarget(config, refuse);
  checkLoss(config, refuse);
  checkForecast(config, refuse);
  if (network.crf && task !== "tag") throw refuse("model.crf", "task: tag", `task: ${task}`, "set model.crf: false");
  checkVariant(config, refuse);
  if (network.highway !== undefined) checkHighway(config, refuse);
  if (network.crf && mode === "streaming") {
    throw refuse(
      "model.crf",
      "mode: causal or offline",
      "streaming",
      "labels that are decided together need whole sequences: set mode: offline",
    );
  }
  if (data.tagScheme && task !== "tag") {
    throw refuse("data.tagScheme", "task: tag", `task: ${task}`, "leave data.tagScheme out");
  }
  if (network.tieWeights && task !== "language") {
    throw refuse("model.tieWeights", "task: language", `task: ${task}`, "set model.tieWeights: false");
  }
  if (network.layerSizes && network.numLayers !== 1) {
    throw refuse(
      "model.numLayers",
      "layerSizes alone, which says how many layers there are",
      String(network.numLayers),
      "leave model.numLayers out",
    );
  }
}

/** What only a plain stack of recurrent layers has. */
const STACK_ALONE = [
  "layerSizes",
  "embeddingDropout",
  "inputDropout",
  "lockedDropout",
  "recurrentDropout",
  "weightDropout",
  "zoneout",
  "cellZoneout",
  "layerNorm",
  "residual",
  "projection",
  "learnedState",
] as const;

/** Nothing that is asked for is silently left out. */
function checkVariant({ task, detect, model }: ExperimentConfig, refuse: Refuse): void {
  const whole = task === "translate" ? "an encoder-decoder" : detect?.by === "reconstruction" ? "an autoencoder" : null;
  if (whole === null) return;
  const extra = STACK_ALONE.find((key) => model[key]);
  if (extra)
    throw refuse(`model.${extra}`, `nothing: ${whole} has no such option`, String(model[extra]), `leave model.${extra} out`);
}

function checkHighway({ task, mode, model, window, forecast }: ExperimentConfig, refuse: Refuse): void {
  if (task !== "forecast" || mode === "streaming" || forecast.strategy === "recursive") {
    throw refuse("model.highway", "a direct forecast from windows", `task: ${task}, mode: ${mode}`, "leave model.highway out");
  }
  if (forecast.distribution === "negativeBinomial") {
    throw refuse("model.highway", "a distribution with a location", "negativeBinomial", "leave model.highway out");
  }
  const { highway = 0 } = model;
  if (highway > (window.length ?? 0)) {
    throw refuse("model.highway", `at most window.length, ${window.length}`, String(highway), "lower it, or read longer windows");
  }
}

function checkWindow({ task, mode, window: { length, normalize }, train }: ExperimentConfig, refuse: Refuse): void {
  const { k1, k2 } = train.truncation ?? {};
  if (train.truncation && mode !== "streaming") {
    throw refuse(
      "train.truncation",
      "mode: streaming",
      `mode: ${mode}`,
      "backpropagation is truncated where a state is carried on: set mode: streaming",
    );
  }
  if (k1 !== undefined && k2 !== undefined && k2 < k1) {
    throw refuse("train.truncation.k2", `at least k1, ${k1}`, String(k2), "an update reaches back at least to the one before");
  }
  if (length === undefined && (task === "forecast" || (mode === "streaming" && !train.truncation))) {
    throw refuse(
      "window.length",
      "a number of steps",
      "none",
      "say how many steps the model reads, for example window: { length: 96 }",
    );
  }
  if (length !== undefined && (task === "translate" || task === "transcribe")) {
    throw refuse(
      "window.length",
      `none for task: ${task}`,
      String(length),
      "whole sequences are learned: leave window.length out",
    );
  }
  if (mode === "streaming" && !["forecast", ...STEPWISE].includes(task)) {
    throw refuse(
      "mode",
      `causal or offline for task: ${task}`,
      "streaming",
      "one target per sequence is learned from whole sequences: set mode: causal",
    );
  }
  if (normalize !== "none" && (task !== "forecast" || mode === "streaming")) {
    throw refuse("window.normalize", "none, unless windows are forecast", normalize, "set window.normalize: none");
  }
}

function checkTarget({ task, detect, data: { target } }: ExperimentConfig, refuse: Refuse): void {
  if (task === "detect" && !detect) {
    throw refuse("detect", "how anomalies are found", "nothing", "for example detect: { by: residual }");
  }
  if (task !== "detect" && detect) throw refuse("detect", "task: detect", `task: ${task}`, "leave detect out");
  const values = task === "forecast" || (task === "detect" && detect?.by !== "nextEvent");
  if (!values && target.length !== 1) {
    const noun = task === "classify" || task === "tag" ? "one column of labels" : "one column";
    throw refuse("data.target", noun, target.join(", "), `name one column: target: ${target[0]}`);
  }
}

function checkLoss({ task, detect, decision, forecast, data, model: { crf }, train }: ExperimentConfig, refuse: Refuse): void {
  const { loss, sampling, rollout, labelSmoothing, classWeights } = train;
  const values = task === "forecast" || (task === "detect" && detect?.by !== "nextEvent");
  const ofValues = loss === "mse" || loss === "mae" || loss === "huber";
  const frames = task === "language" && data.categories[data.target[0]]?.kind === "set";
  const ofClasses = !frames && ["classify", "tag", "language", "detect"].includes(task);
  if (loss !== undefined && (values !== ofValues || (!values && !ofClasses))) {
    const expected = values
      ? "mse, mae or huber"
      : ofClasses
        ? "crossEntropy, focal or costs"
        : `none for task: ${task}${frames ? " of sets" : ""}`;
    throw refuse("train.loss", expected, loss, "leave train.loss out");
  }
  if (crf && (loss !== undefined || labelSmoothing > 0 || classWeights !== "none")) {
    throw refuse(
      "train.loss",
      "the likelihood of the whole sequence alone, with model.crf",
      loss ?? (labelSmoothing > 0 ? "label smoothing" : "class weights"),
      "leave train.loss, train.labelSmoothing and train.classWeights out, or set model.crf: false",
    );
  }
  if (loss === "costs" && !(decision && "costs" in decision)) {
    throw refuse("train.loss", "decision.costs, whose expected cost is minimised", "no costs", "add decision: { costs: ... }");
  }
  if (loss !== undefined && loss !== "crossEntropy" && labelSmoothing > 0) {
    throw refuse("train.labelSmoothing", "train.loss: crossEntropy", loss, "set train.labelSmoothing: 0");
  }
  const recursive = task === "forecast" && forecast.strategy === "recursive";
  if (train.selection === "metric" && (task === "detect" || (decision && "alertBudget" in decision))) {
    throw refuse(
      "train.selection",
      `loss for ${task === "detect" ? "task: detect" : "an alert budget"}`,
      "metric",
      "what counts as an alert is chosen on the validation part afterwards: leave train.selection out",
    );
  }
  if (sampling && task !== "translate" && !recursive) {
    throw refuse("train.sampling", "task: translate, or a recursive forecast", `task: ${task}`, "leave train.sampling out");
  }
  if (rollout !== undefined && !recursive) {
    throw refuse("train.rollout", "forecast.strategy: recursive", `task: ${task}`, "leave train.rollout out");
  }
}

function checkForecast({ task, mode, window, train, forecast, model }: ExperimentConfig, refuse: Refuse): void {
  const { distribution, levels, strategy } = forecast;
  if (task !== "forecast") return;
  if (distribution !== "point" && train.loss !== undefined) {
    throw refuse("train.loss", `none: forecast.distribution ${distribution} has its own`, train.loss, "leave train.loss out");
  }
  if (distribution === "negativeBinomial" && window.normalize !== "none") {
    throw refuse("window.normalize", "none for counts", window.normalize, "set window.normalize: none");
  }
  if (levels.some((level, i) => i > 0 && level <= levels[i - 1])) {
    throw refuse("forecast.levels", "rising levels", levels.join(", "), "sort them, each once");
  }
  if (strategy === "recursive" && model.bidirectional) {
    throw refuse(
      "model.bidirectional",
      "false where a forecast goes on from the network's state step by step",
      "true",
      "set model.bidirectional: false, or forecast.strategy: direct",
    );
  }
  if (strategy === "recursive" && mode === "streaming") {
    throw refuse("forecast.strategy", "direct where a state is carried on", "recursive", "set mode: causal");
  }
  if (strategy === "recursive" && distribution === "quantiles") {
    throw refuse(
      "forecast.distribution",
      "gaussian, studentT or negativeBinomial, which can be sampled",
      "quantiles",
      "sample paths give the quantiles: set forecast.distribution: gaussian",
    );
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
