/** @file Sessions, predictions and models as the JSON of the native protocols. */
import { describePrediction } from "../model/prediction.js";
import type { ModelFacts, SessionEvent, SessionFacts, StepAnswer, WirePrediction, WireRecord } from "../protocol/event.js";
import type { ModelVersion } from "./engine.js";
import type { LifecycleChange, Predictions, SessionStatus, StepInput } from "./operation.js";
import { idText, type SessionId, type SessionName } from "./session-key.js";
import { type ServedModel, type SessionNews, type StepResult, versionOf } from "./sessions.js";

const FINGERPRINT = 12;

export function wireModel({ name, current, others }: ServedModel, engine: string | null): ModelFacts {
  const { bytes: _, stateSchema: _schema, stateSize: _size, profile: _profile, ...facts } = current;
  return { name, ...facts, otherVersions: others.map(({ version }) => version), engine };
}

export function wireSession({ tenant, model, id }: SessionName, status: SessionStatus): SessionFacts {
  return {
    session: idText(id),
    model,
    version: status.version,
    status: status.status,
    incarnation: status.incarnation,
    durability: status.durability,
    attributes: status.attributes,
    owner: tenant.slice(0, FINGERPRINT),
    seq: status.seq,
    steps: status.steps,
    resets: status.resets,
    createdAt: new Date(status.createdAt).toISOString(),
    ageSeconds: status.ageMs / 1000,
    stateAgeSeconds: status.stateAgeMs / 1000,
    idleSeconds: status.idleMs / 1000,
  };
}

export function wirePredictions(model: ModelVersion, { count, seq, time, values }: Predictions): WirePrediction[] {
  const width = count === 0 ? 0 : values.length / count;
  return Array.from({ length: count }, (_, i) => ({
    seq: seq[i],
    ...describePrediction(model, { time: time[i], values: values.subarray(i * width, (i + 1) * width) }),
  }));
}

export function wireStep(model: ServedModel, id: SessionId, result: StepResult): StepAnswer {
  const { session, count, predictions, repeated, error, lifecycle } = result;
  const answer: StepAnswer = {
    session: idText(id),
    incarnation: session.incarnation,
    version: session.version,
    seq: session.seq,
    steps: session.steps,
    applied: count,
    predictions: wirePredictions(versionOf(model, session.version), predictions),
  };
  const resets = lifecycle.filter(({ kind }) => kind === "reset").map(({ seq, reason }) => ({ seq, reason: reason ?? "client" }));
  if (resets.length > 0) answer.resets = resets;
  if (repeated) answer.repeated = true;
  if (error) answer.error = error;
  return answer;
}

/** The events that one piece of news is: one per applied record. */
export function wireEvents(served: ServedModel, news: SessionNews): SessionEvent[] {
  const session = idText(news.session.id);
  const at = Date.now();
  if (news.kind === "closing") return [{ kind: "closing", session, seq: 0, steps: 0, at, resets: 0 }];
  if (news.kind === "lifecycle") return [wireChange(session, news.change, news.status)];
  const { result, input, view, latencyMs } = news;
  const model = versionOf(served, result.session.version);
  const predictions = wirePredictions(model, result.predictions);
  const first = result.session.seq - result.count + 1;
  return Array.from({ length: result.count }, (_, i) => ({
    kind: "step",
    session,
    seq: first + i,
    steps: Math.max(0, result.session.steps - result.count + 1 + i),
    at,
    record: recordAt(model, input, i),
    predictions: predictions.filter(({ seq }) => seq === first + i),
    view: view === null ? [] : rounded(view),
    latencyMs: latencyMs / result.count,
  }));
}

function wireChange(session: string, { kind, seq, reason }: LifecycleChange, status: SessionStatus | null): SessionEvent {
  const known = kind === "hibernated" || kind === "woken" ? "open" : kind;
  return {
    kind: known,
    session,
    seq: status?.seq ?? seq,
    steps: status?.steps ?? 0,
    at: Date.now(),
    resets: status?.resets ?? 0,
    ...(reason === null ? {} : { reason }),
  };
}

function recordAt({ columns }: ModelVersion, input: StepInput, i: number): WireRecord {
  if ("records" in input) return input.records[i] as WireRecord;
  return Object.fromEntries(
    columns.map((name, c) => {
      const value = input.rows[i * columns.length + c];
      return [name, Number.isFinite(value) ? value : null];
    }),
  );
}

/** Four decimals, for display; a value that is not finite becomes 0, because JSON has none. */
export function rounded(values: Float32Array): number[] {
  return Array.from(values, (value) => (Number.isFinite(value) ? Math.round(value * 1e4) / 1e4 : 0));
}
