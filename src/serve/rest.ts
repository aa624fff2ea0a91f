/**
 * @file The native protocol over HTTP: sessions and their steps as JSON and NDJSON, and their events as server-sent events.
 *
 *     GET    /v1/models                                   GET /v1/models/{m}
 *     GET    /v1/models/{m}/sessions?after&limit          the tenant's sessions
 *     POST   /v1/models/{m}/sessions                      { id?, durability?, ttlSeconds?, attributes?, snapshot? }   201
 *     GET    /v1/models/{m}/sessions/{s}                  facts and hidden vector
 *     DELETE /v1/models/{m}/sessions/{s}                  ends it
 *     POST   /v1/models/{m}/sessions/{s}/steps            { record | records | rows, seq?, incarnation?, end? }; or NDJSON, a record a line
 *     POST   /v1/models/{m}/sessions/{s}/reset            { incarnation? }
 *     GET    /v1/models/{m}/sessions/{s}/snapshot         POST .../restore { snapshot }      POST .../hibernate
 *     GET    /v1/models/{m}/sessions/{s}/answers?after    stored predictions behind a number
 *     GET    /v1/models/{m}/sessions/{s}/events           server-sent events, one per step and change; Last-Event-ID goes on behind it
 *
 * An id in a path is a text; with `?idType=uint64` it is an unsigned integer. A header `Idempotency-Key: "7"` is the same as `seq: 7`
 * (IETF draft-ietf-httpapi-idempotency-key-header-07).
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { OstinatoError } from "../core/errors.js";
import { errorBody, SessionError } from "../protocol/codes.js";
import type { SessionEvent, SnapshotAnswer } from "../protocol/event.js";
import type { ModelVersion } from "./engine.js";
import { EventStream } from "./event-stream.js";
import { ReadableLines } from "./line-body.js";
import type { Observer } from "./observer.js";
import type { Principal } from "./principal.js";
import { parseCreate, parseCursor, parseIncarnation, parseRestore, parseSteps, recordLines, wantSeq } from "./request.js";
import { numberId, textId } from "./session-key.js";
import { type Request, type ServedModel, type SessionReference, type Sessions, versionOf } from "./sessions.js";
import { wireEvents, wireModel, wirePredictions, wireSession, wireStep } from "./wire.js";

export interface RestOptions {
  sessions: Sessions;
  observer: Required<Observer>;
  /** The compute engine in words. */
  engine: string | null;
  /** Readers of events in all. */
  maxEventReaders: number;
  /** Bytes that may wait for one of them. */
  maxReaderBufferBytes: number;
}

const HEARTBEAT_MS = 15_000;
const LINES_AT_ONCE = 64;
const LINGER_MS = 250;

interface SessionRoute {
  Params: { model: string; session: string };
  Querystring: Record<string, string | undefined>;
}

