/** @file Sessions over plain HTTP, where there is no WebSocket or no need of one: one request, one answer. */
import type {
  ModelFacts,
  SessionEvent,
  SessionFacts,
  SessionView,
  SnapshotAnswer,
  StepAnswer,
  WirePrediction,
  WireRecord,
} from "../protocol/event.js";
import type { WireId } from "../protocol/frames.js";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import { isPassing, RefusedError, refusalOf, refuse } from "./refusal.js";
import { readServerEvents } from "./server-event.js";

export interface RestOptions {
  /** API key or token. */
  key?: string;
  backoff?: BackoffOptions;
  /** Tries of a request that may be repeated without harm. Default 5. */
  tries?: number;
  /** An answer must come within this. Default 30,000 ms. */
  timeoutMs?: number;
}

export interface RestStep {
  record?: WireRecord;
  records?: readonly WireRecord[];
  rows?: readonly (readonly (number | null)[])[];
  /** Number of the first record. With it a request can be repeated, and is, until it is answered. */
  seq?: number;
  incarnation?: number;
  end?: boolean;
}

export interface RestCreate {
  id?: WireId;
  durability?: string;
  ttlSeconds?: number;
  attributes?: Record<string, string>;
  /** Begin from this state, as `snapshot` gave it. */
  snapshot?: string;
}

export class RestClient {
  readonly #base: string;
  readonly #options: RestOptions;

  /** @param base of the server, as `http://127.0.0.1:8080` */
  constructor(base: string | URL, options: RestOptions = {}) {
    this.#base = String(base).replace(/\/$/, "");
    this.#options = options;
  }

  async models(): Promise<ModelFacts[]> {
    return (await this.#ask<{ models: ModelFacts[] }>("GET", "/v1/models")).models;
  }

  create(model: string, options: RestCreate = {}): Promise<SessionFacts> {
    return this.#ask("POST", `/v1/models/${encodeURIComponent(model)}/sessions`, { body: options, repeat: false });
  }

  /** Applies records. @throws RefusedError where none was; the answer's `error` says why those behind the first few were not. */
  step(model: string, id: WireId, step: RestStep): Promise<StepAnswer> {
    return this.#ask("POST", place(model, id, "/steps"), { body: step, repeat: step.seq !== undefined });
  }

  get(model: string, id: WireId): Promise<SessionView> {
    return this.#ask("GET", place(model, id));
  }

  /** Stored predictions of the records behind a number. */
  answers(model: string, id: WireId, after: number): Promise<{ seq: number; complete: boolean; predictions: WirePrediction[] }> {
    const path = place(model, id, "/answers");
    return this.#ask("GET", `${path}${path.includes("?") ? "&" : "?"}after=${after}`);
  }

  reset(model: string, id: WireId, { incarnation }: { incarnation?: number } = {}): Promise<SessionFacts> {
    return this.#ask("POST", place(model, id, "/reset"), { body: { incarnation }, repeat: false });
  }

  end(model: string, id: WireId): Promise<SessionFacts> {
    return this.#ask("DELETE", place(model, id), { repeat: false });
  }

  /** The session's state, sealed by the server, in base64. */
  snapshot(model: string, id: WireId): Promise<SnapshotAnswer> {
    return this.#ask("GET", place(model, id, "/snapshot"));
  }

  restore(model: string, id: WireId, snapshot: string): Promise<SessionFacts> {
    return this.#ask("POST", place(model, id, "/restore"), { body: { snapshot }, repeat: false });
  }

  /** Steps and changes of a session as they happen, until it ends, the server closes, or `signal` says so. */
  async *events(
    model: string,
    id: string,
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<SessionEvent, void, undefined> {
    const response = await this.#fetch(place(model, id, "/events"), { headers: this.#headers("text/event-stream"), signal });
    if (!response.ok || response.body === null) throw await refusedBy(response);
    for await (const data of readServerEvents(response.body)) yield JSON.parse(data) as SessionEvent;
  }

  async #ask<T>(method: string, path: string, { body, repeat = true }: { body?: object; repeat?: boolean } = {}): Promise<T> {
    const { tries = 5, timeoutMs = 30_000, backoff } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const error = await this.#once<T>(method, path, { body, timeoutMs });
      if (!(error instanceof RefusedError)) return error;
      const safe = isPassing(error) && (repeat || error.applied === "no");
      if (!safe || attempt + 1 >= tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, backoffMs(attempt, backoff, error.retryAfterMs ?? 0)));
    }
  }

  async #once<T>(
    method: string,
    path: string,
    { body, timeoutMs }: { body?: object; timeoutMs: number },
  ): Promise<T | RefusedError> {
    const headers = this.#headers("application/json");
    if (body) headers["Content-Type"] = "application/json";
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const response = await this.#fetch(path, { method, headers, signal, ...(body ? { body: JSON.stringify(body) } : {}) });
      return response.ok ? ((await response.json()) as T) : await refusedBy(response);
    } catch (error) {
      if (error instanceof RefusedError) return error;
      const what = `no answer from the server: ${error instanceof Error ? error.message : String(error)}`;
      return refuse("OST_DEADLINE", what, { applied: "unknown", repair: "check the address, and that the server runs" });
    }
  }

  #fetch(path: string, init: RequestInit): Promise<Response> {
    return fetch(this.#base + path, init);
  }

  #headers(accept: string): Record<string, string> {
    const { key } = this.#options;
    return { Accept: accept, ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }) };
  }
}

/** The path of a session; an id that is a number says so in the query. */
function place(model: string, id: WireId, below = ""): string {
  const [text, query] = typeof id === "string" ? [id, ""] : [id.number, "?idType=uint64"];
  return `/v1/models/${encodeURIComponent(model)}/sessions/${encodeURIComponent(text)}${below}${query}`;
}

async function refusedBy(response: Response): Promise<RefusedError> {
  return refusalOf(await response.text(), { status: response.status, retryAfter: response.headers.get("retry-after") });
}
