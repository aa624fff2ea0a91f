/**
 * @file The OpenAPI 3.1 document of the HTTP port, served at /v1/openapi.json.
 *
 * A test compares it with the routes that are registered, in both directions, and real answers with its schemas.
 */
import { type JsonSchema, ref, SCHEMAS } from "./openapi-schema.js";
import type { Scope } from "./principal.js";
import { STUDIO_FILES } from "./studio.js";

export interface OpenApiOperation {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  security: Record<string, string[]>[];
  parameters?: JsonSchema[];
  requestBody?: { required: boolean; content: Record<string, { schema: JsonSchema }> };
  /** By status, or "default" for every other. */
  responses: Record<string, { description: string; headers?: JsonSchema; content?: Record<string, { schema: JsonSchema }> }>;
}

export interface OpenApiDocument {
  openapi: "3.1.0";
  info: { title: string; version: string; summary: string; description: string; license: { name: string; identifier: string } };
  tags: { name: string; description: string }[];
  paths: Record<string, Partial<Record<"get" | "post" | "delete", OpenApiOperation>>>;
  components: { schemas: Readonly<Record<string, JsonSchema>>; securitySchemes: Record<string, JsonSchema> };
  /** Not HTTP, but on the same port. */
  "x-websocket": { path: string; subprotocol: string; description: string };
}

const JSON_TYPE = "application/json";
const NDJSON = "application/x-ndjson";
const EVENTS = "text/event-stream";

const REASONS: Record<number, string> = {
  400: "OST_REQUEST: the request does not fit. Nothing was applied.",
  401: "OST_CREDENTIAL: no credential, or one that is not accepted.",
  403: "OST_SCOPE: the credential does not permit this.",
  404: "OST_MODEL, OST_SESSION: there is no such model or session, for this tenant. OST_STATE_LOST: its state did not outlive a crash.",
  409: "OST_EXISTS, OST_STALE, OST_GAP, OST_QUARANTINE, OST_VERSION, OST_SNAPSHOT: the session is not as the request takes it to be.",
  422: "OST_RECORD, OST_VALUE, OST_MISSING, OST_ORDER, OST_NAN, OST_CONFLICT: the first record was refused, nothing was applied.",
  429: "OST_RATE: a limit of the tenant is reached, or too much of it or of this session waits. Retry-After says when to come again.",
  503: "OST_CAPACITY: the server is full or shutting down. Retry-After says when to come again.",
  504: "OST_DEADLINE: it was not begun in time. Nothing was applied.",
  507: "OST_STORE: the store cannot be read or written. `applied` says whether it may have been applied all the same.",
};

/** Of everything that goes to a session's own place. */
const ON_SESSION = [400, 401, 403, 404, 429, 503, 504, 507] as const;

interface Plan {
  id: string;
  summary: string;
  description?: string;
  tag: "sessions" | "models" | "inference" | "operation" | "page";
  /** null: no credential is asked for. */
  scope?: Scope | "any" | null;
  parameters?: JsonSchema[];
  body?: Record<string, JsonSchema>;
  bodyRequired?: boolean;
  answer: Record<number, Record<string, JsonSchema>>;
  refusals?: readonly number[];
}

function operation(plan: Plan): OpenApiOperation {
  const { id, summary, description, tag, scope = null, parameters, body, bodyRequired = true, answer, refusals = [] } = plan;
  const error = ref(tag === "inference" ? "OipError" : "Error");
  const needs = scope === null || scope === "any" ? "" : `Needs the scope ${scope}.`;
  const responses: OpenApiOperation["responses"] = {};
  for (const [status, content] of Object.entries(answer)) {
    const types = Object.entries(content).map(([type, schema]) => [type, { schema }] as const);
    responses[status] = {
      description: Number(status) < 400 ? "Done." : "Not now: the body says why.",
      ...(types.length > 0 ? { content: Object.fromEntries(types) } : {}),
    };
  }
  for (const status of refusals) {
    const headers = {
      ...(status === 401 ? { "WWW-Authenticate": { schema: { type: "string" } } } : {}),
      ...(status === 429 || status === 503 ? { "Retry-After": { schema: { type: "string" }, description: "Seconds." } } : {}),
    };
    responses[status] = {
      description: REASONS[status],
      ...(Object.keys(headers).length > 0 ? { headers } : {}),
      content: { [JSON_TYPE]: { schema: error } },
    };
  }
  responses["default"] = { description: "Any other refusal.", content: { [JSON_TYPE]: { schema: error } } };
  return {
    operationId: id,
    summary,
    ...([description, needs].some(Boolean) ? { description: [description, needs].filter(Boolean).join(" ") } : {}),
    tags: [tag],
    security: scope === null ? [] : [{ bearer: [] }, { certificate: [] }],
    ...(parameters ? { parameters } : {}),
    ...(body
      ? {
          requestBody: {
            required: bodyRequired,
            content: Object.fromEntries(Object.entries(body).map(([type, schema]) => [type, { schema }])),
          },
        }
      : {}),
    responses,
  };
}