/** @returns what ends the streams of events. */
export function serveRest(app: FastifyInstance, options: RestOptions): { closeStreams(): void } {
  const { sessions, observer } = options;
  const streams = new Set<EventStream>();
  /** Readers whose stream is about to be opened: they count too. */
  let opening = 0;
  const by = (request: FastifyRequest): Request => ({
    principal: request.principal as Principal,
    protocol: "rest",
    signal: request.gone.signal,
  });
  const sessionOf = ({ params, query }: FastifyRequest<SessionRoute>): SessionReference => ({
    model: params.model,
    id: query.idType === "uint64" ? numberId(params.session) : textId(params.session),
  });
  const name = (request: FastifyRequest<SessionRoute>, { model, id }: SessionReference) => ({
    tenant: (request.principal as Principal).tenant,
    model,
    id,
  });

  app.get("/v1/models", async () => ({ models: sessions.models().map((model) => wireModel(model, options.engine)) }));
  app.get<{ Params: { model: string } }>("/v1/models/:model", async ({ params }) =>
    wireModel(sessions.model(params.model), options.engine),
  );

  app.get<SessionRoute>("/v1/models/:model/sessions", async (request) => {
    const { model } = request.params;
    const { after, limit } = parseCursor(request.query);
    const ids = await sessions.list(by(request), { model, after, limit });
    return { sessions: ids, next: ids.length < limit ? null : cursorOf(ids[ids.length - 1]) };
  });
  app.post<{ Params: { model: string } }>("/v1/models/:model/sessions", async (request, reply) => {
    const { model } = request.params;
    const { id, session } = await sessions.create(by(request), model, parseCreate(request.body));
    const named = { tenant: (request.principal as Principal).tenant, model, id };
    const query = "number" in id ? "?idType=uint64" : "";
    const path = `/v1/models/${encodeURIComponent(model)}/sessions/${encodeURIComponent("text" in id ? id.text : id.number)}${query}`;
    return reply.code(201).header("location", path).send(wireSession(named, session));
  });
  app.get<SessionRoute>("/v1/models/:model/sessions/:session", async (request) => {
    const at = sessionOf(request);
    const { session, view } = await sessions.get(by(request), at);
    return { ...wireSession(name(request, at), session), view: view === null ? [] : Array.from(view, finite) };
  });
  app.delete<SessionRoute>("/v1/models/:model/sessions/:session", async (request) => {
    const at = sessionOf(request);
    return wireSession(name(request, at), await sessions.end(by(request), at, parseIncarnation(request.query)));
  });
  app.post<SessionRoute>("/v1/models/:model/sessions/:session/steps", async (request, reply) => {
    const at = sessionOf(request);
    const model = sessions.model(at.model);
    if (request.body instanceof ReadableLines) {
      const { query, headers } = request;
      const seq = wantSeq(query.seq === undefined ? undefined : Number(query.seq), headers["idempotency-key"]);
      // From here on nothing but a line tells of a refusal, and whatever happens the answer has an end.
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8", "cache-control": "no-store" });
      try {
        await stepLines(request, at, { lines: request.body, seq, write: (line) => writeLine(raw, line) });
      } finally {
        raw.end();
        // What still comes of a body that was refused is thrown away for a moment, so that the refusal is read before the connection ends.
        if (!request.raw.complete) {
          request.raw.resume();
          setTimeout(() => request.raw.destroy(), LINGER_MS).unref();
        }
      }
      return reply;
    }
    const { input, seq, incarnation, end } = parseSteps(request.body, versionOfWidth(model, request.body));
    const number = wantSeq(seq, request.headers["idempotency-key"]);
    return wireStep(model, at.id, await sessions.step(by(request), at, { input, seq: number, incarnation, end }));
  });
  app.post<SessionRoute>("/v1/models/:model/sessions/:session/reset", async (request) => {
    const at = sessionOf(request);
    return wireSession(name(request, at), await sessions.reset(by(request), at, parseIncarnation(request.body)));
  });
  app.post<SessionRoute>("/v1/models/:model/sessions/:session/hibernate", async (request) => {
    const at = sessionOf(request);
    return wireSession(name(request, at), await sessions.hibernate(by(request), at));
  });
  app.get<SessionRoute>("/v1/models/:model/sessions/:session/snapshot", async (request): Promise<SnapshotAnswer> => {
    const at = sessionOf(request);
    const { session, snapshot } = await sessions.snapshot(by(request), at);
    const { session: id, steps } = wireSession(name(request, at), session);
    return { session: id, model: at.model, steps, snapshot: Buffer.from(snapshot).toString("base64") };
  });
  app.post<SessionRoute>("/v1/models/:model/sessions/:session/restore", async (request) => {
    const at = sessionOf(request);
    return wireSession(name(request, at), await sessions.restore(by(request), at, parseRestore(request.body).snapshot));
  });
  app.get<SessionRoute>("/v1/models/:model/sessions/:session/answers", async (request) => {
    const at = sessionOf(request);
    const after = Number(request.query.after ?? 0);
    if (!Number.isSafeInteger(after) || after < 0) {
      throw new OstinatoError("OST_REQUEST", {
        what: "no number to begin behind",
        expected: "after=0 or more",
        got: String(request.query.after),
      });
    }
    const { session, predictions, complete } = await sessions.answers(by(request), at, after);
    return {
      seq: session.seq,
      complete,
      predictions: wirePredictions(versionOf(sessions.model(at.model), session.version), predictions),
    };
  });
  app.get<SessionRoute>("/v1/models/:model/sessions/:session/events", async (request, reply) => {
    if (streams.size + opening >= options.maxEventReaders) {
      throw new OstinatoError("OST_CAPACITY", {
        what: "too many readers of events",
        expected: `at most ${options.maxEventReaders}`,
        repair: "close a page",
      });
    }
    const at = sessionOf(request);
    const model = sessions.model(at.model);
    const last = lastEvent(request.headers["last-event-id"]);
    const early: SessionEvent[] = [];
    let stream: EventStream | null = null;
    opening++;
    try {
      await open();
    } finally {
      opening--;
    }

    async function open(): Promise<void> {
      const stop = await sessions.subscribe({ ...by(request), signal: undefined }, at, (news) => {
        for (const event of wireEvents(model, news)) {
          if (stream === null) early.push(event);
          else stream.send(event);
        }
      });
      let missed: SessionEvent[];
      try {
        missed = await missedEvents(request, at, last);
      } catch (error) {
        stop();
        throw error;
      }
      reply.hijack();
      const sender: EventStream = new EventStream(reply.raw, {
        maxBufferBytes: options.maxReaderBufferBytes,
        heartbeatMs: HEARTBEAT_MS,
        onClose: ({ slow }) => {
          stop();
          streams.delete(sender);
          observer.connection("closed", "rest", slow ? "slow" : "reader");
          if (slow) observer.slowConsumer("rest");
        },
      });
      streams.add(sender);
      observer.connection("opened", "rest");
      const known = missed[missed.length - 1].seq;
      for (const event of missed) sender.send(event);
      for (const event of early) if (event.seq > known || event.kind !== "step") sender.send(event);
      stream = sender;
    }
  });

  /** The present state of things, and the stored answers behind the last event a reader has. */
  async function missedEvents(
    request: FastifyRequest<SessionRoute>,
    at: SessionReference,
    last: number | null,
  ): Promise<SessionEvent[]> {
    const { session, predictions, complete } = await sessions.answers(by(request), at, last ?? Number.MAX_SAFE_INTEGER);
    const facts = wireSession(name(request, at), session);
    const here = { session: facts.session, steps: session.steps, at: Date.now(), resets: session.resets };
    const opened: SessionEvent = { kind: "open", seq: session.seq, ...here };
    if (last === null) return [opened];
    const model = versionOf(sessions.model(at.model), session.version);
    const steps: SessionEvent[] = wirePredictions(model, predictions).map((prediction) => ({
      kind: "step",
      ...here,
      seq: prediction.seq,
      steps: Math.max(0, session.steps - (session.seq - prediction.seq)),
      record: {},
      predictions: [prediction],
      view: [],
      latencyMs: 0,
    }));
    const gap: SessionEvent[] = complete ? [] : [{ kind: "gap", seq: last, ...here }];
    return [...gap, ...steps, opened];
  }

  /** Steps of a body without end: some lines at a time, each group answered before the next is read, so that the sender feels the pace. */
  async function stepLines(
    request: FastifyRequest<SessionRoute>,
    at: SessionReference,
    { lines, write, ...options }: { lines: ReadableLines; seq: number | undefined; write: (line: object) => Promise<void> },
  ): Promise<void> {
    const model = sessions.model(at.model);
    let { seq } = options;
    try {
      // Refusing a line must not destroy the connection before the refusal is written.
      const source = lines.source.iterator({ destroyOnReturn: false });
      for await (const records of recordLines(source, LINES_AT_ONCE)) {
        const result = await sessions.step(by(request), at, { input: { records }, seq });
        await write(wireStep(model, at.id, result));
        if (result.error) return;
        // Of a body sent again the session is further than its lines are.
        seq = seq === undefined ? result.session.seq + 1 : seq + result.count;
      }
      if (request.query.end === "true") await sessions.end(by(request), at);
    } catch (error) {
      // A body that breaks off, because its sender did, is no fault, and nobody is there to be told.
      if (request.gone.signal.aborted) return;
      if (!(error instanceof OstinatoError)) observer.fault(error, "rest");
      else if (!(error instanceof SessionError)) sessions.refused(error.code, "rest");
      await write(errorBody(error));
    }
  }

  return {
    closeStreams() {
      for (const stream of [...streams]) stream.close();
    },
  };
}

