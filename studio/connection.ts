/**
 * @file The page's line to the server: facts, events, reset; comes back by itself.
 *
 * Events are read with `fetch`, because the browser's EventSource cannot send the owner key as a header.
 */
import type { ErrorBody, ModelFacts, SessionEvent, SessionView } from "../src/protocol/index.js";

export type Status =
  | { kind: "connecting" }
  | { kind: "live" }
  /** Nobody answers. */
  | { kind: "dead"; since: number }
  /** The server answers, but not with this session. */
  | { kind: "refused"; what: string };

export interface ConnectionHandlers {
  opened(session: SessionView, model: ModelFacts): void;
  event(event: SessionEvent): void;
  status(status: Status): void;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 5000;
/** The server breaks every silence within 15 s. */
const SILENCE_MS = 40_000;
const ANSWER_MS = 10_000;

class Refusal extends Error {}

export class Connection {
  readonly #session: string;
  /** Null: the first that is served. */
  #model: string | null;
  readonly #key: string;
  readonly #handlers: ConnectionHandlers;
  #stopped = false;
  #abort = new AbortController();
  #wake: () => void = () => {};
  #lastHeard = Date.now();

  constructor({ session, model }: { session: string; model: string | null }, key: string, handlers: ConnectionHandlers) {
    this.#session = session;
    this.#model = model;
    this.#key = key;
    this.#handlers = handlers;
  }

  /** Connects, reads, and connects again until stopped. */
  async run(): Promise<void> {
    this.#handlers.status({ kind: "connecting" });
    let retryMs = FIRST_RETRY_MS;
    while (!this.#stopped) {
      try {
        await this.#follow(() => {
          retryMs = FIRST_RETRY_MS;
        });
        if (!this.#stopped) this.#handlers.status({ kind: "dead", since: this.#lastHeard });
      } catch (error) {
        if (this.#stopped) return;
        this.#handlers.status(
          error instanceof Refusal ? { kind: "refused", what: error.message } : { kind: "dead", since: this.#lastHeard },
        );
      }
      await this.#pause(retryMs);
      retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
    }
  }

  /** Ends a pause at once, as when the page is looked at again. */
  retryNow(): void {
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#abort.abort();
    this.#wake();
  }

  async reset(): Promise<void> {
    await this.#request(`${this.#path}/reset`, { method: "POST" });
  }

  get #path(): string {
    return `v1/models/${encodeURIComponent(this.#model ?? "")}/sessions/${encodeURIComponent(this.#session)}`;
  }

  async #follow(connected: () => void): Promise<void> {
    this.#abort = new AbortController();
    const { models } = (await (await this.#request("v1/models")).json()) as { models: ModelFacts[] };
    const model = this.#model === null ? models[0] : models.find(({ name }) => name === this.#model);
    if (!model) throw new Refusal(this.#model === null ? "the server has no model" : "the server has no model of that name");
    this.#model = model.name;
    const session = (await (await this.#request(this.#path)).json()) as SessionView;
    const response = await this.#request(`${this.#path}/events`);
    this.#handlers.opened(session, model);
    this.#handlers.status({ kind: "live" });
    connected();
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let text = "";
    let silence: ReturnType<typeof setTimeout> | undefined;
    try {
      for (;;) {
        clearTimeout(silence);
        silence = setTimeout(() => this.#abort.abort(), SILENCE_MS);
        const { done, value } = await reader.read();
        if (done) return;
        this.#lastHeard = Date.now();
        text += decoder.decode(value, { stream: true });
        const blocks = text.split("\n\n");
        text = blocks.pop() as string;
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1];
          if (data) this.#handlers.event(JSON.parse(data) as SessionEvent);
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }

  /** Gives up when the head of the answer takes too long; its body may take for ever. */
  async #request(path: string, init: RequestInit = {}): Promise<Response> {
    const abort = this.#abort;
    const late = setTimeout(() => abort.abort(), ANSWER_MS);
    let response: Response;
    try {
      response = await fetch(path, {
        ...init,
        headers: { authorization: `Bearer ${this.#key}` },
        cache: "no-store",
        signal: abort.signal,
      });
    } finally {
      clearTimeout(late);
    }
    this.#lastHeard = Date.now();
    if (response.ok) return response;
    const body = (await response.json().catch(() => undefined)) as ErrorBody | undefined;
    throw new Refusal(body?.error?.what ?? `the server answered ${response.status}`);
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
