/**
 * @file How much each tenant may ask: rates of steps, creates and bytes as token buckets, and the number of its live sessions.
 *
 * Nothing is limited but live sessions unless the configuration says so. A bucket holds what its rate gives in `burstSeconds`; a request
 * larger than a whole bucket passes a full one and leaves a debt, so it is not refused for ever and the rate still holds in the long run.
 */
import { OstinatoError } from "../core/errors.js";

/** What one tenant may do. What is left out is as for all tenants, and where those say nothing, unlimited. */
export interface TenantLimit {
  /** Records a second. */
  stepsPerSecond?: number;
  /** New sessions a second. */
  createsPerSecond?: number;
  /** Bytes of requests a second. */
  bytesPerSecond?: number;
  /** Seconds of its rates that a tenant may use at once. Default 1. */
  burstSeconds?: number;
  /** Live sessions at most. Default 100,000. */
  liveSessions?: number;
  /** Share of the engine beside other tenants, 0.1 .. 100. Default 1. */
  weight?: number;
}

export interface LimitConfiguration {
  /** For every tenant. */
  all?: TenantLimit;
  /** For tenants by name, in place of what `all` says. */
  tenants?: Readonly<Record<string, TenantLimit>>;
}

/** What a request is going to use. */
export interface Demand {
  steps?: number;
  creates?: number;
  bytes?: number;
}

export interface Excess {
  /** When it would pass, if nothing else came in between. At least 1. */
  retryAfterMs: number;
  what: "steps" | "creates" | "bytes";
  /** Per second. */
  limit: number;
}

export interface TenantLimitsOptions {
  limits?: LimitConfiguration;
  /** A clock in ms that never goes back. Default `performance.now`. */
  now?: () => number;
  /** Tenants whose use is remembered at most; the one that asked last longest ago is forgotten first. Default 10,000. */
  maxTenants?: number;
}

const DEFAULT_BURST_SECONDS = 1;
const DEFAULT_LIVE_SESSIONS = 100_000;
/** What sums of fractions may be off by, as a part of a bucket and in ms. */
const ROUNDING = 1e-6;
/** Tenants looked at for forgetting whenever a new one comes: more than one, so that idle ones become fewer. */
const SWEEP = 2;

/** Holds up to `capacity` tokens and gets `rate` more a second. */
export class TokenBucket {
  #level: number;
  #at: number;

  constructor(
    readonly rate: number,
    readonly capacity: number,
    now: number,
  ) {
    this.#level = capacity;
    this.#at = now;
  }

  /** ms until `tokens` could be taken; 0 now. More than the capacity needs a full bucket. */
  wait(tokens: number, now: number): number {
    this.#fill(now);
    const missing = Math.min(tokens, this.capacity) - this.#level;
    return missing <= this.capacity * ROUNDING ? 0 : Math.max(1, Math.ceil((missing / this.rate) * 1000 - ROUNDING));
  }

  /** Takes tokens, into debt if it must. */
  take(tokens: number, now: number): void {
    this.#fill(now);
    this.#level -= tokens;
  }

  /** As good as new. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#level >= this.capacity * (1 - ROUNDING);
  }

  #fill(now: number): void {
    if (now <= this.#at) return;
    this.#level = Math.min(this.capacity, this.#level + ((now - this.#at) / 1000) * this.rate);
    this.#at = now;
  }
}

const RATES = [
  ["steps", "stepsPerSecond"],
  ["creates", "createsPerSecond"],
  ["bytes", "bytesPerSecond"],
] as const;

type Buckets = Partial<Record<Excess["what"], TokenBucket>>;

export class TenantLimits {
  readonly #all: TenantLimit;
  readonly #own: ReadonlyMap<string, TenantLimit>;
  readonly #now: () => number;
  readonly #maxTenants: number;
  /** Of tenants that have rates, the one that asked last at the end. */
  readonly #buckets = new Map<string, Buckets>();

  /** @throws OST_CONFIG for limits that cannot be. */
  constructor(options: TenantLimitsOptions = {}) {
    const { all = {}, tenants = {} } = checkLimits(options.limits ?? {});
    this.#all = all;
    this.#own = new Map(Object.entries(tenants).map(([name, own]) => [name, { ...all, ...own }]));
    this.#now = options.now ?? (() => performance.now());
    this.#maxTenants = options.maxTenants ?? 10_000;
  }

  /** Tenants whose use is remembered. */
  get remembered(): number {
    return this.#buckets.size;
  }