function writeLine(raw: NodeJS.WritableStream & { destroyed?: boolean }, line: object): Promise<void> {
  const gone = () => new OstinatoError("OST_DEADLINE", { what: "the reader of the answers went away" });
  if (raw.destroyed) return Promise.reject(gone());
  if (raw.write(`${JSON.stringify(line)}\n`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const done = () => {
      raw.off("drain", done);
      raw.off("close", closed);
      resolve();
    };
    const closed = () => {
      raw.off("drain", done);
      reject(gone());
    };
    raw.once("drain", done);
    raw.once("close", closed);
  });
}

/** Sessions may be pinned to a version of other columns than the present one's: rows are read as wide as any of them. */
function versionOfWidth({ current, others }: ServedModel, body: unknown): ModelVersion {
  const rows = (body as { rows?: unknown } | null | undefined)?.rows;
  const width = Array.isArray(rows) && Array.isArray(rows[0]) ? rows[0].length : current.columns.length;
  return [current, ...others].find(({ columns }) => columns.length === width) ?? current;
}

function cursorOf(id: { text: string } | { number: string }): string {
  return "text" in id ? `s${id.text}` : `u${id.number}`;
}

function lastEvent(header: string | string[] | undefined): number | null {
  const value = Number(header);
  return header !== undefined && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}