const inPath = (name: string, description: string): JsonSchema => ({
  name,
  in: "path",
  required: true,
  description,
  schema: { type: "string" },
});
const inQuery = (name: string, description: string, schema: JsonSchema): JsonSchema => ({
  name,
  in: "query",
  description,
  schema,
});
const MODEL = inPath("model", "The name it is served under.");
const VERSION = inPath("version", "Hash of a version; sessions stay on theirs, so it may be left out.");
const ID_TYPE = inQuery("idType", "Whether the id in the path is a text or an unsigned integer of 64 bits.", {
  type: "string",
  enum: ["text", "uint64"],
  default: "text",
});
const SESSION = [MODEL, inPath("session", "The session's id, of at most 256 bytes."), ID_TYPE];
const KEY = {
  name: "Idempotency-Key",
  in: "header",
  description: 'The number of the first record, as "7": the same as `seq`.',
  schema: { type: "string" },
};
const INCARNATION = inQuery("incarnation", "Only if the session's incarnation is this one.", { type: "integer", minimum: 1 });
const AFTER = inQuery("after", "The last number whose answer is known.", { type: "integer", minimum: 0 });

const json = (name: string) => ({ [JSON_TYPE]: ref(name) });

function nativePaths(): OpenApiDocument["paths"] {
  const session = "/v1/models/{model}/sessions/{session}";
  return {
    "/v1/openapi.json": {
      get: operation({
        id: "getOpenApi",
        summary: "This document",
        tag: "operation",
        answer: { 200: { [JSON_TYPE]: { type: "object", required: ["openapi", "paths", "components"] } } },
      }),
    },
    "/v1/models": {
      get: operation({
        id: "listModels",
        summary: "What is served",
        tag: "models",
        scope: "any",
        answer: { 200: json("Models") },
        refusals: [401],
      }),
    },
    "/v1/models/{model}": {
      get: operation({
        id: "getModel",
        summary: "One model: columns, classes, targets, horizon, rules of reset",
        tag: "models",
        scope: "any",
        parameters: [MODEL],
        answer: { 200: json("Model") },
        refusals: [401, 404],
      }),
    },
    "/v1/models/{model}/sessions": {
      get: operation({
        id: "listSessions",
        summary: "The tenant's sessions, a page at a time",
        tag: "sessions",
        scope: "session:admin",
        parameters: [
          MODEL,
          inQuery("after", "`next` of the page before.", { type: "string" }),
          inQuery("limit", "Of one page.", { type: "integer", minimum: 1, maximum: 1000, default: 100 }),
        ],
        answer: { 200: json("SessionList") },
        refusals: [400, 401, 403, 404, 507],
      }),
      post: operation({
        id: "createSession",
        summary: "Begin a session, from the initial state or a snapshot",
        description: "Location says its path.",
        tag: "sessions",
        scope: "step",
        parameters: [MODEL],
        body: json("CreateRequest"),
        bodyRequired: false,
        answer: { 201: json("Session") },
        refusals: [...ON_SESSION, 409],
      }),
    },
    [session]: {
      get: operation({
        id: "getSession",
        summary: "Facts and hidden vector",
        tag: "sessions",
        scope: "step",
        parameters: SESSION,
        answer: { 200: json("SessionView") },
        refusals: ON_SESSION,
      }),
      delete: operation({
        id: "endSession",
        summary: "End it, and its state",
        tag: "sessions",
        scope: "step",
        parameters: [...SESSION, INCARNATION],
        answer: { 200: json("Session") },
        refusals: [...ON_SESSION, 409],
      }),
    },
    [`${session}/steps`]: {
      post: operation({
        id: "step",
        summary: "Apply one record or several",
        description:
          "200 where at least one record was applied: look at `error` for those that were not. NDJSON has no end: a record a line, answered some " +
          "lines at a time; it ends after the first refused record.",
        tag: "sessions",
        scope: "step",
        parameters: [
          ...SESSION,
          KEY,
          inQuery("seq", "Of NDJSON: the number of the first record.", { type: "integer", minimum: 1 }),
          inQuery("end", "Of NDJSON: end the session behind the last line.", { type: "boolean" }),
        ],
        body: { [JSON_TYPE]: ref("StepRequest"), [NDJSON]: ref("Record") },
        answer: { 200: { [JSON_TYPE]: ref("StepAnswer"), [NDJSON]: ref("StepLine") } },
        refusals: [...ON_SESSION, 409, 422],
      }),
    },
    [`${session}/reset`]: {
      post: operation({
        id: "resetSession",
        summary: "Begin the state afresh, under a new incarnation; numbers go on",
        tag: "sessions",
        scope: "step",
        parameters: SESSION,
        body: json("ChangeRequest"),
        bodyRequired: false,
        answer: { 200: json("Session") },
        refusals: [...ON_SESSION, 409],
      }),
    },
    [`${session}/hibernate`]: {
      post: operation({
        id: "hibernateSession",
        summary: "Take it out of memory; its next use loads it",
        tag: "sessions",
        scope: "session:admin",
        parameters: SESSION,
        answer: { 200: json("Session") },
        refusals: ON_SESSION,
      }),
    },
    [`${session}/snapshot`]: {
      get: operation({
        id: "getSnapshot",
        summary: "Its state, sealed for this tenant and model",
        tag: "sessions",
        scope: "state:read",
        parameters: SESSION,
        answer: { 200: json("Snapshot") },
        refusals: ON_SESSION,
      }),
    },
    [`${session}/restore`]: {
      post: operation({
        id: "restoreSession",
        summary: "Put it back to a snapshot, under a new incarnation; numbers go on",
        tag: "sessions",
        scope: "state:write",
        parameters: SESSION,
        body: json("RestoreRequest"),
        answer: { 200: json("Session") },
        refusals: [...ON_SESSION, 409],
      }),
    },
    [`${session}/answers`]: {
      get: operation({
        id: "listAnswers",
        summary: "Stored predictions behind a number",
        tag: "sessions",
        scope: "step",
        parameters: [...SESSION, AFTER],
        answer: { 200: json("Answers") },
        refusals: ON_SESSION,
      }),
    },
    [`${session}/events`]: {
      get: operation({
        id: "readEvents",
        summary: "One server-sent event per applied record and per change of its life",
        description: "Last-Event-ID goes on behind it, with what is stored.",
        tag: "sessions",
        scope: "step",
        parameters: [
          ...SESSION,
          { name: "Last-Event-ID", in: "header", description: "The last number seen.", schema: { type: "string" } },
        ],
        answer: { 200: { [EVENTS]: ref("Event") } },
        refusals: ON_SESSION,
      }),
    },
  };
}

