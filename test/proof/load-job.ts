/** @file What a generator of load is asked to do, and what it gives back. */

export interface LoadJob {
  protocol: "websocket" | "grpc" | "http";
  /** Host and port. */
  address: string;
  /** Whether the other side is an echo: sessions need not be opened there. */
  echo: boolean;
  connections: number;
  sessions: number;
  /** Steps of each connection that are unanswered. */
  inFlight: number;
  /** Records of one frame. */
  records: number;
  warmSeconds: number;
  seconds: number;
}

export interface LoadResult {
  /** Answers, each to a frame. */
  frames: number;
  /** Answers that were none. */
  errors: number;
  firstError: string;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU of the generator while it measured, seconds. */
  cpu: number;
}
