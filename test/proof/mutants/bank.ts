/**
 * @file Faults that session servers have had, put into this one: each a few characters of one file, each caught by the suite or a hole in it.
 *
 * `find` stands in its file exactly once, or the bank has rotted and says so. The pains P1..P15 are those of the issues of other servers that
 * this one was designed against.
 */

export interface Mutant {
  name: string;
  /** What it would have been for whoever ran the server. */
  pain: string;
  /** From the root of the sources. */
  file: string;
  find: string;
  replace: string;
  /**
   * Somebody gets a state or an answer that belongs to another session, tenant or life, below the protocols: where the leak sentinel, which
   * speaks to the scheduler of a live server, can meet it.
   */
  leaks: boolean;
}

const ENGINE = "src/serve/session-engine.ts";
const LEDGER = "src/serve/ledger.ts";
const STEPPER = "src/nn/stepper.ts";
const ADVANCER = "src/model/advancer.ts";
const KEY = "src/serve/session-key.ts";
const SCHEDULER = "src/serve/scheduler.ts";
const MAILBOX = "src/serve/mailbox.ts";
const SERVICE = "src/serve/session-service.ts";
const STORE = "src/serve/store-lmdb.ts";
const MESSAGES = "src/serve/engine-messages.ts";

export const MUTANTS: readonly Mutant[] = [
  {
    name: "answers leave before the commit",
    pain: "an acknowledged step is lost in a crash",
    file: ENGINE,
    find: "const conflicts = await this.#commit(works);",
    replace: "const conflicts: Work[] = [];\n    this.#commit(works).catch(() => {});",
    leaks: false,
  },
  {
    name: "a commit that failed is taken for one that did not",
    pain: "an acknowledged step is lost on a full disk",
    file: ENGINE,
    find: "for (const work of writers) this.#undo(work, error, unknown);",
    replace: "void unknown;",
    leaks: false,
  },
  {
    name: "results of a batch go to their neighbours",
    pain: "wrong scatter: one session gets another's state and answer",
    file: ENGINE,
    find: "const result = results[i];",
    replace: "const result = results[results.length - 1 - i];",
    leaks: true,
  },
  {
    name: "a reset keeps the state",
    pain: "missing reset: a new patient begins with the last one's state",
    file: ENGINE,
    find: 'this.#afresh(work, session, this.#model(session.version).model.initialState(), operation.reason, "reset");',
    replace: 'this.#afresh(work, session, session.state, operation.reason, "reset");',
    leaks: true,
  },
  {
    name: "START on a live session keeps the state",
    pain: "P3: a sequence begins where the last one under its id stopped",
    file: ENGINE,
    find: "begin.snapshot ? loaded.model.restore(begin.snapshot, tenant) : loaded.model.initialState();",
    replace: "begin.snapshot ? loaded.model.restore(begin.snapshot, tenant) : (before?.state ?? loaded.model.initialState());",
    leaks: true,
  },
  {
    name: "the second record of a request meets the states of the first round",
    pain: "stale buffer: rows of an earlier round run again in the next",
    file: ENGINE,
    find: "group.items.length = 0;",
    replace: "",
    leaks: true,
  },
  {
    name: "the last number again is applied again",
    pain: "a client's retry doubles a step",
    file: ENGINE,
    find: "if (seq !== undefined && seq <= session.seq) {",
    replace: "if (seq !== undefined && seq < session.seq) {",
    leaks: false,
  },
  {
    name: "a gap of one number passes",
    pain: "a lost step is not noticed",
    file: ENGINE,
    find: "if (seq !== undefined && seq > session.seq + 1) {",
    replace: "if (seq !== undefined && seq > session.seq + 2) {",
    leaks: false,
  },
  {
    name: "a number's second use is answered whatever the records",
    pain: "a client is told that records were applied which were not",
    file: ENGINE,
    find: "answerFacts(answer).digest === inputDigest(input)",
    replace: "inputDigest(input) !== -1",
    leaks: false,
  },
  {
    name: "incarnations are not compared",
    pain: "P2: a late request of an earlier life steps the present one",
    file: ENGINE,
    find: "if (incarnation === undefined || incarnation === session.incarnation) return;",
    replace: "if (incarnation !== -1) return;",
    leaks: false,
  },
  {
    name: "a refused write is taken for an applied one",
    pain: "lost compare-and-set: of two servers each overwrites the other's steps",
    file: ENGINE,
    find: 'if (outcomes[i] !== "conflict") return;',
    replace: "return;",
    leaks: false,
  },
  {
    name: "an interval session goes on silently after a crash",
    pain: "acknowledged steps are missing and nobody is told",
    file: ENGINE,
    find: '(record.durability === "interval" && record.boot < boot',
    replace: "(record.durability === null && record.boot < boot",
    leaks: false,
  },
  {
    name: "a session kept in memory only begins afresh silently after a restart",
    pain: "a state is gone and the stream goes on as if it were not",
    file: ENGINE,
    find: 'const isLost = record.durability === "none" && record.boot < boot;',
    replace: "const isLost = false;",
    leaks: false,
  },
  {
    name: "sessions are never quarantined",
    pain: "P12: a session that can only give NaN is tried for ever",
    file: ENGINE,
    find: "if (work.count > 0 || before.strikes < this.#options.quarantineAfter) return;",
    replace: "return;",
    leaks: false,
  },
  {
    name: "sleep drops what is not written",
    pain: "P4: an idle session loses its last steps",
    file: ENGINE,
    find: "work.mustWrite = session.unsaved > 0;",
    replace: "work.mustWrite = false;",
    leaks: false,
  },
  {
    name: "a full memory drops what is not written",
    pain: "P4: a busy server loses the steps of the sessions it forgets",
    file: ENGINE,
    find: "if (session.unsaved === 0) this.#resident.delete(key);",
    replace: "this.#resident.delete(key);",
    leaks: false,
  },
  {
    name: "a session in use expires",
    pain: "P4: the reaper ends a session that was just used",
    file: ENGINE,
    find: "after.usedAt = this.#ledger.clock();",
    replace: "",
    leaks: false,
  },
  {
    name: "who created a session is not compared",
    pain: "one user of a tenant reads another's session",
    file: ENGINE,
    find: "operation.creator !== before.creator",
    replace: "operation.creator === null",
    leaks: false,
  },
  {
    name: "expiry goes by the wall clock",
    pain: "a clock that is set ends every session",
    file: LEDGER,
    find: "return this.#base + this.#now() - this.#start;",
    replace: "return Date.now();",
    leaks: false,
  },
  {
    name: "incarnations are drawn twice",
    pain: "P2: a reset does not change what late requests are told apart by",
    file: LEDGER,
    find: "return this.#nextIncarnation++;",
    replace: "return this.#nextIncarnation;",
    leaks: false,
  },
  {
    name: "the snapshot of another tenant is accepted",
    pain: "one tenant reads another's state",
    file: "src/model/snapshot.ts",
    find: "if (header.owner !== expected.owner)",
    replace: "if (header.owner === null)",
    leaks: true,
  },
  {
    name: "preprocessing writes into the state it was given",
    pain: "a step that is refused has changed the session all the same",
    file: ADVANCER,
    find: "afresh ? this.#preprocessing.initialState() : before.preprocessing.slice();",
    replace: "afresh ? this.#preprocessing.initialState() : before.preprocessing;",
    leaks: false,
  },
  {
    name: "the model's state goes on over a boundary",
    pain: "missing reset where the training data had one",
    file: ADVANCER,
    find: "const model = afresh ? this.steps.initial : before.model;",
    replace: "const model = before.model;",
    leaks: false,
  },
  {
    name: "a batch reads its neighbour's row",
    pain: "P1: two clients share a state",
    file: STEPPER,
    find: "start + part.next + b * part.width, state, part.at, part.width",
    replace: "start + part.next + Math.max(0, b - 1) * part.width, state, part.at, part.width",
    leaks: true,
  },
  {
    name: "the first row of a batch keeps what lay in its place",
    pain: "P1: state of whoever was computed before",
    file: STEPPER,
    find: "for (const part of parts) copy(state, part.at, floats, start + part.before + b * part.width, part.width);",
    replace:
      "if (b > 0) for (const part of parts) copy(state, part.at, floats, start + part.before + b * part.width, part.width);",
    leaks: true,
  },
  {
    name: "all new states are one array",
    pain: "stale buffer: a session's state is that of the last one computed",
    file: STEPPER,
    find: "const state = new Float32Array(this.#stateWidth);",
    replace: "const state = ((globalThis as { stale?: Float32Array }).stale ??= new Float32Array(this.#stateWidth));",
    leaks: true,
  },
  {
    name: "results are not asked whether they are finite",
    pain: "P12: a NaN becomes a state",
    file: STEPPER,
    find: "const allFinite = this.#allFinite();",
    replace: "const allFinite = true;",
    leaks: false,
  },
  {
    name: "the tenant is left out of the key",
    pain: "P9: two tenants share a session",
    file: KEY,
    find: "{tenant}\\n$",
    replace: "{tenant.slice(0, 1)}\\n$",
    leaks: true,
  },
  {
    name: '42 and "42" are one session',
    pain: "P9: ids of two kinds collide",
    file: KEY,
    find: ": `u",
    replace: ": `s",
    leaks: true,
  },
  {
    name: "an id goes through a number",
    pain: "P9: ids above 2^53 collide",
    file: KEY,
    find: "return { number: value.toString() };",
    replace: "return { number: String(Number(value)) };",
    leaks: true,
  },
  {
    name: "a session's next operation joins the batch of the one before",
    pain: "P2: two steps from one state, of which one is lost",
    file: SCHEDULER,
    find: "mailbox.begin(entry);",
    replace: "mailbox.begin(entry);\n      mailbox.running = null;\n      this.#settle(mailbox);",
    leaks: false,
  },
  {
    name: "answers of a batch go out in reverse",
    pain: "wrong scatter: one client gets another's answer",
    file: SCHEDULER,
    find: "this.#complete(batch[i], outcomes[i]);",
    replace: "this.#complete(batch[i], outcomes[batch.length - 1 - i]);",
    leaks: true,
  },
  {
    name: "a slot is freed twice",
    pain: "P1: released by the end and by the reaper",
    file: SCHEDULER,
    find: "mailbox.share.operations--;",
    replace: "mailbox.share.operations -= 2;",
    leaks: false,
  },
  {
    name: "the latest comes first",
    pain: "P3: steps of one session change places",
    file: MAILBOX,
    find: "if (this.held.length === 0) return this.queue.first;",
    replace:
      "if (this.held.length === 0) {\n      let entry = this.queue.first;\n      while (entry?.next) entry = entry.next;\n      return entry;\n    }",
    leaks: false,
  },
  {
    name: "END passes the steps that wait",
    pain: "P3: END is processed before queued steps",
    file: MAILBOX,
    find: "if (this.held.length === 0) return this.queue.first;",
    replace:
      'if (this.held.length === 0) {\n      for (let entry = this.queue.first; entry; entry = entry.next) if (entry.operation.kind === "end") return entry;\n      return this.queue.first;\n    }',
    leaks: false,
  },
  {
    name: "a session's next operation begins while one runs",
    pain: "P1: a slot given away in use",
    file: SCHEDULER,
    find: "if (mailbox.running !== null) return;",
    replace: "",
    leaks: false,
  },
  {
    name: "a session begins on the first model there is",
    pain: "answers of another model's version",
    file: SERVICE,
    find: "const { current } = this.model(model);\n    const { tenant, subject }",
    replace: "const { current } = this.models()[0];\n    const { tenant, subject }",
    leaks: false,
  },
  {
    name: "START runs before every chunk of a request",
    pain: "P3: a long request keeps the state of its last chunk only",
    file: SERVICE,
    find: "from === 0 ? whole.begin : undefined",
    replace: "whole.begin",
    leaks: false,
  },
  {
    name: "the store writes over any version",
    pain: "lost compare-and-set: of two servers each overwrites the other's steps",
    file: STORE,
    find: 'if (!matches(expected, held)) return "conflict";',
    replace: "void matches;\n        void expected;",
    leaks: false,
  },
  {
    name: "the store answers before its transaction",
    pain: "an acknowledged step is lost in a crash",
    file: STORE,
    find: "      file.transact(\n",
    replace: "      setTimeout(file.transact.bind(file), 1,\n",
    leaks: false,
  },
  {
    name: "the store does not wait for the disk",
    pain: "an acknowledged step is lost in a power cut",
    file: STORE,
    find: 'sync: durability === "durable"',
    replace: "sync: false",
    leaks: false,
  },
  {
    name: "folding forgets the journal's latest",
    pain: "a session goes back to an earlier state",
    file: STORE,
    find: "if (held?.batch !== batch.number) continue;",
    replace: "if (held?.batch !== batch.number || records.length % 2 === 1) continue;",
    leaks: false,
  },
  {
    name: "a later record does not replace the one in memory",
    pain: "a load gives an earlier state",
    file: STORE,
    find: "for (const { key, entry } of records) this.#latest.set(key, { batch: number, entry });",
    replace: "for (const { key, entry } of records) if (!this.#latest.has(key)) this.#latest.set(key, { batch: number, entry });",
    leaks: false,
  },
  {
    name: "answers go to the socket's first stream",
    pain: "one stream of a socket gets another's answers",
    file: "src/serve/websocket-connection.ts",
    find: "const head = { stream: number, request: id, flags, incarnation, seq };",
    replace: "const head = { stream: [...this.#streams.keys()][0] ?? number, request: id, flags, incarnation, seq };",
    leaks: false,
  },
  {
    name: "a body goes through JSON.parse",
    pain: "P9: sequence ids above 2^53 collide",
    file: "src/serve/oip-json.ts",
    find: "if (!/\\d{16}/.test(body)) return JSON.parse(body);",
    replace: "if (body !== null) return JSON.parse(body);",
    leaks: false,
  },
  {
    name: "a request without START begins a sequence",
    pain: "P4: a sequence that was ended goes on from nothing",
    file: "src/serve/oip-infer.ts",
    find: "if (start) options.start = beginning(parameters);",
    replace: 'options.start = { ...beginning(parameters), onLive: start ? "restart" : "refuse" };',
    leaks: false,
  },
  {
    name: "what is asked again is asked under a new name",
    pain: "a step that was committed before a crash is applied twice",
    file: "src/serve/worker-engine.ts",
    find: "firstId: work.firstId, retried: task.deaths > 0",
    replace: "firstId: work.firstId + task.deaths * 1000, retried: task.deaths > 0",
    leaks: false,
  },
  {
    name: "every outcome of a batch carries the first one's predictions",
    pain: "wrong scatter between threads",
    file: MESSAGES,
    find: "valuesAt += 2 * made + length;",
    replace: "",
    leaks: true,
  },
  {
    name: "rows of a batch are those of its first session",
    pain: "wrong gather between threads: a session is stepped with another's records",
    file: MESSAGES,
    find: "    rowsAt += length;\n",
    replace: "",
    leaks: true,
  },
];
