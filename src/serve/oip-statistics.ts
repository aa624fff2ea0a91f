/** @file Counts of inferences per model, as the protocol's statistics extension names them. */

export interface DurationCount {
  count: number;
  ns: number;
}

export interface ModelCounts {
  /** ms since 1970; 0 before the first. */
  lastInference: number;
  /** Steps of requests that succeeded, and requests. */
  inferences: number;
  executions: number;
  success: DurationCount;
  fail: DurationCount;
}

/** Requests of the Open Inference Protocol since the start of the process; other protocols' are in the metrics. */
export class InferenceStatistics {
  readonly #models = new Map<string, ModelCounts>();

  /** @param steps of the request; 0 where it was refused. */
  count(model: string, { ok, steps, ms }: { ok: boolean; steps: number; ms: number }): void {
    const counts = this.of(model);
    this.#models.set(model, counts);
    const durations = ok ? counts.success : counts.fail;
    durations.count++;
    durations.ns += Math.round(ms * 1e6);
    if (!ok) return;
    counts.executions++;
    counts.inferences += steps;
    counts.lastInference = Date.now();
  }

  of(model: string): ModelCounts {
    const none = () => ({ count: 0, ns: 0 });
    return this.#models.get(model) ?? { lastInference: 0, inferences: 0, executions: 0, success: none(), fail: none() };
  }
}
