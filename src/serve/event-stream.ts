/**
 * @file One reader of server-sent events, with a bounded buffer.
 *
 * A reader that does not keep up is closed, never waited for: its connection may not slow a step down, nor fill the memory.
 * Source: WHATWG HTML, section "Server-sent events".
 */
import type { ServerResponse } from "node:http";
import type { SessionEvent } from "../protocol/event.js";

export interface EventStreamOptions {
  /** Bytes that may wait for the reader. */
  maxBufferBytes: number;
  /** Silence after which a comment is sent, so that both ends notice a dead connection. */
  heartbeatMs: number;
  /** Called once, however the stream ends. */
  onClose: (how: { slow: boolean }) => void;
}

export class EventStream {
  readonly #response: ServerResponse;
  readonly #options: EventStreamOptions;
  readonly #heartbeat: NodeJS.Timeout;
  #open = true;

  constructor(response: ServerResponse, options: EventStreamOptions) {
    this.#response = response;
    this.#options = options;
    response.on("error", () => this.close());
    response.on("close", () => this.close());
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-accel-buffering": "no",
    });
    this.#heartbeat = setInterval(() => this.#write(": still here\n\n"), options.heartbeatMs).unref();
    this.#write("retry: 1000\n\n");
  }

  /** JSON has no line breaks of its own, so one `data` line holds any event. */
  send(event: SessionEvent): void {
    this.#write(`id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
    if (event.kind === "ended" || event.kind === "expired" || event.kind === "closing") this.close();
  }

  close(): void {
    this.#finish({ slow: false });
    this.#response.end();
  }

  #write(text: string): void {
    if (!this.#open) return;
    this.#response.write(text);
    if (this.#response.writableLength <= this.#options.maxBufferBytes) return;
    this.#finish({ slow: true });
    this.#response.destroy();
  }

  #finish(how: { slow: boolean }): void {
    if (!this.#open) return;
    this.#open = false;
    clearInterval(this.#heartbeat);
    this.#options.onClose(how);
  }
}
