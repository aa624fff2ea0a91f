/**
 * @file What a server counts, in the Prometheus text format.
 *
 * Each server has its own registry, so that two in one process do not add up; the facts of the process itself are kept once. Labels hold
 * models, kinds and codes only: a session, an owner or a device in a label would make a series each, and would tell who is served.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ErrorCode } from "../core/errors.js";
import type { SessionObserver, SessionStore } from "./session.js";

const STEP_SECONDS = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1];
const STATE_AGE_STEPS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576];

let processRegistry: Registry | undefined;

export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #steps = this.#counter("ostinato_steps_total", "Records given to a model, by what became of them.", [
    "model",
    "outcome",
  ]);
  readonly #stepSeconds = this.#histogram(
    "ostinato_step_duration_seconds",
    "Time of the model's own work on one record.",
    STEP_SECONDS,
  );
  readonly #stateAge = this.#histogram(
    "ostinato_state_age_steps",
    "Records since the initial state, observed at every applied step.",
    STATE_AGE_STEPS,
  );
  readonly #lifecycle = this.#counter("ostinato_session_events_total", "Sessions created, restored, reset, ended and expired.", [
    "model",
    "kind",
  ]);
  readonly #resets = this.#counter("ostinato_state_resets_total", "States put back to the initial one or to a snapshot's.", [
    "model",
    "reason",
  ]);
  readonly #rejected = this.#counter("ostinato_rejected_total", "Requests that were refused, by error code.", ["code"]);
  readonly #slowReaders = this.#counter(
    "ostinato_slow_consumer_total",
    "Readers of events closed because they did not keep up.",
    [],
  );
  readonly #readers = new Gauge({ name: "ostinato_event_readers", help: "Open readers of events.", registers: [this.#registry] });

  /** Counts what the store does; give it to the store, then `watch` the store. */
  readonly observer: SessionObserver = {
    lifecycle: (kind, model) => {
      this.#lifecycle.inc({ model, kind });
      if (kind === "reset") this.#resets.inc({ model, reason: "client" });
      if (kind === "restored") this.#resets.inc({ model, reason: "restore" });
    },
    step: (outcome, model, seconds, steps) => {
      this.#steps.inc({ model, outcome });
      if (outcome !== "applied") return;
      this.#stepSeconds.observe({ model }, seconds);
      this.#stateAge.observe({ model }, steps);
    },
  };

  /** Reads the live sessions of each model whenever the metrics are asked for. */
  watch(store: SessionStore, models: Iterable<string>): void {
    const names = [...models];
    new Gauge({
      name: "ostinato_sessions",
      help: "Live sessions.",
      labelNames: ["model"],
      registers: [this.#registry],
      collect() {
        for (const model of names) this.set({ model }, store.count(model));
      },
    });
    new Gauge({
      name: "ostinato_state_oldest_age_seconds",
      help: "Age of the oldest live session.",
      labelNames: ["model"],
      registers: [this.#registry],
      collect() {
        for (const model of names) this.set({ model }, store.oldestAgeSeconds(model));
      },
    });
  }

  rejected(code: ErrorCode): void {
    this.#rejected.inc({ code });
  }

  readerOpened(): void {
    this.#readers.inc();
  }

  readerClosed({ slow }: { slow: boolean }): void {
    this.#readers.dec();
    if (slow) this.#slowReaders.inc();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The whole page, the process's own facts included. */
  text(): Promise<string> {
    if (!processRegistry) {
      processRegistry = new Registry();
      collectDefaultMetrics({ register: processRegistry });
    }
    return Registry.merge([processRegistry, this.#registry]).metrics();
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<"model"> {
    return new Histogram({ name, help, buckets, labelNames: ["model"], registers: [this.#registry] });
  }
}
