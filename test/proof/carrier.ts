/** @file Steps of the probe carried to a server by any of its protocols, and their answers carried back, all alike. */
import http from "node:http";
import type { ServiceError } from "@grpc/grpc-js";
import { call, connect, inferRequest, openStream, outputOf, type Wire } from "../oip/grpc-client.js";
import { FrameClient } from "./frame-client.js";

export const CARRIERS = ["REST", "NDJSON", "WebSocket", "OIP HTTP", "OIP gRPC", "OIP gRPC stream"] as const;
export type CarrierName = (typeof CARRIERS)[number];

/** Host and port by protocol. */
export interface ServerAddresses {
  http: string;
  grpc: string;
}

export interface Carried {
  /** Records applied; 0 with a refusal. */
  count: number;
  /** [count * 2] The hash behind each. */
  hashes: number[];
  repeated: boolean;
  /** Code of the refusal; null without one. */
  refused: string | null;
}

export interface Carrier {
  /** Numbers come rounded to float32. */
  readonly rounds: boolean;
  /** Begins a session, with the first request if the protocol has no other way. */
  begin(id: string): Promise<void>;
  /** Sends at once; any number of requests may be under way. */
  step(id: string, seq: number, values: readonly number[]): Promise<Carried>;
  close(): void;
}

export async function openCarrier(name: CarrierName, addresses: ServerAddresses, key: string): Promise<Carrier> {
  switch (name) {
    case "REST":
    case "NDJSON":
      return new RestCarrier(addresses.http, key, name === "NDJSON");
    case "WebSocket":
      return new FrameCarrier(await FrameClient.open(addresses.http, key));
    case "OIP HTTP":
      return new OipCarrier(addresses.http, key);
    default:
      return new GrpcCarrier(addresses.grpc, key, name === "OIP gRPC stream");
  }
}

const none: Carried = { count: 0, hashes: [], repeated: false, refused: null };

/** One request by HTTP, on one of a few connections that stay open. */
export class HttpCaller {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  readonly #host: string;
  readonly #port: number;

  constructor(
    address: string,
    readonly key: string,
  ) {
    const at = address.lastIndexOf(":");
    this.#host = address.slice(0, at);
    this.#port = Number(address.slice(at + 1));
  }

  call(method: string, path: string, body?: string, type = "application/json"): Promise<{ status: number; text: string }> {
    const headers: Record<string, string | number> = { authorization: `Bearer ${this.key}` };
    if (body !== undefined) Object.assign(headers, { "content-type": type, "content-length": Buffer.byteLength(body) });
    return new Promise((resolve, reject) => {
      const request = http.request(
        { agent: this.#agent, host: this.#host, port: this.#port, method, path, headers },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (part: string) => {
            text += part;
          });
          response.on("end", () => resolve({ status: response.statusCode as number, text }));
          response.on("error", reject);
        },
      );
      request.on("error", reject);
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

class RestCarrier implements Carrier {
  readonly rounds = false;
  readonly #caller: HttpCaller;

  constructor(
    address: string,
    key: string,
    readonly lines: boolean,
  ) {
    this.#caller = new HttpCaller(address, key);
  }

  async begin(id: string): Promise<void> {
    const { status, text } = await this.#caller.call("POST", "/v1/models/probe/sessions", JSON.stringify({ id }));
    if (status !== 201) throw new Error(text);
  }

  async step(id: string, seq: number, values: readonly number[]): Promise<Carried> {
    const records = values.map((value) => ({ value }));
    const path = `/v1/models/probe/sessions/${id}/steps`;
    const { status, text } = this.lines
      ? await this.#caller.call(
          "POST",
          `${path}?seq=${seq}`,
          records.map((record) => `${JSON.stringify(record)}\n`).join(""),
          "application/x-ndjson",
        )
      : await this.#caller.call("POST", path, JSON.stringify({ records, seq }));
    if (text === "") throw new Error(`an empty answer (${status}) to ${id} ${seq}`);
    const carried = { ...none };
    for (const line of text.trim().split("\n")) {
      const answer = JSON.parse(line);
      if (answer.error) carried.refused = answer.error.code;
      if (answer.applied === undefined || answer.error?.applied) continue;
      carried.count += answer.applied;
      carried.repeated ||= answer.repeated === true;
      carried.hashes = [...carried.hashes, ...answer.predictions.flatMap((one: Wire) => one.forecast.hash)];
    }
    return carried;
  }

  close(): void {
    this.#caller.close();
  }
}

class FrameCarrier implements Carrier {
  readonly rounds = false;
  readonly #streams = new Map<string, number>();

