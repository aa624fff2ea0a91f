/**
 * @file A client that remembers: numbered steps of many sessions, what was acknowledged of them, and whether that is what one session alone
 * would have answered. What was not acknowledged it sends again, with the same number.
 */
import type { Rng } from "../../src/core/rng.js";
import { FrameClient } from "./frame-client.js";
import { probeAlone, sameBits } from "./reference.js";

export interface WitnessReport {
  acknowledged: number;
  /** Sent again and found applied. */
  repeated: number;
  /** Refusals by code. */
  refused: Map<string, number>;
  /** Acknowledged steps that the server has no more; steps it has that were never sent. */
  lost: number;
  doubled: number;
  /** Answers with other bits than alone. */
  wrong: number;
  notes: string[];
}

interface Told {
  id: string;
  stream: number;
  values: number[];
  /** By number - 1; undefined: not acknowledged. */
  answers: (Float64Array | undefined)[];
  /** Steps acknowledged without a gap, from the first on. */
  known: number;
}

export interface WitnessOptions {
  sessions: number;
  /** Sockets that the sessions share. */
  sockets?: number;
  rng: Rng;
  key?: string;
  /** Steps of a session under way at once. Default 4. */
  window?: number;
  name?: string;
  ttlSeconds?: number;
}

export class Witness {
  readonly report: WitnessReport = { acknowledged: 0, repeated: 0, refused: new Map(), lost: 0, doubled: 0, wrong: 0, notes: [] };
  readonly #sessions: Told[];
  readonly #options: Required<Omit<WitnessOptions, "ttlSeconds">> & Pick<WitnessOptions, "ttlSeconds">;
  #clients: FrameClient[] = [];

  constructor(options: WitnessOptions) {
    this.#options = { sockets: 4, key: "witness", window: 4, name: "w", ...options };
    const { sessions, name } = this.#options;
    this.#sessions = Array.from({ length: sessions }, (_, i) => ({
      id: `${name}-${i}`,
      stream: i + 1,
      values: [],
      answers: [],
      known: 0,
    }));
  }

  /** Opens its sockets and its sessions, and compares what the server says it has with what is known. */
  async connect(address: string): Promise<void> {
    const { sockets, key, ttlSeconds } = this.#options;
    this.disconnect();
    this.#clients = await Promise.all(Array.from({ length: sockets }, () => FrameClient.open(address, key)));
    await Promise.all(
      this.#sessions.map(async (session) => {
        const open = { model: "probe", id: session.id, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) };
        // A session of which anything was acknowledged has to be there.
        const mode = session.known > 0 ? ("attach" as const) : ("createOrAttach" as const);
        const { opened, refused } = await this.#client(session).attach(session.stream, { ...open, mode });
        const seq = opened?.session.seq ?? 0;
        if (refused || seq < session.known) {
          this.report.lost++;
          this.#note(`${session.id}: ${refused?.error.code ?? `at ${seq}`}, and ${session.known} were acknowledged`);
        } else if (seq > session.values.length) {
          this.report.doubled++;
          this.#note(`${session.id}: at ${seq}, and ${session.values.length} were sent`);
        }
      }),
    );
  }

  disconnect(): void {
    for (const client of this.#clients) client.close();
    this.#clients = [];
  }

  /** Steps all sessions until the clock says so, or the server goes away. A refusal for the store is tried again after a moment. */
  async step(milliseconds: number): Promise<void> {
    const until = performance.now() + milliseconds;
    await Promise.all(this.#sessions.map((session) => this.#drive(session, () => performance.now() < until).catch(() => {})));
  }

  /** Sends again what is not acknowledged, and `more` steps of each session; all have to be acknowledged. @returns whether they were. */
  async settle(more: number): Promise<boolean> {
    const settled = await Promise.all(
      this.#sessions.map(async (session) => {
        const goal = session.values.length + more;
        const deadline = performance.now() + 20_000;
        await this.#drive(session, () => session.known < goal && performance.now() < deadline, goal).catch(() => {});
        return session.known >= goal;
      }),
    );
    return settled.every(Boolean);
  }

  /** Compares every acknowledged answer with a replay. */
  check(): void {
    for (const { id, values, answers } of this.#sessions) {
      const right = probeAlone(values.map((value) => Float64Array.of(value)));
      answers.forEach((answer, i) => {
        if (answer === undefined || sameBits(answer, right[i])) return;
        this.report.wrong++;
        this.#note(`${id}: step ${i + 1} answered ${answer.join(" ")} for ${right[i].join(" ")}`);
      });
    }
  }

  async #drive(session: Told, goesOn: () => boolean, goal = Number.POSITIVE_INFINITY): Promise<void> {
    const { rng, window } = this.#options;
    while (goesOn()) {
      const end = Math.min(goal, session.known + 1 + rng.integer(window));
      while (session.values.length < end) session.values.push(rng.normal());
      const client = this.#client(session);
      const answers = await Promise.allSettled(
        Array.from({ length: end - session.known }, (_, i) => this.#one(client, session, session.known + i)),
      );
      while (session.answers[session.known] !== undefined) session.known++;
      const broken = answers.find((answer) => answer.status === "rejected");
      if (broken) throw broken.reason;
      if (answers.some((answer) => answer.status === "fulfilled" && answer.value)) await pause(20);
    }
  }

  /** @returns whether it was refused. */
  async #one(client: FrameClient, session: Told, at: number): Promise<boolean> {
    const { values, repeated, refused } = await client.step(session.stream, at + 1, [session.values[at]]);
    const { report } = this;
    if (refused) {
      const { code } = refused.error;
      report.refused.set(code, (report.refused.get(code) ?? 0) + 1);
      return true;
    }
    if (repeated) report.repeated++;
    if (session.answers[at] === undefined) report.acknowledged++;
    else if (!sameBits(values, session.answers[at])) report.wrong++;
    session.answers[at] = values;
    return false;
  }

  #client({ stream }: Told): FrameClient {
    return this.#clients[stream % this.#clients.length];
  }

  #note(text: string): void {
    if (this.report.notes.length < 5) this.report.notes.push(text.slice(0, 200));
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
