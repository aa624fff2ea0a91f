/**
 * @file The JSON Schemas (draft 2020-12) of what travels over HTTP. Closed on both sides: a field that is not here is neither taken nor sent.
 */

import { ERROR_CODES } from "../core/errors.js";
import { TASK_NAMES } from "../core/task-name.js";
import { HTTP_STATUS } from "../protocol/codes.js";
import { DURABILITIES } from "./operation.js";

export type JsonSchema = { readonly [keyword: string]: unknown };

export const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });
export const list = (items: JsonSchema): JsonSchema => ({ type: "array", items });

const text: JsonSchema = { type: "string" };
const number: JsonSchema = { type: "number" };
const flag: JsonSchema = { type: "boolean" };
const count: JsonSchema = { type: "integer", minimum: 0 };
const fromOne: JsonSchema = { type: "integer", minimum: 1, maximum: Number.MAX_SAFE_INTEGER };
const orNull = (schema: JsonSchema): JsonSchema => ({ anyOf: [schema, { type: "null" }] });
const map = (values: JsonSchema): JsonSchema => ({ type: "object", additionalProperties: values });
const about = (schema: JsonSchema, description: string): JsonSchema => ({ ...schema, description });

/** An object of exactly these fields; those whose name ends in "?" may be absent. */
function fields(properties: Record<string, JsonSchema>, description?: string): JsonSchema {
  const named = Object.entries(properties);
  const plain = (name: string) => name.replace(/\?$/, "");
  const required = named.map(([name]) => name).filter((name) => !name.endsWith("?"));
  return {
    type: "object",
    ...(description === undefined ? {} : { description }),
    properties: Object.fromEntries(named.map(([name, schema]) => [plain(name), schema])),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
}

const errorDetail = { what: text, "expected?": text, "got?": text, "where?": text, "repair?": text };
const errorCode: JsonSchema = {
  type: "string",
  enum: Object.keys(ERROR_CODES),
  description: "The catalogue is docs/reference/errors.md.",
};
const incarnation = about(fromOne, "Which of the session's states; it changes when the session begins afresh by a request.");
const seq = about(count, "Records applied in the session's life; it never goes back.");
const steps = about(count, "Records since the initial state: the age of the state.");
const version = about(text, "SHA-256 of the model version, in hexadecimal.");
const attributes: JsonSchema = {
  type: "object",
  properties: { session_type: text, device_class: text },
  additionalProperties: false,
  description: "Facts for metrics: 1 to 64 letters, digits, blanks or . : _ -",
};
const applied: JsonSchema = { type: "string", enum: ["yes", "no", "unknown"] };

const sessionFacts = {
  session: text,
  model: text,
  version,
  status: { type: "string", enum: ["active", "quarantined"] },
  incarnation,
  durability: { type: "string", enum: DURABILITIES },
  attributes,
  owner: about(text, "A fingerprint of the tenant."),
  seq,
  steps,
  resets: count,
  createdAt: { type: "string", format: "date-time" },
  ageSeconds: number,
  stateAgeSeconds: about(number, "Since the state began afresh."),
  idleSeconds: number,
} satisfies Record<string, JsonSchema>;

const native: Record<string, JsonSchema> = {
  Error: fields(
    {
      error: fields({
        code: errorCode,
        message: about(text, "All the facts in up to three lines."),
        ...errorDetail,
        applied: about(applied, '"unknown" only where the store would not say whether it wrote.'),
        "expectedSeq?": about(fromOne, "The number to go on from."),
        "retryAfterMs?": about(number, "When it may be granted."),
      }),
    },
    `What every refusal answers with. Statuses: ${Object.entries(HTTP_STATUS)
      .map(([code, status]) => `${code} ${status}`)
      .join(", ")}; any other code 500.`,
  ),
  Id: {
    description: 'A text of 1 to 256 bytes, or an unsigned integer of 64 bits as decimal digits; 42 and "42" are two.',
    anyOf: [text, fields({ number: { type: "string", pattern: "^\\d{1,20}$" } })],
  },
  SessionId: {
    description: "As Id, in a list.",
    anyOf: [fields({ text }), fields({ number: text })],
  },
  Record: {
    type: "object",
    additionalProperties: { type: ["number", "string", "null"] },
    description: "Column name to value; null, an absent column and empty text are missing values.",
  },
  Prediction: fields({
    seq: about(fromOne, "The record that completed it; a record may complete none, one, or several."),
    time: about(orNull(number), "ms since 1970 UTC; null where the data has no time."),
    "label?": text,
    "confidence?": about(number, "The label's probability."),
    "probabilities?": map(number),
    "score?": about(number, "Detectors: how surprising the record was that came."),
    "anomaly?": about({ type: "boolean" }, "Detectors: whether there is an alert."),
    "forecast?": about(map(list(number)), "Per target its next `horizon` values, in original units."),
    "interval?": about(
      fields({ coverage: number, lower: map(list(number)), upper: map(list(number)) }),
      "Where intervals were fitted: between which values the share `coverage` should lie, in the form of `forecast`.",
    ),
  }),
  Model: fields({
    name: text,
    version,
    otherVersions: about(list(text), "Older versions that sessions are still pinned to."),
    task: { type: "string", enum: TASK_NAMES },
    streaming: { type: "string", enum: ["carried", "windowed"] },
    windowLength: count,
    columns: about(list(text), "Of a row of numbers, in order, the time first."),
    time: orNull(text),
    classes: list(text),
    targets: list(text),
    horizon: count,
    "threshold?": about(number, "Two classes: the second is the label above this probability; absent: the likelier is."),
    "interval?": about(
      fields({ coverage: number, halfWidth: list(list(number)) }),
      "Intervals around forecasts: half of their width by target and step, in original units; absent: none were fitted.",
    ),
    features: list(text),
    textColumns: about(list(text), "They can be sent in records only, not as rows of numbers."),
    outputSize: count,
    resets: fields({
      timeGapMs: orNull(number),
      marker: orNull(fields({ column: text, value: text })),
      changed: list(text),
      maxSteps: orNull(count),
    }),
    batchInvariant: flag,
    engine: orNull(text),
  }),
  Models: fields({ models: list(ref("Model")) }),
  Session: fields(sessionFacts, "Facts of a session; never its state."),
  SessionView: fields({ ...sessionFacts, view: about(list(number), "The hidden vector, for display.") }),
  SessionList: fields({
    sessions: list(ref("SessionId")),
    next: about(orNull(text), "`after` of the next page; null at the end."),
  }),
  CreateRequest: fields({
    "id?": about(ref("Id"), "Default: a random text."),
    "snapshot?": about(text, "Begin from this state, base64; needs the scope state:write."),
    "durability?": about({ type: "string", enum: DURABILITIES }, "At most the server's; default the server's."),
    "ttlSeconds?": about({ type: "number", exclusiveMinimum: 0 }, "It expires after so long without use."),
    "attributes?": attributes,
  }),
  StepRequest: {
    description: "One of `record`, `records` and `rows`.",
    ...fields({
      "record?": ref("Record"),
      "records?": list(ref("Record")),
      "rows?": about(list(list({ type: ["number", "null"] })), "Numbers in the order of the model's columns."),
      "seq?": about(
        fromOne,
        "Number of the first record; a request repeated with it is answered from store and not applied twice.",
      ),
      "incarnation?": about(fromOne, "Only if the session's incarnation is this one."),
      "end?": about(flag, "End the session in the same commit."),
    }),
    oneOf: [{ required: ["record"] }, { required: ["records"] }, { required: ["rows"] }],
  },
  StepAnswer: fields({
    session: text,
    incarnation,
    version,
    seq,
    steps,
    applied: about(fromOne, "Records of this request that were applied."),
    predictions: list(ref("Prediction")),
    "repeated?": about(flag, "The stored answer to a request repeated with its number."),
    "resets?": about(list(fields({ seq: count, reason: text })), "Rules by which the state began afresh within this request."),
    "error?": about(
      fields({ code: errorCode, message: text, ...errorDetail, index: count }),
      "Why the record after the last applied one was refused; it and those after it were not applied.",
    ),
  }),
  ChangeRequest: fields({ "incarnation?": incarnation }),
  RestoreRequest: fields({
    snapshot: about(text, "Base64, as GET .../snapshot gave it."),
    "session?": text,
    "model?": text,
    "steps?": count,
  }),
  Snapshot: fields({ session: text, model: text, steps, snapshot: about(text, "Base64.") }),
  Answers: fields({
    seq,
    complete: about(flag, "False: answers between are not kept any more."),
    predictions: list(ref("Prediction")),
  }),
  StepLine: { description: "A line of the answer to NDJSON.", anyOf: [ref("StepAnswer"), ref("Error")] },
  StepEvent: fields({
    kind: { const: "step" },
    session: text,
    seq,
    steps,
    at: about(number, "Wall-clock time of the commit, ms since 1970 UTC."),
    record: ref("Record"),
    predictions: list(ref("Prediction")),
    view: list(number),
    latencyMs: number,
  }),
  LifecycleEvent: fields({
    kind: {
      type: "string",
      enum: [
        ...["open", "created", "reset", "restored", "quarantined", "version_changed", "lost"],
        ...["gap", "ended", "expired", "closing"],
      ],
      description: "`ended`, `expired` and `closing` are the last of their stream; `gap`: events before here are gone.",
    },
    "reason?": text,
    session: text,
    seq,
    steps,
    at: number,
    resets: count,
  }),
  Event: { description: "The `data` of a server-sent event.", anyOf: [ref("StepEvent"), ref("LifecycleEvent")] },
};

const parameter: JsonSchema = { type: ["string", "number", "boolean"] };
const duration = fields({ count, ns: count });
const tensorFacts = fields({ name: text, datatype: text, shape: list({ type: "integer", minimum: -1 }) });
const configTensor = fields({ name: text, data_type: text, dims: list({ type: "integer", minimum: -1 }) });

const openInference: Record<string, JsonSchema> = {
  OipError: fields({ error: text, code: errorCode, applied, "expected_seq?": fromOne }, "A refusal of /v2."),
  OipServer: fields({ name: text, version: text, extensions: list(text) }),
  OipModel: fields({ name: text, versions: list(text), platform: text, inputs: list(tensorFacts), outputs: list(tensorFacts) }),
  OipModelConfig: fields({
    name: text,
    platform: text,
    backend: text,
    max_batch_size: count,
    input: list(configTensor),
    output: list(configTensor),
    sequence_batching: fields({ direct: fields({}) }),
    parameters: map(fields({ string_value: text })),
  }),
  OipModelStatistics: fields({
    model_stats: list(
      fields({
        name: text,
        version: text,
        last_inference: number,
        inference_count: count,
        execution_count: count,
        inference_stats: fields({
          success: duration,
          fail: duration,
          queue: duration,
          compute_input: duration,
          compute_infer: duration,
          compute_output: duration,
        }),
      }),
    ),
  }),
  OipIndex: list(fields({ name: text, version: text, state: text, reason: text })),
  InferRequest: {
    type: "object",
    description:
      "Parameters: sequence_id (a text, or an integer of 64 bits), sequence_start, sequence_end, ostinato_seq, incarnation, " +
      "ostinato_durability, ostinato_ttl_seconds, ostinato_session_type, ostinato_device_class, binary_data_output.",
    properties: {
      id: text,
      parameters: map(parameter),
      inputs: list({
        type: "object",
        properties: {
          name: text,
          datatype: text,
          shape: list({ type: "integer", minimum: 0 }),
          parameters: map(parameter),
          data: { type: "array" },
        },
        required: ["name", "datatype", "shape"],
      }),
      outputs: list({ type: "object", properties: { name: text, parameters: map(parameter) }, required: ["name"] }),
    },
    required: ["inputs"],
  },
  InferAnswer: fields({
    model_name: text,
    model_version: text,
    "id?": text,
    "parameters?": map(parameter),
    outputs: list(
      fields({
        name: text,
        datatype: text,
        shape: list(count),
        "parameters?": map(parameter),
        "data?": list({ type: ["number", "string", "null"] }),
      }),
    ),
  }),
};

const health: Record<string, JsonSchema> = {
  Alive: fields({ alive: flag }),
  Ready: fields({ ready: flag, reasons: list(text) }),
  Started: fields({
    started: flag,
    recovered: orNull(fields({ seconds: number, sessions: count, afterCrash: flag })),
    sessions: count,
  }),
  OipLive: fields({ live: flag }),
  OipReady: fields({ "name?": text, ready: flag }),
};

/** Schemas by name. */
export const SCHEMAS: Readonly<Record<string, JsonSchema>> = { ...native, ...openInference, ...health };
