/**
 * @file The server's log: JSON lines by pino, one per change of a session's life, per refusal of the server's own making, and per fault.
 *
 * Sessions are named by the first 16 hex digits of the SHA-256 of their key, as in the audit log; credentials and records never stand in it.
 */
import { createHash } from "node:crypto";
import type { FastifyServerOptions } from "fastify";
import { type Logger, type LoggerOptions, pino } from "pino";
import type { Observer } from "./observer.js";
import { parseSessionKey } from "./session-key.js";

/** A pino logger, its options, or false for none. */
export type LogChoice = Logger | LoggerOptions | boolean | undefined;

export class ServerLog {
  readonly #logger: Logger;
  readonly observer: Observer;

  /** Default: JSON lines on standard error, from level info on. */
  constructor(choice: LogChoice) {
    this.#logger = loggerOf(choice);
    const log = this.#logger;
    const logged = new WeakSet<object>();
    this.observer = {
      lifecycle({ kind, key, version, incarnation, seq, steps, reason }, actor) {
        const level =
          kind === "hibernated" || kind === "woken" ? "debug" : kind === "quarantined" || kind === "lost" ? "warn" : "info";
        const { tenant, model } = parseSessionKey(key);
        const session = createHash("sha256").update(key).digest("hex").slice(0, 16);
        log[level](
          {
            event: `session_${kind}`,
            tenant,
            model,
            session,
            version: version.slice(0, 12),
            incarnation,
            seq,
            steps,
            reason,
            actor,
          },
          `session ${kind}`,
        );
      },
      model(change, { version, ...facts }) {
        log.info({ event: `model_${change}`, version: version.slice(0, 12), ...facts }, `model ${change}`);
      },
      probe(result, detail) {
        if (result === "mismatch") log.fatal({ event: "isolation_mismatch", detail }, "the leak sentinel saw a mismatch");
      },
      store(facts) {
        log.warn({ event: "store", ...facts }, `store ${facts.kind}`);
      },
      slowConsumer(protocol) {
        log.warn({ event: "slow_consumer", protocol }, "a reader that did not keep up was closed");
      },
      authFailure(kind) {
        log.warn({ event: "auth_failure", kind }, "a credential was refused");
      },
      fault(error, where) {
        // A fault passes several places; it is told at the first.
        if (typeof error === "object" && error !== null) {
          if (logged.has(error)) return;
          logged.add(error);
        }
        log.error({ event: "fault", err: error, where }, where);
      },
    };
  }

  /** What Fastify is to log with. */
  get fastify(): Pick<FastifyServerOptions, "loggerInstance"> {
    return { loggerInstance: this.#logger };
  }
}

function loggerOf(choice: LogChoice): Logger {
  if (typeof choice === "object" && "child" in choice && typeof choice.child === "function") return choice as Logger;
  if (choice === false) return pino({ level: "silent" });
  return pino(
    { level: "info", ...(typeof choice === "object" ? (choice as LoggerOptions) : {}) },
    pino.destination({ fd: 2, sync: false }),
  );
}
