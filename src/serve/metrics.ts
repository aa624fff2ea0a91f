/**
 * @file What a server counts, in the Prometheus text format.
 *
 * Each server has its own registry, so that two in one process do not add up; the facts of the process itself are kept once. Labels hold
 * models, versions, protocols, kinds, codes and features only: a session, a tenant or a device in a label would make a series each, and would
 * tell who is served. Device classes and session types come from clients: the first 32 of each and the first 64 pairs of them are kept, the
 * rest is "other".
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from "prom-client";
import { OTHER_FEATURES, type StepCounts } from "../monitor/index.js";
import type { Engine, EngineStatus } from "./engine.js";
import { CellHistogram, type HistogramCell } from "./histogram.js";
import type { Observer, Protocol, StepFacts } from "./observer.js";
import type { LifecycleChange, SessionStatus } from "./operation.js";
import type { SchedulerStatus } from "./scheduler.js";
import { HIDDEN, parseSessionKey } from "./session-key.js";
import type { ServedModel } from "./sessions.js";

export interface MetricsSource {
  engine: Pick<Engine, "status" | "statistics" | "healthy">;
  scheduler: { status(): SchedulerStatus };
  models(): readonly ServedModel[];
  /** Of this build. */
  version: string;
}

const SECONDS = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const STEPS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576];
const RECORDS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const BATCH = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const AGES = [1, 10, 60, 600, 3600, 21_600, 86_400, 604_800, 2_592_000];
const MOST_CLASSES = 32;
const MOST_PAIRS = 64;
const SHORT_VERSION = 12;

let processRegistry: Registry | undefined;

/** Bounded label values: what comes after the first is "other". */
class Classes {
  readonly #known = new Set<string>();

  constructor(readonly most: number) {}

