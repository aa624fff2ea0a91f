/** @file The time of a run of load: a warm-up, then what counts, then the end. */
import { Latency } from "./latency.js";
import type { LoadJob, LoadResult } from "./load-job.js";

export class LoadClock {
  readonly latency = new Latency();
  over = false;
  frames = 0;
  errors = 0;
  firstError = "";
  #counting = false;
  #start = 0;
  #cpu = process.cpuUsage();

  /** Begins the warm-up. @returns what was measured, at the end. */
  run({ warmSeconds, seconds }: LoadJob): Promise<LoadResult> {
    return new Promise((resolve) => {
      setTimeout(() => {
        process.send?.({ measuring: true });
        this.#counting = true;
        this.#start = performance.now();
        this.#cpu = process.cpuUsage();
      }, warmSeconds * 1000);
      setTimeout(
        () => {
          const elapsed = (performance.now() - this.#start) / 1000;
          const { user, system } = process.cpuUsage(this.#cpu);
          this.over = true;
          resolve({
            frames: this.frames,
            errors: this.errors,
            firstError: this.firstError,
            seconds: elapsed,
            p50Ms: this.latency.quantile(0.5),
            p99Ms: this.latency.quantile(0.99),
            cpu: (user + system) / 1e6,
          });
        },
        (warmSeconds + seconds) * 1000,
      );
    });
  }

  answered(ms: number): void {
    if (!this.#counting || this.over) return;
    this.frames++;
    this.latency.add(ms);
  }

  failed(what: string): void {
    this.errors++;
    if (this.firstError === "") this.firstError = what.slice(0, 300);
  }
}