  liveSessions(tenant: string): number {
    return this.#of(tenant).liveSessions ?? DEFAULT_LIVE_SESSIONS;
  }

  weight(tenant: string): number {
    return this.#of(tenant).weight ?? 1;
  }

  /** Takes all of a demand, or nothing of it and says for what and how long to wait. */
  take(tenant: string, demand: Demand): Excess | null {
    const limit = this.#of(tenant);
    if (RATES.every(([, rate]) => limit[rate] === undefined)) return null;
    const now = this.#now();
    const buckets = this.#recall(tenant, limit, now);
    let excess: Excess | null = null;
    for (const [what] of RATES) {
      const bucket = buckets[what];
      const retryAfterMs = bucket?.wait(demand[what] ?? 0, now) ?? 0;
      if (demand[what] && bucket && retryAfterMs > (excess?.retryAfterMs ?? 0))
        excess = { retryAfterMs, what, limit: bucket.rate };
    }
    if (excess === null) for (const [what] of RATES) buckets[what]?.take(demand[what] ?? 0, now);
    return excess;
  }

  #of(tenant: string): TenantLimit {
    return this.#own.get(tenant) ?? this.#all;
  }

  #recall(tenant: string, limit: TenantLimit, now: number): Buckets {
    let buckets = this.#buckets.get(tenant);
    if (buckets === undefined) {
      this.#forgetIdle(now);
      buckets = {};
      const burst = limit.burstSeconds ?? DEFAULT_BURST_SECONDS;
      for (const [what, name] of RATES) {
        const rate = limit[name];
        if (rate !== undefined) buckets[what] = new TokenBucket(rate, rate * burst, now);
      }
    } else this.#buckets.delete(tenant);
    this.#buckets.set(tenant, buckets);
    return buckets;
  }

  /** Full buckets are as new ones, so forgetting them changes nothing; beyond `maxTenants` the fullest are likely the longest unused. */
  #forgetIdle(now: number): void {
    let looked = 0;
    for (const [tenant, buckets] of this.#buckets) {
      const full = Object.values(buckets).every((bucket) => bucket.isFull(now));
      if (full || this.#buckets.size >= this.#maxTenants) this.#buckets.delete(tenant);
      if (++looked >= SWEEP) return;
    }
  }
}

/** Limits from a configuration file. @throws OST_CONFIG naming the first name or number that does not fit. */
export function checkLimits(value: unknown): LimitConfiguration {
  const { all, tenants, ...others } = record(value, "limits");
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw misfit(`limits.${unknown}`, "all or tenants", unknown);
  return {
    all: all === undefined ? {} : checkLimit(all, "limits.all"),
    tenants: Object.fromEntries(
      Object.entries(tenants === undefined ? {} : record(tenants, "limits.tenants")).map(([name, limit]) => [
        name,
        checkLimit(limit, `limits.tenants.${name}`),
      ]),
    ),
  };
}

const RANGES: Record<keyof TenantLimit, { low: number; high: number; whole?: boolean }> = {
  stepsPerSecond: { low: 1e-3, high: 1e12 },
  createsPerSecond: { low: 1e-3, high: 1e12 },
  bytesPerSecond: { low: 1e-3, high: 1e15 },
  burstSeconds: { low: 1e-3, high: 86_400 },
  liveSessions: { low: 0, high: Number.MAX_SAFE_INTEGER, whole: true },
  weight: { low: 0.1, high: 100 },
};

function checkLimit(value: unknown, where: string): TenantLimit {
  const limit = record(value, where);
  for (const [name, number] of Object.entries(limit)) {
    if (!Object.hasOwn(RANGES, name)) throw misfit(`${where}.${name}`, Object.keys(RANGES).join(", "), name);
    const { low, high, whole } = RANGES[name as keyof TenantLimit];
    const fits = typeof number === "number" && number >= low && number <= high && (!whole || Number.isInteger(number));
    if (!fits)
      throw misfit(
        `${where}.${name}`,
        `a ${whole ? "whole " : ""}number from ${low} to ${high}`,
        JSON.stringify(number) ?? "nothing",
      );
  }
  return { ...limit };
}

function record(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw misfit(where, "names with numbers", Array.isArray(value) ? "a list" : JSON.stringify(value));
}

function misfit(where: string, expected: string, got: string): OstinatoError {
  return new OstinatoError("OST_CONFIG", {
    what: "a limit that does not fit",
    expected,
    got,
    where,
    repair: "correct it, or leave it out for no limit",
  });
}