  has(value: string): boolean {
    if (this.#known.has(value)) return true;
    if (this.#known.size >= this.most) return false;
    this.#known.add(value);
    return true;
  }

  of(value: string | undefined): string {
    if (value === undefined) return "none";
    return this.has(value) ? value : "other";
  }
}

export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #deviceClasses = new Classes(MOST_CLASSES);
  readonly #sessionTypes = new Classes(MOST_CLASSES);
  readonly #pairs = new Classes(MOST_PAIRS);
  readonly observer: Observer;

  readonly #sequenceLength = this.#histogram("sequence_length_steps", "Steps of a state's life, when it ended.", STEPS, [
    "model",
    "end_reason",
  ]);
  readonly #requestSteps = this.#cells("request_steps", "Records of a request.", RECORDS);
  readonly #resets = this.#counter("state_resets_total", "States that began afresh in a live session.", ["model", "reason"]);
  readonly #stateAge = this.#cells("state_age_steps", "Records since the state began, at every answer.", STEPS);
  readonly #stateAgeSeconds = this.#cells("state_age_seconds", "Time since the state began, at every answer.", AGES);
  readonly #stepSeconds = this.#cells(
    "step_duration_seconds",
    "Time of a request of steps, in all and by phase, by the position of its last step in the state's life.",
    SECONDS,
  );
  readonly #tallies = new Map<string, StepTally>();
  /** The kind of the step before, which is most often that of the next one. */
  #last: { of: Partial<Record<"model" | "protocol" | "version" | "type" | "device", string>>; tally: StepTally } = NO_STEP;
  readonly #steps = this.#counter("steps_total", "Records asked to be applied, by what became of them.", [
    "model",
    "version",
    "session_type",
    "device_class",
    "outcome",
    "code",
  ]);
  readonly #created = this.#counter("sessions_created_total", "Sessions that began.", ["model"]);
  readonly #ended = this.#counter("sessions_ended_total", "Sessions that were ended.", ["model"]);
  readonly #expired = this.#counter("sessions_expired_total", "Sessions that ended for want of use.", ["model"]);
  readonly #restored = this.#counter("sessions_restored_total", "States put back to a snapshot's.", ["model"]);
  readonly #lost = this.#counter("sessions_lost_total", "Sessions whose state did not outlive a crash or was damaged.", [
    "model",
  ]);
  readonly #hibernated = this.#counter("sessions_hibernated_total", "Sessions that left memory.", ["model"]);
  readonly #woken = this.#counter("sessions_woken_total", "Sessions that were loaded from the store.", ["model"]);
  readonly #quarantined = this.#counter("sessions_quarantined_total", "Sessions whose state gave no finite values any more.", [
    "model",
  ]);
  readonly #nonfinite = this.#counter("state_nonfinite_total", "Steps refused because their result was not finite.", ["model"]);
  readonly #probe = this.#counter("isolation_probe_total", "Answers of hidden sessions compared with what they must be.", [
    "result",
  ]);
  readonly #batch = this.#histogram("batch_size", "Operations executed and committed together.", BATCH, []);
  readonly #rejected = this.#counter("rejected_total", "Requests that changed nothing.", ["reason", "code", "protocol"]);
  readonly #duplicates = this.#counter("duplicates_total", "Steps that came again and were answered from what is stored.", [
    "protocol",
  ]);
  readonly #gaps = this.#counter("sequence_gaps_total", "Steps refused because numbers before theirs did not come.", [
    "protocol",
  ]);
  readonly #reordered = this.#counter("reordered_total", "Steps that came before their turn and waited for it.", ["protocol"]);
  readonly #connections = this.#gauge("connections", "Open connections that stay: sockets, streams and readers of events.", [
    "protocol",
  ]);
  readonly #closed = this.#counter("connection_closed_total", "Such connections that ended.", ["protocol", "reason"]);
  readonly #slow = this.#counter("slow_consumer_total", "Connections closed because their reader did not keep up.", ["protocol"]);
  readonly #authFailures = this.#counter("auth_failures_total", "Credentials refused.", ["kind"]);
  readonly #swaps = this.#counter("model_swaps_total", "Names that were given another version.", ["model", "policy"]);
  readonly #storeErrors = this.#counter("store_errors_total", "Commits and loads that failed, and compare-and-set conflicts.", [
    "kind",
  ]);
  readonly #faults = this.#counter("faults_total", "Faults of the program.", []);

  readonly #features: Record<
    "feature_missing_total" | "feature_nonfinite_total" | "feature_out_of_range_total",
    Counter<"model" | "feature">
  > = {
    feature_missing_total: this.#counter("feature_missing_total", "Values that were missing.", ["model", "feature"]),
    feature_nonfinite_total: this.#counter("feature_nonfinite_total", "Values that were not finite.", ["model", "feature"]),
    feature_out_of_range_total: this.#counter("feature_out_of_range_total", "Values outside the range of the training data.", [
      "model",
      "feature",
    ]),
  };
  readonly #profileBins = this.#counter(
    "feature_profile_bin_total",
    "Values by the quantile bins of the model file's reference profile; below and above are outside its range.",
    ["model", "feature", "bin"],
  );
  readonly #refusedRecords = this.#counter("records_refused_total", "Records refused by the model's rules.", ["model", "kind"]);
  readonly #distributions = new Map<string, Distribution>();

  constructor() {
    this.observer = {
      lifecycle: (change) => this.#lifecycle(change),
      step: (facts) => this.#step(facts),
      rejected: (code, reason, protocol) => this.#rejected.inc({ code, reason, protocol }),
      disorder: (kind, protocol) => {
        const counter = { duplicate: this.#duplicates, gap: this.#gaps, reordered: this.#reordered }[kind];
        counter.inc({ protocol });
      },
      batch: (size) => this.#batch.observe(size),
      connection: (change, protocol, reason) => {
        this.#connections.inc({ protocol }, change === "opened" ? 1 : -1);
        if (change === "closed") this.#closed.inc({ protocol, reason: reason ?? "client" });
      },
      slowConsumer: (protocol) => this.#slow.inc({ protocol }),
      authFailure: (kind) => this.#authFailures.inc({ kind }),
      probe: (result) => this.#probe.inc({ result }),
      model: (change, { name, policy }) => {
        if (change === "swapped") this.#swaps.inc({ model: name, policy: policy ?? "pin" });
      },
      store: ({ kind }) => this.#storeErrors.inc({ kind }),
      fault: () => this.#faults.inc(),
    };
    for (const result of ["ok", "mismatch"]) this.#probe.inc({ result }, 0);
  }

  /** Reads the engine whenever the metrics are asked for. */
  watch({ engine, scheduler, models, version }: MetricsSource): void {
    const names = () =>
      new Map(models().flatMap(({ name, current, others }) => [current, ...others].map((one) => [one.version, name])));
    let status: EngineStatus | null = null;
    let healthy = false;
    const sessions = this.#gauge("sessions", "Live sessions: in memory, asleep in the store, quarantined.", ["state"]);
    const pinned = this.#gauge("pinned_sessions", "Live sessions by the model version they are pinned to.", ["model", "version"]);
    const loaded = this.#gauge("model_loaded", "1 for each served model version.", ["model", "version", "batch_invariant"]);
    const oldest = this.#gauge("state_oldest_age_seconds", "Age of the oldest state in memory.", []);
    const unsaved = this.#gauge("sessions_unsaved", "Sessions of level interval or none with steps that are not written.", []);
    const depth = this.#gauge("queue_depth", "Operations that wait: for the engine, or for numbers before theirs.", ["scope"]);
    const bytes = this.#gauge("queue_bytes", "Bytes of operations that are not answered.", []);
    const age = this.#gauge("queue_oldest_seconds", "Age of the oldest operation that waits.", []);
    const up = this.#gauge("store_up", "1 if the store can be written.", []);
    const recovery = this.#gauge("recovery_seconds", "Time the last start took to open the store.", []);
    const build = this.#gauge("build_info", "1.", ["version", "node"]);
    build.set({ version, node: process.version }, 1);
    const collect = async () => {
      try {
        [status, healthy] = await Promise.all([engine.status(), engine.healthy()]);
        this.#take(await engine.statistics(), names());
      } catch {
        healthy = false;
      }
      up.set(healthy ? 1 : 0);
      const queue = scheduler.status();
      depth.set({ scope: "engine" }, queue.waiting - queue.held);
      depth.set({ scope: "gap" }, queue.held);
      bytes.set(queue.bytes);
      age.set(queue.oldestMs / 1000);
      loaded.reset();
      for (const { name, current } of models()) {
        loaded.set({ model: name, version: short(current.version), batch_invariant: String(current.batchInvariant) }, 1);
      }
      if (status === null) return;
      const { total, quarantined, byVersion } = status.sessions;
      sessions.set({ state: "active" }, Math.min(total, status.resident));
      sessions.set({ state: "hibernated" }, Math.max(0, total - status.resident));
      sessions.set({ state: "quarantined" }, quarantined);
      pinned.reset();
      for (const [one, count] of Object.entries(byVersion))
        pinned.set({ model: names().get(one) ?? "gone", version: short(one) }, count);
      oldest.set(status.oldestStateMs / 1000);
      unsaved.set(status.unsaved);
      if (status.recovered) recovery.set(status.recovered.seconds);
    };
    this.#collect = collect;
  }

  #collect: () => Promise<void> = async () => {};

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The whole page, the process's own facts included. */
  async text(): Promise<string> {
    if (!processRegistry) {
      processRegistry = new Registry();
      collectDefaultMetrics({ register: processRegistry });
      // Gauges whose names say that they are counters.
      for (const kind of ["handles", "requests", "resources"]) processRegistry.removeSingleMetric(`nodejs_active_${kind}_total`);
    }
    await this.#collect();
    this.#settle();
    const own = await Registry.merge([processRegistry, this.#registry]).metrics();
    return own + [...this.#distributions.values()].map((one) => one.text()).join("");
  }

  #lifecycle({ kind, key, reason, steps }: LifecycleChange): void {
    const { tenant, model } = parseSessionKey(key);
    if (tenant.startsWith(HIDDEN)) return;
    const counter = {
      created: this.#created,
      ended: this.#ended,
      expired: this.#expired,
      restored: this.#restored,
      lost: this.#lost,
      hibernated: this.#hibernated,
      woken: this.#woken,
      quarantined: this.#quarantined,
    }[kind as string];
    counter?.inc({ model });
    if (kind === "reset" || kind === "restored") this.#resets.inc({ model, reason: reason ?? "restore" });
    const isEnd = kind === "ended" || kind === "expired" || kind === "reset" || kind === "restored";
    if (isEnd && steps > 0)
      this.#sequenceLength.observe({ model, end_reason: kind === "reset" ? (reason ?? "client") : kind }, steps);
  }

  #step({ model, protocol, outcome, records, queueMs, totalMs }: StepFacts): void {
    const { session, count, error, repeated, computeMs, commitMs } = outcome;
    const tally = this.#tallyOf(model, protocol, session);
    tally.records.observe(records);
    if (count > 0 && repeated) tally.repeated += count;
    else if (count > 0) tally.applied += count;
    if (error) {
      this.#steps.inc({ ...tally.labels, outcome: "refused", code: error.code }, Math.max(1, records - count));
      if (error.code === "OST_NAN") this.#nonfinite.inc({ model });
    }
    if (session === null || count === 0 || repeated) return;
    const position = positionOf(session.steps);
    tally.total[position].observe(totalMs / 1000);
    tally.queue[position].observe(queueMs / 1000);
    tally.compute[position].observe(computeMs / 1000);
    tally.commit[position].observe(commitMs / 1000);
    tally.stateAge.observe(session.steps);
    tally.stateAgeSeconds.observe(session.stateAgeMs / 1000);
  }

  /** What steps of this kind are counted in: looked up by all of its labels only where the step before was of another kind. */
  #tallyOf(model: string, protocol: Protocol, session: SessionStatus | null): StepTally {
    const { version = "none", attributes = NO_ATTRIBUTES } = session ?? {};
    const { session_type: type, device_class: device } = attributes;
    const last = this.#last;
    const { of } = last;
    if (of.model === model && of.protocol === protocol && of.version === version && of.type === type && of.device === device)
      return last.tally;
    const labels = {
      model,
      version: short(version),
      ...this.#kindOf(type, device),
    };
    const key = JSON.stringify([protocol, labels]);
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      const cells = {
        records: this.#requestSteps.cell({ model, protocol }),
        stateAge: this.#stateAge.cell({ model }),
        stateAgeSeconds: this.#stateAgeSeconds.cell({ model }),
      };
      const phase = (name: string) => POSITIONS.map((position) => this.#stepSeconds.cell({ model, phase: name, position }));
      const phases = { total: phase("total"), queue: phase("queue"), compute: phase("compute"), commit: phase("commit") };
      tally = { labels, applied: 0, repeated: 0, ...cells, ...phases };
      this.#tallies.set(key, tally);
    }
    this.#last = { of: { model, protocol, version, type, device }, tally };
    return tally;
  }

  /** Counts what was added up since it was last read. */
  #settle(): void {
    for (const tally of this.#tallies.values()) {
      if (tally.applied > 0) this.#steps.inc({ ...tally.labels, outcome: "applied", code: "" }, tally.applied);
      if (tally.repeated > 0) this.#steps.inc({ ...tally.labels, outcome: "repeated", code: "" }, tally.repeated);
      tally.applied = 0;
      tally.repeated = 0;
    }
  }

  #kindOf(type: string | undefined, device: string | undefined): { session_type: string; device_class: string } {
    const kind = { session_type: this.#sessionTypes.of(type), device_class: this.#deviceClasses.of(device) };
    return this.#pairs.has(`${kind.session_type}\n${kind.device_class}`)
      ? kind
      : { session_type: "other", device_class: "other" };
  }

  /** Adds up what the engine counted of the values themselves. */
  #take(counts: Readonly<Record<string, StepCounts>>, names: ReadonlyMap<string, string>): void {
    for (const [version, one] of Object.entries(counts)) {
      const model = names.get(version);
      if (model === undefined) continue;
      for (const { name, missing, nonfinite, outOfRange, values } of one.features) {
        const labels = { model, feature: name === OTHER_FEATURES ? "other" : name };
        this.#features.feature_missing_total.inc(labels, missing);
        this.#features.feature_nonfinite_total.inc(labels, nonfinite);
        this.#features.feature_out_of_range_total.inc(labels, outOfRange);
        values.forEach((value, i) => {
          const bin = i === 0 ? "below" : i === values.length - 1 ? "above" : String(i - 1);
          this.#profileBins.inc({ ...labels, bin }, value);
        });
      }
      for (const [kind, value] of Object.entries(one.refused)) this.#refusedRecords.inc({ model, kind }, value);
      if (one.confidence) {
        const bins = one.confidence.length;
        const edges = Array.from({ length: bins - 1 }, (_, k) => (k + 1) / bins);
        this.#distribution("prediction_confidence", "Probability of the likeliest class.", model, edges).add(
          one.confidence,
          one.confidenceSum,
        );
      }
      const known = [
        ["prediction_entropy_nats", "Entropy of predicted probabilities, of a sample.", one.entropy, 1],
        ["step_gap_seconds", "Time between two steps of a session, by the times in its records.", one.gap, 1e-3],
        ["state_abs_max", "Largest magnitude in a state, of one step in 64.", one.stateMax, 1],
        ["state_saturation_ratio", "Share of a state beyond 0.99, of one step in 64.", one.saturation, 1],
      ] as const;
      for (const [name, help, histogram, unit] of known) {
        if (!histogram) continue;
        const edges = histogram.edges.map((edge) => edge * unit);
        this.#distribution(name, help, model, edges).add(histogram.counts, histogram.sum * unit);
      }
    }
  }

  #distribution(name: string, help: string, model: string, edges: readonly number[]): DistributionCell {
    let distribution = this.#distributions.get(name);
    if (!distribution) {
      distribution = new Distribution(`ostinato_${name}`, help);
      this.#distributions.set(name, distribution);
    }
    return distribution.of(model, edges);
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `ostinato_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: Label[]): Gauge<Label> {
    return new Gauge({ name: `ostinato_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #cells(name: string, help: string, edges: readonly number[]): CellHistogram {
    const histogram = new CellHistogram(`ostinato_${name}`, help, edges);
    this.#registry.registerMetric(histogram as unknown as Metric);
    return histogram;
  }

  #histogram<Label extends string>(name: string, help: string, buckets: number[], labelNames: Label[]): Histogram<Label> {
    return new Histogram({ name: `ostinato_${name}`, help, buckets, labelNames, registers: [this.#registry] });
  }
}

/** Steps of one kind: what is added up until somebody reads it, and the cells of its histograms, durations by position. */
interface StepTally {
  readonly labels: Readonly<Record<"model" | "version" | "session_type" | "device_class", string>>;
  applied: number;
  repeated: number;
  readonly records: HistogramCell;
  readonly stateAge: HistogramCell;
  readonly stateAgeSeconds: HistogramCell;
  readonly total: readonly HistogramCell[];
  readonly queue: readonly HistogramCell[];
  readonly compute: readonly HistogramCell[];
  readonly commit: readonly HistogramCell[];
}

const NO_ATTRIBUTES: Readonly<Record<string, string>> = {};
const NO_STEP = { of: {}, tally: {} as StepTally };

interface DistributionCell {
  add(counts: ArrayLike<number>, sum: number): void;
}

/** A histogram whose counts come ready made, which prom-client's takes one by one only. */
class Distribution {
  readonly #cells = new Map<string, { edges: readonly number[]; counts: Float64Array; sum: number }>();

  constructor(
    readonly name: string,
    readonly help: string,
  ) {}

  /** @param edges upper edges of the bins but the last, whose is infinite. */
  of(model: string, edges: readonly number[]): DistributionCell {
    let cell = this.#cells.get(model);
    if (!cell || cell.edges.length !== edges.length) {
      cell = { edges, counts: new Float64Array(edges.length + 1), sum: 0 };
      this.#cells.set(model, cell);
    }
    const known = cell;
    return {
      add(counts, sum) {
        for (let i = 0; i < known.counts.length && i < counts.length; i++) known.counts[i] += counts[i];
        known.sum += sum;
      },
    };
  }

  text(): string {
    const lines = [`# HELP ${this.name} ${this.help}`, `# TYPE ${this.name} histogram`];
    for (const [model, { edges, counts, sum }] of this.#cells) {
      const label = `model="${model.replace(/[\\"\n]/g, (unit) => (unit === "\n" ? "\\n" : `\\${unit}`))}"`;
      let total = 0;
      counts.forEach((count, i) => {
        total += count;
        lines.push(`${this.name}_bucket{${label},le="${i < edges.length ? Number(edges[i].toPrecision(6)) : "+Inf"}"} ${total}`);
      });
      lines.push(`${this.name}_sum{${label}} ${sum}`, `${this.name}_count{${label}} ${total}`);
    }
    return `${lines.join("\n")}\n`;
  }
}

const POSITIONS = ["1-15", "16-63", "64-255", "256-1023", "1024+"];

/** Place among `POSITIONS`. */
function positionOf(steps: number): number {
  if (steps < 16) return 0;
  if (steps < 64) return 1;
  if (steps < 256) return 2;
  return steps < 1024 ? 3 : 4;
}

function short(version: string): string {
  return version.slice(0, SHORT_VERSION);
}