function inferencePaths(): OpenApiDocument["paths"] {
  const paths: OpenApiDocument["paths"] = {
    "/v2": {
      get: operation({
        id: "oipServer",
        summary: "Server metadata",
        tag: "inference",
        answer: { 200: json("OipServer") },
      }),
    },
    "/v2/health/live": {
      get: operation({ id: "oipLive", summary: "Liveness", tag: "inference", answer: { 200: json("OipLive") } }),
    },
    "/v2/health/ready": {
      get: operation({
        id: "oipReady",
        summary: "Readiness",
        tag: "inference",
        answer: { 200: json("OipReady"), 400: json("OipReady") },
      }),
    },
    "/v2/repository/index": {
      post: operation({
        id: "oipIndex",
        summary: "Models and versions",
        tag: "inference",
        scope: "any",
        answer: { 200: json("OipIndex") },
        refusals: [401],
      }),
    },
  };
  const bases = [
    { base: "/v2/models/{model}", suffix: "", parameters: [MODEL] },
    { base: "/v2/models/{model}/versions/{version}", suffix: "OfVersion", parameters: [MODEL, VERSION] },
  ];
  for (const { base, suffix, parameters } of bases) {
    const plain = { tag: "inference", scope: "any", parameters } as const;
    // Another version than the model has is a conflict; without one in the path there is none.
    const refusals = suffix === "" ? [401, 404] : [401, 404, 409];
    paths[base] = {
      get: operation({
        ...plain,
        id: `oipModel${suffix}`,
        summary: "Model metadata",
        answer: { 200: json("OipModel") },
        refusals,
      }),
    };
    paths[`${base}/config`] = {
      get: operation({
        ...plain,
        id: `oipConfig${suffix}`,
        summary: "Model configuration",
        answer: { 200: json("OipModelConfig") },
        refusals,
      }),
    };
    paths[`${base}/stats`] = {
      get: operation({
        ...plain,
        id: `oipStatistics${suffix}`,
        summary: "Counts and times",
        answer: { 200: json("OipModelStatistics") },
        refusals,
      }),
    };
    paths[`${base}/ready`] = {
      get: operation({
        ...plain,
        id: `oipModelReady${suffix}`,
        summary: "Readiness of a model",
        answer: { 200: json("OipReady"), 400: json("OipReady") },
        refusals,
      }),
    };
    paths[`${base}/infer`] = {
      post: operation({
        ...plain,
        scope: "step",
        id: `oipInfer${suffix}`,
        summary: "Steps of a sequence, or a request on its own",
        description:
          "With Inference-Header-Content-Length the body is JSON and tensors as bytes behind it, type application/octet-stream, and so is the answer.",
        parameters: [
          ...parameters,
          {
            name: "Inference-Header-Content-Length",
            in: "header",
            description: "Bytes of JSON before the binary tensors.",
            schema: { type: "string" },
          },
        ],
        body: { [JSON_TYPE]: ref("InferRequest"), "application/octet-stream": { type: "string", contentEncoding: "binary" } },
        answer: {
          200: { [JSON_TYPE]: ref("InferAnswer"), "application/octet-stream": { type: "string", contentEncoding: "binary" } },
        },
        refusals: [...ON_SESSION, 409, 422],
      }),
    };
  }
  return paths;
}

