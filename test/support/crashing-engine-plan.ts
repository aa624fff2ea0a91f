/** @file When and how the thread of `crashing-engine-worker.ts` dies. */

export const CRASH_POINTS = ["before compute", "before commit", "before reply"] as const;
export const CRASH_WAYS = ["throw", "exit", "trap", "memory", "hang"] as const;

export interface CrashPlan {
  point: (typeof CRASH_POINTS)[number];
  way: (typeof CRASH_WAYS)[number];
  /** Int32 [3] Chances that are passed over, deaths that are left, deaths that were; shared with the test. */
  counts: SharedArrayBuffer;
  /** Only batches that change this key. */
  key?: string;
}
