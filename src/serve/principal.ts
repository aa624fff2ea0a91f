/** @file Who asks, and what it may do. */

export const SCOPES = ["step", "session:admin", "state:read", "state:write", "model:admin", "metrics"] as const;

/**
 * - `step`: create, step, reset, end, look at sessions and their events;
 * - `session:admin`: all of it for sessions that another principal of the tenant created, list, hibernate;
 * - `state:read`: snapshots; `state:write`: restore them;
 * - `model:admin`: load, unload and swap models; `metrics`: read the metrics.
 */
export type Scope = (typeof SCOPES)[number];

export interface Principal {
  /** Whose sessions: the only tenant this credential reaches. */
  readonly tenant: string;
  /** Name of the credential, for the audit log: never the credential itself. */
  readonly subject: string;
  readonly scopes: ReadonlySet<Scope>;
  /** It reaches only sessions that it created itself, unless it has `session:admin`. */
  readonly creatorOnly?: boolean;
}
