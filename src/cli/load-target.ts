/** @file A server under load, by each of its protocols: sessions that are stepped with made-up records. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClientDuplexStream, ServiceClientConstructor, ServiceError } from "@grpc/grpc-js";
import { type Client, connect, type ModelFacts, RestClient, type StreamSession } from "../client/index.js";
import { OstinatoError } from "../core/errors.js";
import { type Rng, seed } from "../core/rng.js";
import { INFERENCE_PROTO } from "../serve/inference.proto.js";

export const LOAD_PROTOCOLS = ["websocket", "rest", "grpc"] as const;
export type LoadProtocol = (typeof LOAD_PROTOCOLS)[number];

export interface LoadTarget {
  /** Begins a session. */
  open(session: number): Promise<void>;
  /** Applies so many records. @throws what the server refused, under its code. */
  step(session: number, steps: number): Promise<void>;
  /** Ends all sessions it began. */
  close(): Promise<void>;
}

export interface LoadTargetOptions {
  url: URL;
  model: string;
  protocol: LoadProtocol;
  sessions: number;
  key?: string;
  seed: number;
}

const SESSIONS_PER_SOCKET = 64;
const ENDS_AT_ONCE = 64;

export async function openLoadTarget(options: LoadTargetOptions): Promise<LoadTarget> {
  if (options.protocol === "grpc") return GrpcTarget.open(options);
  const { url, model, key } = options;
  const rest = new RestClient(url, { key, tries: 1 });
  const facts = (await rest.models()).find(({ name }) => name === model);
  if (!facts) throw noModel(model);
  const records = new MadeRecords(facts, options.seed);
  return options.protocol === "rest" ? new RestTarget(rest, model, records) : new WebSocketTarget(options, records);
}

function noModel(model: string): OstinatoError {
  return new OstinatoError("OST_MODEL", { what: "the server holds no such model", got: model, where: "--model" });
}

type Made = Pick<ModelFacts, "columns" | "time" | "textColumns">;

/** Standard normal numbers; times of one second after another; the text "0" where texts are wanted. */
class MadeRecords {
  readonly #facts: Made;
  readonly #rng: Rng;
  readonly #times: number[] = [];

  constructor(facts: Made, seedOf: number) {
    this.#facts = facts;
    this.#rng = seed(seedOf);
  }