function operationPaths(): OpenApiDocument["paths"] {
  const plain = { "text/plain": { type: "string" } } as const;
  const paths: OpenApiDocument["paths"] = {
    "/livez": {
      get: operation({
        id: "livez",
        summary: "Whether the process turns: restart it if not",
        tag: "operation",
        answer: { 200: json("Alive"), 503: json("Alive") },
      }),
    },
    "/readyz": {
      get: operation({
        id: "readyz",
        summary: "Whether requests shall come, and why not",
        tag: "operation",
        answer: { 200: json("Ready"), 503: json("Ready") },
      }),
    },
    "/startupz": {
      get: operation({
        id: "startupz",
        summary: "Whether it has started, and what it recovered",
        tag: "operation",
        answer: { 200: json("Started"), 503: json("Started") },
      }),
    },
    "/metrics": {
      get: operation({
        id: "metrics",
        summary: "Prometheus text format",
        description: "Where callers are known it needs a credential.",
        tag: "operation",
        scope: "metrics",
        answer: { 200: plain },
        refusals: [401, 403],
      }),
    },
  };
  for (const [name, type] of Object.entries(STUDIO_FILES)) {
    const [kind] = type.split(";");
    paths[name === "index.html" ? "/" : `/studio/${name}`] = {
      get: operation({
        id: `page-${name}`,
        summary: name === "index.html" ? "The page that shows a live session" : "A file of the page",
        tag: "page",
        answer: { 200: { [kind]: { type: "string" } }, 404: plain },
      }),
    };
  }
  return paths;
}

/** The document. @param options.version of this build. */
export function openApiDocument({ version = "unknown" }: { version?: string } = {}): OpenApiDocument {
  return {
    openapi: "3.1.0",
    info: {
      title: "Ostinato session server",
      version,
      summary: "Recurrent models as sessions that keep their state.",
      description:
        "A session is one running state of a model, named by (tenant of the credential, model, id). What is acknowledged at a session's durability " +
        "outlives what that level says. A status of 400 or above says that nothing was applied, unless `applied` says otherwise.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    tags: [
      { name: "sessions", description: "Sessions and their steps." },
      { name: "models", description: "What is served." },
      { name: "inference", description: "The Open Inference Protocol, with the sequence and binary tensor data extensions." },
      { name: "operation", description: "Health, metrics, this document." },
      { name: "page", description: "The page." },
    ],
    paths: { ...nativePaths(), ...inferencePaths(), ...operationPaths() },
    components: {
      schemas: SCHEMAS,
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "An API key, a JWT, or on an open server a key of one's own." },
        certificate: { type: "mutualTLS" },
      },
    },
    "x-websocket": {
      path: "/v1/stream",
      subprotocol: "ostinato.v1",
      description: "Binary frames, many sessions on one socket; the package's entry ostinato/client speaks it.",
    },
  };
}