  constructor(readonly client: FrameClient) {}

  async begin(id: string): Promise<void> {
    const stream = this.#streams.size + 1;
    this.#streams.set(id, stream);
    const { refused } = await this.client.attach(stream, { model: "probe", id, mode: "create" });
    if (refused) throw new Error(refused.error.message);
  }

  async step(id: string, seq: number, values: readonly number[]): Promise<Carried> {
    const answer = await this.client.step(this.#streams.get(id) as number, seq, values);
    const { count, repeated, refused } = answer;
    return { count, hashes: [...answer.values], repeated, refused: refused?.error.code ?? null };
  }

  close(): void {
    this.client.close();
  }
}

/** Sequences begin with their first request. */
class OipCarrier implements Carrier {
  readonly rounds = true;
  readonly #caller: HttpCaller;

  constructor(address: string, key: string) {
    this.#caller = new HttpCaller(address, key);
  }

  async begin(): Promise<void> {}

  async step(id: string, seq: number, values: readonly number[]): Promise<Carried> {
    const parameters = { sequence_id: id, ostinato_seq: seq, ...(seq === 1 ? { sequence_start: true } : {}) };
    const inputs = [{ name: "input", datatype: "FP32", shape: [1, values.length, 1], data: values }];
    const { text } = await this.#caller.call("POST", "/v2/models/probe/infer", JSON.stringify({ parameters, inputs }));
    const answer = JSON.parse(text);
    if (answer.error) return { ...none, refused: answer.code };
    const hashes: number[] = answer.outputs.find(({ name }: { name: string }) => name === "output").data;
    return { count: hashes.length / 2, hashes, repeated: false, refused: answer.parameters.ostinato_code ?? null };
  }

  close(): void {
    this.#caller.close();
  }
}

class GrpcCarrier implements Carrier {
  readonly rounds = true;
  readonly #client: Wire;
  readonly #stream: ReturnType<typeof openStream> | null = null;
  /** By the id that the answer repeats. */
  readonly #waiting = new Map<string, (answer: Wire) => void>();
  #requests = 0;

  constructor(
    address: string,
    readonly key: string,
    streamed: boolean,
  ) {
    this.#client = connect(address);
    if (!streamed) return;
    this.#stream = openStream(this.#client, key);
    this.#stream.stream.on("data", (answer: Wire) => {
      this.#stream?.answers.splice(0);
      const { id } = answer.infer_response;
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
  }

  async begin(): Promise<void> {}

  async step(id: string, seq: number, values: readonly number[]): Promise<Carried> {
    const request = inferRequest([...values], { sequence: id, seq, start: seq === 1, id: String(++this.#requests) });
    if (this.#stream) {
      const answer = await new Promise<Wire>((resolve) => {
        this.#waiting.set(request.id, resolve);
        this.#stream?.write(request);
      });
      if (answer.error_message) return { ...none, refused: codeIn(answer.error_message) };
      return carriedBy(answer.infer_response);
    }
    try {
      return carriedBy(await call(this.#client, "ModelInfer", request, this.key));
    } catch (error) {
      const [code] = (error as ServiceError).metadata?.get("ostinato-code") ?? [];
      return { ...none, refused: code === undefined ? codeIn(String(error)) : String(code) };
    }
  }

  close(): void {
    this.#stream?.stream.cancel();
    this.#client.close();
  }
}

function carriedBy(answer: Wire): Carried {
  const hashes = outputOf(answer);
  return { count: hashes.length / 2, hashes, repeated: false, refused: answer.parameters.ostinato_code?.string_param ?? null };
}

function codeIn(text: string): string {
  return /OST_[A-Z_]+/.exec(text)?.[0] ?? text;
}
