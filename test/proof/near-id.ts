/** @file Sessions whose ids are neighbours: integers beyond 2^53 that a float would merge, and texts that a normalisation would. */
import { type ClientHttp2Session, connect } from "node:http2";
import { WebSocket } from "ws";
import { probeReference } from "../../src/model/index.js";
import { DTYPE, FRAME, FrameReader, FrameWriter } from "../../src/protocol/frames.js";
import { INFERENCE } from "../../src/serve/oip-message.js";
import { decodeMessage, encodeMessage } from "../../src/serve/oip-protobuf.js";
import { HostileConnection, rawRequest } from "./hostile-connection.js";
import { grpcFrame } from "./hostile-grpc.js";
import { caseRandom, type Random } from "./mutation.js";

const TENANT = "neighbours";
const LANES = 12;

/** An id as the protocols name it: a text, or digits of an unsigned integer. */
type Id = { text: string } | { number: string };

interface Way {
  name: string;
  /** Begins the session if it is new, and steps it; the prediction's two numbers. */
  step(id: Id, value: number, begins: boolean): Promise<number[]>;
}

export interface NearIdReport {
  pairs: number;
  seconds: number;
  wrong: number;
  wrongs: string[];
}

/** Texts that look alike, or become alike by NFC, NFKC, case folding, trimming, or as a number. */
const ALIKE: readonly [string, string][] = [
  ["é", "e\u0301"],
  ["\u212b", "\u00c5"],
  ["K", "\u212a"],
  ["\ufb01", "fi"],
  ["a", "A"],
  ["a", "\u0430"],
  ["a", " a"],
  ["a", "a "],
  ["42", "042"],
  ["1e3", "1000"],
  ["a", "a\u200b"],
  ["ß", "ss"],
  ["a/b", "a%2Fb"],
  ["a+b", "a b"],
];

function pairOf(rng: Random, index: number): [Id, Id] {
  const tag = `${index}-`;
  if (index % 8 === 0) {
    const [a, b] = ALIKE[(index / 8) % ALIKE.length];
    return [{ text: tag + a }, { text: tag + b }];
  }
  // Between 2^53 and 2^64, one place apart.
  const high = 2n ** 53n + (((BigInt(rng.bits()) << 32n) | BigInt(rng.bits())) % (2n ** 64n - 2n ** 53n - 2n));
  const number = { number: String(high) };
  return [number, index % 8 === 1 ? { text: String(high) } : { number: String(high + 1n) }];
}

