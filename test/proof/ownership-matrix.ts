/** @file Every operation of every protocol with every wrong credential, with every scope but its own, and on a session of somebody else. */
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { FRAME, FrameWriter } from "../../src/protocol/frames.js";
import { INFERENCE } from "../../src/serve/oip-message.js";
import { encodeMessage } from "../../src/serve/oip-protobuf.js";
import type { Scope } from "../../src/serve/principal.js";
import type { Credential, Credentials } from "../support/credentials.js";
import { converse, HostileConnection, rawRequest } from "./hostile-connection.js";
import { grpcFrame } from "./hostile-grpc.js";
import { handshake, socketFrame } from "./hostile-websocket.js";

const VICTIM = "session-of-victim";
const ABSENT = "session-of-nobody";
const NOBODY = new Set(["ServerLive", "ServerReady"]);

interface Operation {
  name: string;
  scope: Scope | null;
  /** Whether it is on a session. */
  session: boolean;
  /** A status as in HTTP, and what it said. */
  send(credential: Credential, id: string): Promise<{ status: number; text: string }>;
}

export interface MatrixReport {
  operations: number;
  asked: number;
  denied: number;
  wrongs: string[];
}

export async function askMatrix(credentials: Credentials, { http, grpc }: { http: number; grpc: number }): Promise<MatrixReport> {
  const connection = new HostileConnection(http);
  const session = connectHttp2(`http://127.0.0.1:${grpc}`);
  session.on("error", () => {});
  const operations = [...overHttp(connection), ...overGrpc(session), overSocket(http)];
  const report: MatrixReport = { operations: operations.length, asked: 0, denied: 0, wrongs: [] };
  const judge = (right: boolean, what: string) => {
    report.asked++;
    if (right) report.denied++;
    else if (report.wrongs.length < 5) report.wrongs.push(what);
  };
  const victim = async () =>
    (await ask(connection, "GET", `/v1/models/probe/sessions/${VICTIM}`, credentials.key)).text.replace(
      /"\w*[aA]geSeconds":[\d.e-]+|"idleSeconds":[\d.e-]+/g,
      "",
    );
  await ask(connection, "POST", "/v1/models/probe/sessions", credentials.key, { id: VICTIM });
  await ask(connection, "POST", `/v1/models/probe/sessions/${VICTIM}/steps`, credentials.key, { record: { value: 1 } });
  const before = await victim();
  for (const { name, send } of operations)
    for (const wrong of credentials.wrong) {
      const { status } = await send(wrong, VICTIM);
      judge(status === 401, `${name} with ${wrong.name}: ${status}`);
    }
  const lacking = new Map<Scope, readonly Credential[]>();
  for (const { scope } of operations)
    if (scope !== null && !lacking.has(scope)) lacking.set(scope, await credentials.without(scope));
  // The server looks at its key file now and then.
  await new Promise((resolve) => setTimeout(resolve, 400));
  for (const { name, scope, send } of operations)
    for (const credential of scope === null ? [] : (lacking.get(scope) ?? [])) {
      const { status } = await send(credential, VICTIM);
      judge(status === 403, `${name} with ${credential.name}: ${status}`);
    }
  const neutral = ({ status, text }: { status: number; text: string }) =>
    `${status} ${text.replaceAll(VICTIM, "{id}").replaceAll(ABSENT, "{id}")}`;
  for (const { name, session: named, send } of operations)
    for (const foreign of named ? credentials.foreign : []) {
      const [theirs, none] = [await send(foreign, VICTIM), await send(foreign, ABSENT)];
      judge(
        theirs.status >= 400 && theirs.status < 500 && neutral(theirs) === neutral(none),
        `${name} with ${foreign.name}: ${neutral(theirs)}; ${neutral(none)}`.slice(0, 400),
      );
    }
  const after = await victim();
  if (before !== after || !before.includes(VICTIM))
    report.wrongs.push(`the victim changed: ${before.slice(0, 200)} to ${after.slice(0, 200)}`);
  connection.close();
  session.destroy();
  return report;
}

async function ask(
  connection: HostileConnection,
  method: string,
  path: string,
  { authorization }: Credential,
  body?: object,
  type = "application/json",
): Promise<{ status: number; text: string }> {
  const headers: [string, string][] = authorization === undefined ? [] : [["Authorization", authorization]];
  if (body !== undefined) headers.push(["Content-Type", type]);
  const answer = await connection.ask(
    rawRequest(method, path, { headers, body: body === undefined ? undefined : Buffer.from(JSON.stringify(body)) }),
  );
  const text = answer?.body.toString() ?? "";
  // Lines are answered before it is known what becomes of them.
  if (answer?.status === 200 && /x-ndjson/.test(answer.head)) {
    const code = /"code":"(\w+)"/.exec(text)?.[1];
    return { status: code === "OST_SCOPE" ? 403 : code === undefined ? 200 : 404, text };
  }
  return { status: answer?.status ?? 0, text };
}

