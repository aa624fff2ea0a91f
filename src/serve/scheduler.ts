/**
 * @file Who computes when: one mailbox per session, micro-batches across sessions, fairness between tenants, and a bound on every queue.
 */
import type { Operation, Outcome } from "./operation.js";

export interface SchedulerOptions {
  /** Runs a batch; no key twice in one, and no key in two at once. */
  execute(operations: readonly Operation[]): Promise<Outcome[]>;
  /** Operations of a batch at most. Default 1024. */
  maxBatch?: number;
  /** Batches under way at once at most: one computing, one waiting at the door. Default 2. */
  depth?: number;
  /** Operations waiting for one session at most, those held for a gap included. Default 32. */
  maxWaitingPerSession?: number;
  /** Bytes of operations waiting for one tenant, and in all. Defaults 16 MiB and 64 MiB. */
  maxTenantBytes?: number;
  maxBytes?: number;
  /** Shares of the engine by tenant; default 1 each. */
  weight?(tenant: string): number;
  /** An operation whose number leaves a gap waits so long for those before it. Default 1000 ms. */
  gapHoldMs?: number;
  /** A clock in ms that never goes back. */
  now?: () => number;
  onBatch?(size: number): void;
  /** An operation waits for the numbers before it; one that waited had its turn. */
  onReordered?(): void;
}

export interface Ticket {
  tenant: string;
  /** What it keeps waiting, for the bounds. */
  bytes: number;
  /** Records, the cost that shares are counted in. */
  cost: number;
  /** Creates are shed before steps: at half of a full queue already. */
  sheddable?: boolean;
  /** Not begun by then: OST_DEADLINE. On the scheduler's clock. */
  deadline?: number;
  signal?: AbortSignal;
}

export interface SchedulerStatus {
  waiting: number;
  bytes: number;
  held: number;
  running: number;
  oldestMs: number;
}