/** Two neighbours live at once, each begun over one protocol and gone on with over another. */
export async function tryNearIds({
  http,
  grpc,
  pairs,
  seed,
}: {
  http: number;
  grpc: number;
  pairs: number;
  seed: number;
}): Promise<NearIdReport> {
  const report: NearIdReport = { pairs: 0, seconds: 0, wrong: 0, wrongs: [] };
  const start = performance.now();
  const session = connect(`http://127.0.0.1:${grpc}`);
  session.on("error", () => {});
  const socket = await SocketWay.open(http);
  let next = 0;
  const lane = async () => {
    const connection = new HostileConnection(http);
    const ways: Way[] = [overRest(connection), overOip(connection), overGrpc(session), socket];
    while (next < pairs) {
      const index = next++;
      const rng = caseRandom(seed, index);
      const [a, b] = pairOf(rng, index);
      const values = Array.from({ length: 4 }, () => Math.fround(rng.normal()));
      const [first, second] = [ways[rng.integer(4)], ways[rng.integer(4)]];
      const [third, fourth] = [ways[rng.integer(4)], ways[rng.integer(4)]];
      try {
        const came = [
          await first.step(a, values[0], true),
          await second.step(b, values[1], true),
          await third.step(a, values[2], false),
          await fourth.step(b, values[3], false),
        ];
        const alone = [probeReference([values[0], values[2]]), probeReference([values[1], values[3]])];
        const wanted = [alone[0][0], alone[1][0], alone[0][1], alone[1][1]];
        // Over OIP a prediction is a float32.
        const same = came.every(
          (numbers, i) => numbers.every((number, k) => Math.fround(number) === Math.fround(wanted[i][k])) && numbers.length === 2,
        );
        if (!same) throw new Error(`${JSON.stringify(came)}, not ${JSON.stringify(wanted)}`);
      } catch (error) {
        report.wrong++;
        if (report.wrongs.length < 4)
          report.wrongs.push(
            `${JSON.stringify([a, b])} over ${[first, second, third, fourth].map(({ name }) => name)}: ${(error as Error).message.slice(0, 200)}`,
          );
      }
      report.pairs++;
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  session.destroy();
  socket.close();
  report.seconds = (performance.now() - start) / 1000;
  return report;
}

const HEADERS: [string, string][] = [
  ["Authorization", `Bearer ${TENANT}`],
  ["Content-Type", "application/json"],
];

function overRest(connection: HostileConnection): Way {
  return {
    name: "REST",
    async step(id, value, begins) {
      const ask = async (path: string, body: object) => {
        const answer = await connection.ask(
          rawRequest("POST", path, { headers: HEADERS, body: Buffer.from(JSON.stringify(body)) }),
        );
        if (answer === null || answer.status >= 300)
          throw new Error(`REST ${path}: ${answer?.status} ${answer?.body.toString().slice(0, 120)}`);
        return JSON.parse(answer.body.toString());
      };
      if (begins) await ask("/v1/models/probe/sessions", { id: "text" in id ? id.text : id });
      const path = "text" in id ? `${encodeURIComponent(id.text)}/steps` : `${id.number}/steps?idType=uint64`;
      return (await ask(`/v1/models/probe/sessions/${path}`, { record: { value } })).predictions[0].forecast.hash;
    },
  };
}

function overOip(connection: HostileConnection): Way {
  return {
    name: "OIP",
    async step(id, value, begins) {
      const name = "text" in id ? JSON.stringify(id.text) : id.number;
      const body = `{"parameters":{"sequence_id":${name}${begins ? ',"sequence_start":true' : ""}},"inputs":[{"name":"input","datatype":"FP64","shape":[1,1,1],"data":[${value}]}]}`;
      const answer = await connection.ask(
        rawRequest("POST", "/v2/models/probe/infer", { headers: HEADERS, body: Buffer.from(body) }),
      );
      if (answer?.status !== 200) throw new Error(`OIP: ${answer?.status} ${answer?.body.toString().slice(0, 120)}`);
      return JSON.parse(answer.body.toString()).outputs[0].data;
    },
  };
}

function overGrpc(session: ClientHttp2Session): Way {
  const [{ name, methods }] = INFERENCE.services;
  const method = methods.find((one) => one.name === "ModelInfer");
  if (!method) throw new Error("no method ModelInfer");
  return {
    name: "gRPC",
    step: (id, value, begins) =>
      new Promise((resolve, reject) => {
        const parameters: Record<string, object> = {
          sequence_id: "text" in id ? { string_param: id.text } : { uint64_param: BigInt(id.number) },
        };
        if (begins) parameters["sequence_start"] = { bool_param: true };
        const inputs = [{ name: "input", datatype: "FP64", shape: [1, 1, 1] }];
        const message = encodeMessage(method.input, {
          model_name: "probe",
          parameters,
          inputs,
          raw_input_contents: [Buffer.from(Float64Array.of(value).buffer)],
        });
        const stream = session.request({
          ":method": "POST",
          ":path": `/${name}/ModelInfer`,
          "content-type": "application/grpc",
          te: "trailers",
          authorization: `Bearer ${TENANT}`,
        });
        const chunks: Buffer[] = [];
        let refusal = "";
        const note = (given: Record<string, unknown>) => {
          if (given["grpc-status"] !== undefined && String(given["grpc-status"]) !== "0") refusal = String(given["grpc-message"]);
        };
        stream.on("response", note);
        stream.on("trailers", note);
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("error", reject);
        stream.on("close", () => {
          const bytes = Buffer.concat(chunks);
          if (refusal !== "" || bytes.length < 5) return reject(new Error(`gRPC: ${refusal.slice(0, 120)}`));
          const { raw_output_contents } = decodeMessage(method.output, bytes.subarray(5)) as { raw_output_contents: Buffer[] };
          const [raw] = raw_output_contents;
          resolve([raw.readFloatLE(0), raw.readFloatLE(4)]);
        });
        stream.end(grpcFrame(message));
      }),
  };
}

/** Each step opens a stream of its own, so that the session is found by its id. */
class SocketWay implements Way {
  readonly name = "WebSocket";
  readonly #waiting = new Map<number, { resolve(numbers: number[]): void; reject(error: Error): void }>();
  #next = 1;

  private constructor(readonly socket: WebSocket) {
    const reader = new FrameReader();
    socket.on("message", (data: Buffer) => {
      reader.begin(data);
      while (reader.next()) {
        const asked = this.#waiting.get(reader.stream);
        if (!asked) continue;
        if (reader.type === FRAME.ERR) asked.reject(new Error(`WebSocket: ${JSON.stringify(reader.json()).slice(0, 160)}`));
        else if (reader.type === FRAME.OUT) asked.resolve([...(reader.output()?.values ?? [])]);
        else continue;
        this.#waiting.delete(reader.stream);
      }
    });
  }

  static open(port: number): Promise<SocketWay> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, ["ostinato.v1"], {
        headers: { authorization: `Bearer ${TENANT}` },
      });
      socket.binaryType = "nodebuffer";
      socket.once("open", () => resolve(new SocketWay(socket)));
      socket.once("error", reject);
    });
  }

  step(id: Id, value: number, begins: boolean): Promise<number[]> {
    const stream = this.#next++;
    return new Promise<number[]>((resolve, reject) => {
      this.#waiting.set(stream, { resolve, reject });
      const writer = new FrameWriter();
      writer.json(
        FRAME.OPEN,
        { stream, request: 1 },
        { model: "probe", id: "text" in id ? id.text : id, mode: begins ? "create" : "attach", output: "f64" },
      );
      writer.rows({ stream, request: 2 }, [value], { columns: 1, timed: false, dtype: DTYPE.F64, count: 1 });
      this.socket.send(writer.take());
    }).finally(() => {
      const writer = new FrameWriter();
      writer.empty(FRAME.CLOSE, { stream, request: 3 });
      if (this.socket.readyState === this.socket.OPEN) this.socket.send(writer.take());
    });
  }

  close(): void {
    this.socket.terminate();
  }
}
