/**
 * @file One inference of the Open Inference Protocol, whatever brought it: which sequence, begun or ended, its tensors, and its answer.
 *
 * Triton's parameters say the sequence: `sequence_id`, a text or an integer of 64 bits (42 and "42" are two), `sequence_start`, `sequence_end`.
 * START on a live sequence begins it afresh under a new incarnation; without START the sequence must be there. A request without an id, or
 * with id 0 or "", is no part of a sequence: it runs alone, from a fresh state that is thrown away; it must not have just one of START and
 * END, which would promise a state that nobody keeps.
 *
 * Our own parameters: `ostinato_seq`, the number of the request's first step, makes it safe to send again; `incarnation` refuses it if the
 * sequence began afresh meanwhile; at START `ostinato_durability`, `ostinato_ttl_seconds`, `ostinato_session_type` and
 * `ostinato_device_class`. The answer holds `sequence_id`, `ostinato_seq`, the number of the last step applied, and `incarnation`.
 *
 * A request of several steps whose later ones are refused has changed the session: it is answered with the predictions of those before, and
 * with `ostinato_applied`, `ostinato_code` and `ostinato_error`.
 */
import { randomUUID } from "node:crypto";
import { OstinatoError } from "../core/errors.js";
import type { ModelVersion } from "./engine.js";
import { findModel } from "./oip-model.js";
import type { InferenceStatistics } from "./oip-statistics.js";
import {
  checkOutputs,
  type InputTensor,
  inputTensors,
  type OutputTensor,
  outputTensors,
  readInput,
  writeOutput,
} from "./oip-tensor.js";
import { idText, numberId, type SessionId, textId } from "./session-key.js";
import { type Request, type ServedModel, type Sessions, type StepOptions, type StepResult, versionOf } from "./sessions.js";

/** Whole numbers beyond 2^53 are bigints. */
export type Parameter = boolean | number | bigint | string;

export interface InferRequest {
  model: string;
  /** "" any. */
  version: string;
  /** Echoed. */
  id: string;
  parameters: ReadonlyMap<string, Parameter>;
  /** Read when the request's turn has come, so that what they are refused for is answered in its place. @throws OST_REQUEST. */
  inputs(): readonly InputTensor[];
  /** Names; default all. */
  outputs?: readonly string[];
}

export interface InferAnswer {
  model: string;
  /** The version that computed it. */
  version: string;
  id: string;
  parameters: Map<string, Parameter>;
  outputs: OutputTensor[];
}

const refuse = (parameter: string, expected: string, got: unknown) =>
  new OstinatoError("OST_REQUEST", {
    what: `the parameter '${parameter}' does not fit`,
    expected,
    got: `${typeof got} ${String(got).slice(0, 40)}`,
    where: "parameters",
  });

/** The sequence that parameters name; null for none. @throws OST_REQUEST. */
export function sequenceId(parameters: ReadonlyMap<string, Parameter>): SessionId | null {
  const id = parameters.get("sequence_id");
  if (id === undefined || id === "" || id === 0) return null;
  if (typeof id === "string") return textId(id);
  if (typeof id === "bigint") return numberId(id);
  if (typeof id === "number" && Number.isSafeInteger(id) && id > 0) return numberId(String(id));
  throw refuse("sequence_id", "a text, or a whole number from 0 to 18446744073709551615", id);
}

function flag(parameters: ReadonlyMap<string, Parameter>, name: string): boolean {
  const value = parameters.get(name) ?? false;
  if (typeof value === "boolean") return value;
  throw refuse(name, "true or false", value);
}

function whole(parameters: ReadonlyMap<string, Parameter>, name: string, least: number): number | undefined {
  const value = parameters.get(name);
  if (value === undefined || (typeof value === "number" && Number.isSafeInteger(value) && value >= least)) return value;
  throw refuse(name, `a whole number from ${least} to ${Number.MAX_SAFE_INTEGER}`, value);
}

function text(parameters: ReadonlyMap<string, Parameter>, name: string): string | undefined {
  const value = parameters.get(name);
  if (value === undefined || typeof value === "string") return value;
  throw refuse(name, "a text", value);
}

interface Prepared {
  served: ServedModel;
  /** null: no part of a sequence. */
  id: SessionId | null;
  options: Omit<StepOptions, "input">;
}

/** Everything that can be refused before it is known which version the session is on. */
function prepare(sessions: Sessions, ask: InferRequest): Prepared {
  const { parameters } = ask;
  const served = findModel(sessions, ask.model, ask.version);
  const id = sequenceId(parameters);
  const start = flag(parameters, "sequence_start");
  const end = flag(parameters, "sequence_end");
  const options: Prepared["options"] = {
    seq: whole(parameters, "ostinato_seq", 1),
    incarnation: whole(parameters, "incarnation", 0),
  };
  if (id === null) {
    if (start !== end || options.seq !== undefined || options.incarnation !== undefined) {
      throw new OstinatoError("OST_REQUEST", {
        what: `inference request to model '${ask.model}' must specify a non-zero or non-empty correlation ID`,
        where: "parameters",
        repair: "give a sequence_id; without one, and without START or END, a request runs alone from a fresh state",
      });
    }
    return { served, id, options: { ...options, start: { onLive: "refuse", durability: "none" }, end: true } };
  }
  if (start) options.start = beginning(parameters);
  if (end) options.end = true;
  return { served, id, options };
}