  /** Rows in the order of the columns; null where texts make that impossible. */
  rows(session: number, steps: number): number[][] | null {
    const { columns, time, textColumns } = this.#facts;
    if (textColumns.length > 0) return null;
    return Array.from({ length: steps }, () => columns.map((name) => (name === time ? this.#time(session) : this.#rng.normal())));
  }

  records(session: number, steps: number): Record<string, number | string>[] {
    const { columns, time, textColumns } = this.#facts;
    const cell = (name: string) => (name === time ? this.#time(session) : textColumns.includes(name) ? "0" : this.#rng.normal());
    return Array.from({ length: steps }, () => Object.fromEntries(columns.map((name) => [name, cell(name)])));
  }

  #time(session: number): number {
    this.#times[session] = (this.#times[session] ?? Date.now()) + 1000;
    return this.#times[session];
  }
}

class RestTarget implements LoadTarget {
  readonly #ids: string[] = [];

  constructor(
    readonly rest: RestClient,
    readonly model: string,
    readonly records: MadeRecords,
  ) {}

  async open(session: number): Promise<void> {
    this.#ids[session] = (await this.rest.create(this.model)).session;
  }

  async step(session: number, steps: number): Promise<void> {
    const rows = this.records.rows(session, steps);
    const body = rows ? { rows } : { records: this.records.records(session, steps) };
    const { error } = await this.rest.step(this.model, this.#ids[session], body);
    if (error) throw new OstinatoError(error.code, error);
  }

  close(): Promise<void> {
    return endAll(this.#ids, (id) => this.rest.end(this.model, id));
  }
}

class WebSocketTarget implements LoadTarget {
  readonly #options: LoadTargetOptions;
  readonly #records: MadeRecords;
  readonly #sockets: Promise<Client>[] = [];
  readonly #sessions: StreamSession[] = [];

  constructor(options: LoadTargetOptions, records: MadeRecords) {
    this.#options = options;
    this.#records = records;
  }

  async open(session: number): Promise<void> {
    const { url, key, model } = this.#options;
    const place = Math.floor(session / SESSIONS_PER_SOCKET);
    this.#sockets[place] ??= connect(url, { key });
    this.#sessions[session] = await (await this.#sockets[place]).session(model, { numbers: "f32", maxRetries: 0 });
  }

  async step(session: number, steps: number): Promise<void> {
    const input = this.#records.rows(session, steps) ?? this.#records.records(session, steps);
    const { error } = await this.#sessions[session].step(input);
    if (error) throw error;
  }

  async close(): Promise<void> {
    await endAll(this.#sessions, (session) => session.end());
    for (const socket of this.#sockets) (await socket).close();
  }
}

interface InferStreamAnswer {
  error_message?: string;
  infer_response?: { id: string };
}

/** Sessions of one stream; answers find their requests by `id`. */
class GrpcTarget implements LoadTarget {
  readonly #calls: ClientDuplexStream<object, InferStreamAnswer>[] = [];
  readonly #waiting = new Map<string, { resolve(): void; reject(error: Error): void }>();
  readonly #started = new Set<number>();
  #requests = 0;

  private constructor(
    readonly options: LoadTargetOptions,
    readonly records: MadeRecords,
    readonly columns: number,
    readonly datatype: string,
    readonly openCall: () => ClientDuplexStream<object, InferStreamAnswer>,
    readonly closeClient: () => void,
  ) {}

  static async open(options: LoadTargetOptions): Promise<GrpcTarget> {
    const { url, model, key } = options;
    const { credentials, loadPackageDefinition, Metadata } = await import("@grpc/grpc-js");
    const { loadSync } = await import("@grpc/proto-loader");
    const folder = mkdtempSync(join(tmpdir(), "ostinato-loadtest-"));
    let service: ServiceClientConstructor;
    try {
      writeFileSync(join(folder, "service.proto"), INFERENCE_PROTO);
      const loaded = loadPackageDefinition(loadSync(join(folder, "service.proto"), { keepCase: true, longs: String }));
      service = (loaded["inference"] as Record<string, ServiceClientConstructor>)["GRPCInferenceService"];
    } finally {
      rmSync(folder, { recursive: true });
    }
    const secure = /^(https|grpcs):$/.test(url.protocol);
    const client = new service(url.host, secure ? credentials.createSsl() : credentials.createInsecure());
    const metadata = new Metadata();
    if (key !== undefined) metadata.set("authorization", `Bearer ${key}`);
    const facts = await new Promise<{ inputs: { datatype: string; shape: string[] }[] }>((resolve, reject) => {
      client["ModelMetadata"]({ name: model }, metadata, (error: ServiceError | null, answer: never) =>
        error ? reject(refusedByGrpc(error.details)) : resolve(answer),
      );
    });
    const [{ datatype, shape }] = facts.inputs;
    if (facts.inputs.length !== 1) {
      client.close();
      throw new OstinatoError("OST_USAGE", {
        what: "the model has columns of texts, for which no records can be made up over gRPC",
        repair: "use --protocol websocket or rest",
      });
    }
    const columns = Array.from({ length: Number(shape[2]) }, (_, i) => String(i));
    const time = datatype === "FP64" ? "0" : null;
    const records = new MadeRecords({ columns, time, textColumns: [] }, options.seed);
    const openCall = () => client["ModelStreamInfer"](metadata) as ClientDuplexStream<object, InferStreamAnswer>;
    return new GrpcTarget(options, records, columns.length, datatype, openCall, () => client.close());
  }

  async open(session: number): Promise<void> {
    const place = Math.floor(session / SESSIONS_PER_SOCKET);
    this.#calls[place] ??= this.#call();
  }

  step(session: number, steps: number): Promise<void> {
    const start = !this.#started.has(session);
    this.#started.add(session);
    return this.#infer(session, steps, { sequence_start: { bool_param: start } });
  }

  async close(): Promise<void> {
    await endAll([...this.#started], (session) => this.#infer(session, 1, { sequence_end: { bool_param: true } }));
    for (const call of this.#calls) call.end();
    this.closeClient();
  }

  #infer(session: number, steps: number, more: object): Promise<void> {
    const rows = (this.records.rows(session, steps) as number[][]).flat();
    const values = this.datatype === "FP64" ? Float64Array.from(rows) : Float32Array.from(rows);
    const id = String(++this.#requests);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#calls[Math.floor(session / SESSIONS_PER_SOCKET)].write({
        model_name: this.options.model,
        id,
        parameters: { sequence_id: { string_param: `loadtest-${process.pid}-${session}` }, ...more },
        inputs: [{ name: "input", datatype: this.datatype, shape: [1, steps, this.columns] }],
        raw_input_contents: [Buffer.from(values.buffer)],
      });
    });
  }

  #call(): ClientDuplexStream<object, InferStreamAnswer> {
    const call = this.openCall();
    call.on("data", ({ error_message: text, infer_response: answer }: InferStreamAnswer) => {
      const request = this.#waiting.get(answer?.id ?? "");
      this.#waiting.delete(answer?.id ?? "");
      if (text) request?.reject(refusedByGrpc(text));
      else request?.resolve();
    });
    call.on("error", (error: ServiceError) => {
      for (const { reject } of this.#waiting.values()) reject(refusedByGrpc(error.details));
      this.#waiting.clear();
    });
    return call;
  }
}

/** The code of ours that a text of the server names. */
function refusedByGrpc(text: string): OstinatoError {
  const code = /\bOST_[A-Z_]+/.exec(text)?.[0] ?? "OST_CAPACITY";
  return new OstinatoError(code as "OST_CAPACITY", { what: text.slice(0, 200) });
}

/** Some at a time; what cannot be ended any more is left to the server. */
async function endAll<T>(sessions: readonly T[], end: (session: T) => Promise<unknown>): Promise<void> {
  const left = sessions.filter((session) => session !== undefined);
  const one = async () => {
    for (let session = left.pop(); session !== undefined; session = left.pop()) await end(session).catch(() => {});
  };
  await Promise.all(Array.from({ length: ENDS_AT_ONCE }, one));
}
