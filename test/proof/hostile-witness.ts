/** @file A session that is stepped while everything else is attacked, and whose every answer is checked bit for bit. */
import { ProbeModel } from "../../src/model/index.js";
import { HostileConnection, type RawAnswer, rawRequest } from "./hostile-connection.js";

/** A forecast of the probe. */
interface Prediction {
  forecast: unknown;
}

const EVERY_MS = 20;
const TRIES = 20;

export class HostileWitness {
  readonly #connection: HostileConnection;
  readonly #id: string;
  readonly #headers: [string, string][];
  /** The same stream alone, in this process. */
  readonly #alone = new ProbeModel();
  #state = this.#alone.initialState();
  #timer: NodeJS.Timeout | null = null;
  #busy: Promise<void> = Promise.resolve();
  #stepping = false;
  steps = 0;
  /** What was not as it should be. */
  readonly wrongs: string[] = [];

  constructor(port: number, { tenant, id }: { tenant: string; id: string }) {
    this.#connection = new HostileConnection(port);
    this.#id = id;
    this.#headers = [
      ["Authorization", `Bearer ${tenant}`],
      ["Content-Type", "application/json"],
    ];
  }

  async start(): Promise<void> {
    const made = await this.#ask("/v1/models/probe/sessions", { id: this.#id });
    if (made?.status !== 201) throw new Error(`the witness could not begin: ${made?.status} ${made?.body}`);
    this.#timer = setInterval(() => {
      if (!this.#stepping) void this.step();
    }, EVERY_MS);
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    await this.#busy;
    this.#connection.close();
  }

  /** One more step, behind those under way. */
  step(): Promise<void> {
    this.#busy = this.#busy.then(async () => {
      this.#stepping = true;
      await this.#step();
      this.#stepping = false;
    });
    return this.#busy;
  }

  /** An honest refusal (429, 503), or a lost connection, and it is sent again with its number. */
  async #step(): Promise<void> {
    const value = Math.fround(Math.sin(this.steps) * 1e3);
    const seq = this.steps + 1;
    for (let tries = 0; tries < TRIES; tries++) {
      const answer = await this.#ask(`/v1/models/probe/sessions/${this.#id}/steps`, { record: { value }, seq });
      if (answer?.status === 200) return this.#judge(JSON.parse(answer.body.toString()), value);
      if (answer !== null && answer.status !== 429 && answer.status !== 503)
        return this.#wrong(`step ${seq}: ${answer.status} ${answer.body.toString().slice(0, 200)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.#wrong(`step ${seq}: never answered`);
  }

  #judge({ seq, predictions }: { seq: number; predictions: Prediction[] }, value: number): void {
    const { state, predictions: alone } = this.#alone.push({ value }, this.#state);
    this.#state = state;
    this.steps++;
    const [came, wanted] = [predictions, alone as Prediction[]].map((each) =>
      JSON.stringify(each.map(({ forecast }) => forecast)),
    );
    if (seq !== this.steps || came !== wanted) this.#wrong(`step ${this.steps}: ${came.slice(0, 200)}, not ${wanted}`);
  }

  #wrong(text: string): void {
    if (this.wrongs.length < 5) this.wrongs.push(text);
  }

  #ask(path: string, body: object): Promise<RawAnswer | null> {
    return this.#connection.ask(rawRequest("POST", path, { headers: this.#headers, body: Buffer.from(JSON.stringify(body)) }));
  }
}
