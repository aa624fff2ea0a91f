/** @file A session that is stepped while everything else is attacked, and whose every answer is checked bit for bit. */
import { probeReference } from "../../src/model/index.js";
import { HostileConnection, type RawAnswer, rawRequest } from "./hostile-connection.js";

const EVERY_MS = 20;

export class Witness {
  readonly #connection: HostileConnection;
  readonly #path: string;
  readonly #headers: [string, string][];
  readonly #values: number[] = [];
  #timer: NodeJS.Timeout | null = null;
  #busy: Promise<void> = Promise.resolve();
  #seq = 0;
  #high = 0;
  steps = 0;
  slowestMs = 0;
  /** What was not as it should be. */
  readonly wrongs: string[] = [];

  constructor(port: number, { tenant, id }: { tenant: string; id: string }) {
    this.#connection = new HostileConnection(port);
    this.#path = `/v1/models/probe/sessions/${id}`;
    this.#headers = [
      ["Authorization", `Bearer ${tenant}`],
      ["Content-Type", "application/json"],
    ];
  }

  async start(): Promise<void> {
    const id = this.#path.split("/").pop();
    const made = await this.#ask("POST", "/v1/models/probe/sessions", { id });
    if (made?.status !== 201) throw new Error(`the witness could not begin: ${made?.status} ${made?.body}`);
    this.#timer = setInterval(() => {
      this.#busy = this.#busy.then(() => this.step());
    }, EVERY_MS);
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    await this.#busy;
    this.#connection.close();
  }

  /** One step now, after those before it. An honest refusal (429, 503) is sent again. */
  async step(): Promise<void> {
    const value = Math.fround(Math.sin(this.#seq) * 1e3);
    for (let tries = 0; tries < 20; tries++) {
      const answer = await this.#ask("POST", `${this.#path}/steps`, { record: { value }, seq: this.#seq + 1 });
      this.slowestMs = Math.max(this.slowestMs, answer?.ms ?? 0);
      if (answer !== null && answer.status === 200) {
        this.#seq++;
        this.#values.push(value);
        this.steps++;
        return this.#judge(JSON.parse(answer.body.toString()));
      }
      if (answer !== null && answer.status !== 429 && answer.status !== 503) {
        this.#wrong(`step ${this.#seq + 1}: ${answer.status} ${answer.body.toString().slice(0, 200)}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.#wrong(`step ${this.#seq + 1}: never answered`);
  }

  #judge({ predictions }: { predictions: { values: unknown }[] }): void {
    // Only the new one: the reference is quadratic in what came before.
    if (this.#values.length > 2000 && this.#values.length % 50 !== 0) return;
    const [high, low] = probeReference(this.#values)[this.#values.length - 1];
    this.#high = high;
    const text = JSON.stringify(predictions[0]);
    if (predictions.length !== 1 || !text.includes(String(this.#high)) || !text.includes(String(low)))
      this.#wrong(`step ${this.#seq}: ${text.slice(0, 200)}, not ${high}, ${low}`);
  }

  #wrong(text: string): void {
    if (this.wrongs.length < 5) this.wrongs.push(text);
  }

  #ask(method: string, path: string, body: object): Promise<RawAnswer | null> {
    return this.#connection.ask(rawRequest(method, path, { headers: this.#headers, body: Buffer.from(JSON.stringify(body)) }));
  }
}