function beginning(parameters: ReadonlyMap<string, Parameter>): StepOptions["start"] {
  const durability = text(parameters, "ostinato_durability");
  const ttlSeconds = whole(parameters, "ostinato_ttl_seconds", 1);
  const facts = {
    session_type: text(parameters, "ostinato_session_type"),
    device_class: text(parameters, "ostinato_device_class"),
  };
  const attributes = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
  return {
    onLive: "restart",
    ...(durability === undefined ? {} : { durability }),
    ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
  };
}

/**
 * Runs one inference.
 *
 * @throws an OstinatoError, with nothing applied: OST_START for a sequence that is not there, OST_MODEL, OST_VERSION, OST_REQUEST, OST_COLUMN,
 *   OST_VALUE, and what a step can be refused for.
 */
export async function infer(
  sessions: Sessions,
  request: Request,
  { ask, statistics }: { ask: InferRequest; statistics: InferenceStatistics },
): Promise<InferAnswer> {
  const began = performance.now();
  let counted: string | null = null;
  try {
    const { served, id, options } = checked(sessions, request, () => prepare(sessions, ask));
    counted = served.name;
    const model = await modelOf(sessions, request, { ask, served, id: options.start === undefined ? id : null });
    const input = checked(sessions, request, () => {
      checkOutputs(model, ask.outputs ?? []);
      return readInput(model, ask.inputs());
    });
    const at = { model: ask.model, id: id ?? textId(`alone-${randomUUID()}`) };
    const result = await step(sessions, request, { at, options: { ...options, input } });
    const answer = answerOf(sessions.model(ask.model), { ask, result, named: id !== null });
    statistics.count(served.name, { ok: true, steps: result.count, ms: performance.now() - began });
    return answer;
  } catch (error) {
    if (counted !== null) statistics.count(counted, { ok: false, steps: 0, ms: performance.now() - began });
    throw error;
  }
}

/** Counts what the work refuses. */
function checked<T>(sessions: Sessions, { protocol }: Request, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof OstinatoError) sessions.refused(error.code, protocol);
    throw error;
  }
}

/**
 * The version that the request is read by: its session's, or the present one for a session that begins (`id` null).
 *
 * @throws OST_VERSION if the request names another: it is for sessions on that, and for none else.
 */
async function modelOf(
  sessions: Sessions,
  request: Request,
  { ask, served, id }: { ask: InferRequest; served: ServedModel; id: SessionId | null },
): Promise<ModelVersion> {
  const { current, others } = served;
  let { version } = current;
  if (id !== null && (ask.version === "" ? !others.every((one) => readsAlike(one, current)) : others.length > 0)) {
    try {
      version = (await sessions.get(request, { model: ask.model, id })).session.version;
    } catch (error) {
      // It may be that its START is on the way; else the step is refused.
      if (ask.version !== "") throw missingStart(error, { model: ask.model, id });
    }
  }
  if (ask.version === "" || ask.version === version) return versionOf(served, version);
  throw new OstinatoError("OST_VERSION", {
    what: id === null ? "a sequence begins on the model's present version" : "the sequence is on another version",
    expected: version,
    got: ask.version,
    repair: "leave the version out: a sequence stays on the one it began with",
  });
}

/** Whether the same tensors fit both. */
function readsAlike(one: ModelVersion, other: ModelVersion): boolean {
  const tensors = (model: ModelVersion) => JSON.stringify([model.columns, inputTensors(model), outputTensors(model)]);
  return tensors(one) === tensors(other);
}

async function step(
  sessions: Sessions,
  request: Request,
  { at, options }: { at: { model: string; id: SessionId }; options: StepOptions },
): Promise<StepResult> {
  try {
    return await sessions.step(request, at, options);
  } catch (error) {
    throw options.start === undefined ? missingStart(error, at) : error;
  }
}

/** Clients look for Triton's own words. */
function missingStart(error: unknown, { model, id }: { model: string; id: SessionId }): unknown {
  if (!(error instanceof OstinatoError) || (error.code !== "OST_SESSION" && error.code !== "OST_START")) return error;
  return new OstinatoError(
    "OST_START",
    {
      what: `inference request for sequence ${idText(id)} to model '${model}' must specify the START flag on the first request of the sequence`,
      repair: "set sequence_start on a sequence's first request; it may have ended or expired",
    },
    { cause: error },
  );
}

function answerOf(
  served: ServedModel,
  { ask, result, named }: { ask: InferRequest; result: StepResult; named: boolean },
): InferAnswer {
  const { predictions, error, repeated, count } = result;
  const { seq, incarnation, version } = result.session;
  const parameters = new Map<string, Parameter>();
  if (named) {
    parameters.set("sequence_id", ask.parameters.get("sequence_id") as Parameter);
    parameters.set("ostinato_seq", seq);
    parameters.set("incarnation", incarnation);
  }
  if (repeated) parameters.set("ostinato_repeated", true);
  if (error) {
    parameters.set("ostinato_applied", count);
    parameters.set("ostinato_code", error.code);
    parameters.set("ostinato_error", error.message);
  }
  const model = versionOf(served, version);
  const known = new Set(outputTensors(model).map(({ name }) => name));
  // A session that went on to another version with this very request answers with what that one has.
  const wanted = ask.outputs?.filter((name) => known.has(name));
  return { model: ask.model, version, id: ask.id, parameters, outputs: writeOutput(model, predictions, wanted) };
}