function overHttp(connection: HostileConnection): Operation[] {
  const on = "/v1/models/probe/sessions/{id}";
  const infer = (id?: string) => ({
    inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1], data: [1] }],
    parameters: id === undefined ? {} : { sequence_id: id },
  });
  const table: [string, string, Scope | null, ((id: string) => object)?, string?][] = [
    ["GET", "/v1/models", null],
    ["GET", "/v1/models/probe", null],
    ["GET", "/v1/models/probe/sessions", "session:admin"],
    ["POST", "/v1/models/probe/sessions", "step", () => ({})],
    ["GET", on, "step"],
    ["DELETE", on, "step"],
    ["POST", `${on}/steps`, "step", () => ({ record: { value: 2 } })],
    ["POST", `${on}/steps`, "step", () => ({ value: 2 }), "application/x-ndjson"],
    ["POST", `${on}/reset`, "step", () => ({})],
    ["POST", `${on}/hibernate`, "session:admin", () => ({})],
    ["GET", `${on}/snapshot`, "state:read"],
    ["POST", `${on}/restore`, "state:write", () => ({ snapshot: "T1NUUwAA" })],
    ["GET", `${on}/answers?after=0`, "step"],
    ["GET", `${on}/events`, "step"],
    ["GET", "/metrics", "metrics"],
    ["POST", "/v2/repository/index", null, () => ({})],
    ["GET", "/v2/models/probe", null],
    ["GET", "/v2/models/probe/ready", null],
    ["GET", "/v2/models/probe/config", null],
    ["GET", "/v2/models/probe/stats", null],
    ["POST", "/v2/models/probe/infer", "step", () => infer()],
    ["POST", "/v2/models/probe/infer#{id}", "step", (id) => infer(id)],
  ];
  return table.map(([method, path, scope, body, type]) => ({
    name: `${method} ${path}${type ? ` ${type}` : ""}`,
    scope,
    // A foreign restore fails over its snapshot before its session.
    session: path.includes("{id}") && !path.endsWith("/restore"),
    send: (credential, id) => ask(connection, method, path.replace(/#.*/, "").replace("{id}", id), credential, body?.(id), type),
  }));
}

/** Status of HTTP by status of gRPC. */
const OF_GRPC: Record<string, number> = { 0: 200, 3: 400, 5: 404, 7: 403, 9: 400, 16: 401 };

function overGrpc(session: ClientHttp2Session): Operation[] {
  const [{ name: service, methods }] = INFERENCE.services;
  const message = (id: string | null) => ({
    model_name: "probe",
    name: "probe",
    parameters: id === null ? {} : { sequence_id: { string_param: id } },
    inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1] }],
    raw_input_contents: [Buffer.from(Float32Array.of(1).buffer)],
  });
  return methods
    .filter(({ name }) => !NOBODY.has(name))
    .map(({ name, input }) => {
      const infers = name.includes("Infer");
      return {
        name: `gRPC ${name}`,
        scope: infers ? ("step" as const) : null,
        session: infers,
        send: (credential: Credential, id: string) =>
          callGrpc(session, {
            path: `/${service}/${name}`,
            credential,
            body: grpcFrame(encodeMessage(input, message(infers ? id : null))),
          }),
      };
    });
}

function callGrpc(
  session: ClientHttp2Session,
  { path, credential: { authorization }, body }: { path: string; credential: Credential; body: Buffer },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    let [status, text] = [0, ""];
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...(authorization === undefined ? {} : { authorization }),
    });
    const note = (given: Record<string, unknown>) => {
      const code = given["grpc-status"];
      if (code === undefined) return;
      if (status === 0) status = OF_GRPC[String(code)] ?? 500;
      text += String(given["grpc-message"] ?? "");
    };
    stream.on("response", note);
    stream.on("trailers", note);
    // On a stream a refusal is a message.
    stream.on("data", (bytes: Buffer) => {
      const code = /OST_(\w+)/.exec(bytes.toString("latin1"))?.[1];
      if (code !== undefined) status = code === "SCOPE" ? 403 : 400;
      text += code ?? "";
    });
    stream.on("error", () => {});
    stream.on("close", () => resolve({ status, text }));
    stream.end(body);
  });
}

function overSocket(port: number): Operation {
  return {
    name: "WebSocket OPEN",
    scope: "step",
    session: true,
    async send({ authorization }, id) {
      const writer = new FrameWriter();
      writer.json(FRAME.OPEN, { stream: 1, request: 1 }, { model: "probe", id, mode: "attach" });
      const head = handshake("x")
        .toString("latin1")
        .replace("Authorization: Bearer x\r\n", authorization === undefined ? "" : `Authorization: ${authorization}\r\n`);
      const { statuses, text } = await converse(
        port,
        Buffer.concat([Buffer.from(head, "latin1"), socketFrame(2, writer.take())]),
        { halfClose: false, limitMs: 300 },
      );
      const code = /OST_(\w+)/.exec(text)?.[1];
      if (statuses[0] !== 101) return { status: statuses[0] ?? 0, text: "" };
      return { status: code === "SCOPE" ? 403 : code === "SESSION" ? 404 : 200, text: code ?? "" };
    },
  };
}
