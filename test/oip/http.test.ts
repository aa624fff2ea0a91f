import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { replay } from "./replay.js";
import { openStack, type Stack } from "./stack.js";

let stack: Stack;

beforeAll(async () => {
  stack = await openStack({ tokens: { good: "acme", other: "globex" } });
});

afterAll(async () => {
  await stack.close();
  expect(stack.faults).toEqual([]);
});

interface Answer {
  status: number;
  headers: Headers;
  text: string;
  bytes: Buffer;
}

async function ask(method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  const reply = await fetch(`http://${stack.httpAddress}${path}`, {
    method,
    body: body === undefined ? undefined : new Uint8Array(Buffer.from(body)),
    headers: { authorization: "Bearer good", ...headers },
  });
  const bytes = Buffer.from(await reply.arrayBuffer());
  return { status: reply.status, headers: reply.headers, bytes, text: bytes.toString("utf8") };
}

/** `sequence` is written as it is: a number's digits, or a text in quotes. */
function body(
  values: readonly (number | null)[],
  { sequence, start, end, more = "" }: { sequence?: string; start?: boolean; end?: boolean; more?: string } = {},
) {
  const parameters = [
    sequence && `"sequence_id":${sequence}`,
    start && `"sequence_start":true`,
    end && `"sequence_end":true`,
    more,
  ];
  const input = { name: "input", shape: [1, values.length, 1], datatype: "FP32", data: values };
  return `{"id":"r","parameters":{${parameters.filter(Boolean).join(",")}},"inputs":[${JSON.stringify(input)}]}`;
}

const infer = (text: string | Buffer, headers?: Record<string, string>) => ask("POST", "/v2/models/probe/infer", text, headers);
const outputOf = ({ text }: Answer): number[] => JSON.parse(text).outputs[0].data;
const last = (values: number[]) => replay(values).slice(-2);

const NEAR = ["1706549649780891136", "1706549649780891200"];

describe("facts", () => {
  it("tells the server and its models", async () => {
    expect(JSON.parse((await ask("GET", "/v2")).text)).toMatchObject({
      name: "ostinato",
      extensions: expect.arrayContaining(["sequence(string_id)"]),
    });
    for (const path of ["/v2/health/live", "/v2/health/ready", "/v2/models/probe/ready"])
      expect((await ask("GET", path)).status).toBe(200);
    const model = JSON.parse((await ask("GET", "/v2/models/probe")).text);
    expect(model.inputs).toEqual([{ name: "input", datatype: "FP32", shape: [1, -1, 1] }]);
    expect(JSON.parse((await ask("GET", `/v2/models/probe/versions/${model.versions[0]}`)).text)).toEqual(model);
    const config = JSON.parse((await ask("GET", "/v2/models/probe/config")).text);
    expect(config).toMatchObject({ max_batch_size: 1, sequence_batching: { direct: {} } });
    const index = JSON.parse((await ask("POST", "/v2/repository/index")).text);
    expect(index).toEqual([{ name: "probe", version: model.versions[0], state: "READY", reason: "" }]);
  });

  it("counts what was inferred", async () => {
    const counted = async () => JSON.parse((await ask("GET", "/v2/models/probe/stats")).text).model_stats[0];
    const before = await counted();
    await infer(body([1, 2]));
    expect((await counted()).inference_count - before.inference_count).toBe(2);
  });

  it("says errors as one text", async () => {
    const missing = await ask("GET", "/v2/models/none");
    expect(missing.status).toBe(404);
    expect(JSON.parse(missing.text).error).toMatch(/Request for unknown model: 'none' is not found/);
    expect((await ask("GET", "/v2/models/probe/versions/7")).status).toBe(409);
    expect(typeof JSON.parse((await ask("GET", "/v2/nothing/here")).text).error).toBe("string");
  });

  it("asks for a credential everywhere but at health", async () => {
    const without = { authorization: "Bearer wrong" };
    expect((await ask("GET", "/v2/health/live", undefined, without)).status).toBe(200);
    for (const [method, path] of [
      ["GET", "/v2/models/probe"],
      ["GET", "/v2/models/probe/config"],
      ["GET", "/v2/models/probe/stats"],
      ["POST", "/v2/repository/index"],
      ["POST", "/v2/models/probe/infer"],
    ]) {
      const refused = await ask(method, path, method === "POST" ? body([1]) : undefined, without);
      expect(refused.status).toBe(401);
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    }
  });
});

describe("sequences", () => {
  it("tells near integers and the same digits as text apart, and echoes all digits", async () => {
    const sequences = [NEAR[0], NEAR[1], `"${NEAR[0]}"`, "18446744073709551615", "18446744073709551614"];
    for (const [i, sequence] of sequences.entries()) {
      const answer = await infer(body([i], { sequence, start: true }));
      expect(answer.status).toBe(200);
      expect(answer.text).toContain(`"sequence_id":${sequence},`);
    }
    for (const [i, sequence] of sequences.entries()) expect(outputOf(await infer(body([9], { sequence })))).toEqual(last([i, 9]));
  });

  it("refuses ids that are none", async () => {
    for (const sequence of [
      "18446744073709551616",
      "-1",
      "1.5",
      "1e30",
      "true",
      "null",
      '"\\u0000"',
      `"${"x".repeat(257)}"`,
      "9".repeat(1000),
    ]) {
      const answer = await infer(body([1], { sequence, start: true }));
      expect([sequence, answer.status]).toEqual([sequence, 400]);
    }
  });

  it("refuses a first request without START in Triton's words", async () => {
    const answer = await infer(body([1], { sequence: NEAR[0].slice(1) }));
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({
      error: expect.stringContaining(
        `inference request for sequence ${NEAR[0].slice(1)} to model 'probe' must specify the START flag on the first request of the sequence`,
      ),
      code: "OST_START",
      applied: "no",
    });
  });

  it("carries, restarts, ends, and tells numbers and incarnation", async () => {
    const sequence = '"life"';
    const first = JSON.parse((await infer(body([1], { sequence, start: true }))).text);
    expect(first).toMatchObject({ id: "r", model_name: "probe", parameters: { sequence_id: "life", ostinato_seq: 1 } });
    const second = await infer(body([2], { sequence }));
    expect(outputOf(second)).toEqual(last([1, 2]));
    expect(JSON.parse(second.text).parameters).toEqual({ ...first.parameters, ostinato_seq: 2 });
    const again = JSON.parse((await infer(body([3], { sequence, start: true }))).text);
    expect(again.parameters.incarnation).toBeGreaterThan(first.parameters.incarnation);
    expect(again.outputs[0].data).toEqual(replay([3]));
    const stale = await infer(body([4], { sequence, more: `"incarnation":${first.parameters.incarnation}` }));
    expect(stale.status).toBe(409);
    expect(outputOf(await infer(body([4], { sequence, end: true })))).toEqual(last([3, 4]));
    expect((await infer(body([5], { sequence }))).status).toBe(400);
  });

  it("keeps tenants apart", async () => {
    const sequence = '"shared"';
    await infer(body([1], { sequence, start: true }));
    expect((await infer(body([1], { sequence }), { authorization: "Bearer other" })).status).toBe(400);
    await infer(body([7], { sequence, start: true }), { authorization: "Bearer other" });
    expect(outputOf(await infer(body([2], { sequence })))).toEqual(last([1, 2]));
  });

  it("answers with the steps before a refused one, and says which were applied", async () => {
    const sequence = '"part"';
    const answer = JSON.parse((await infer(body([1, null, 3], { sequence, start: true }))).text);
    expect(answer.outputs[0]).toMatchObject({ shape: [1, 1, 2], data: replay([1]) });
    expect(answer.parameters).toMatchObject({ ostinato_seq: 1, ostinato_applied: 1, ostinato_code: "OST_MISSING" });
    expect(outputOf(await infer(body([2], { sequence })))).toEqual(last([1, 2]));
    expect((await infer(body([null, 3], { sequence }))).status).toBe(422);
    expect(outputOf(await infer(body([3], { sequence })))).toEqual(last([1, 2, 3]));
  });

  it("answers a repeated number with the stored answer", async () => {
    const sequence = '"twice"';
    await infer(body([1], { sequence, start: true, more: '"ostinato_seq":1' }));
    const once = await infer(body([2], { sequence, more: '"ostinato_seq":2' }));
    const twice = await infer(body([2], { sequence, more: '"ostinato_seq":2' }));
    expect(outputOf(twice)).toEqual(outputOf(once));
    expect(JSON.parse(twice.text).parameters.ostinato_repeated).toBe(true);
    expect((await infer(body([8], { sequence, more: '"ostinato_seq":2' }))).status).toBe(422);
  });
});

describe("binary tensors", () => {
  const binary = (values: readonly number[], { parameters = {}, outputs }: { parameters?: object; outputs?: object[] } = {}) => {
    const raw = Buffer.from(Float32Array.from(values).buffer);
    const input = { name: "input", shape: [1, values.length, 1], datatype: "FP32", parameters: { binary_data_size: raw.length } };
    const header = Buffer.from(JSON.stringify({ inputs: [input], parameters, outputs }));
    return { bytes: Buffer.concat([header, raw]), length: String(header.length) };
  };

  it("come in and go out behind the JSON", async () => {
    const { bytes, length } = binary([1, 2], { parameters: { binary_data_output: true } });
    const answer = await infer(bytes, { "inference-header-content-length": length, "content-type": "application/octet-stream" });
    expect(answer.status).toBe(200);
    const headerLength = Number(answer.headers.get("inference-header-content-length"));
    const header = JSON.parse(answer.bytes.subarray(0, headerLength).toString("utf8"));
    expect(header.outputs).toEqual([
      { name: "output", datatype: "FP32", shape: [1, 2, 2], parameters: { binary_data_size: 16 } },
    ]);
    const tail = answer.bytes.subarray(headerLength);
    expect(Array.from({ length: 4 }, (_, i) => tail.readFloatLE(i * 4))).toEqual(replay([1, 2]));
  });

  it("go out for the outputs that ask for it", async () => {
    const { bytes, length } = binary([1], { outputs: [{ name: "output", parameters: { binary_data: true } }] });
    expect(
      (await infer(bytes, { "inference-header-content-length": length })).headers.get("inference-header-content-length"),
    ).not.toBeNull();
    const json = binary([1], {
      parameters: { binary_data_output: true },
      outputs: [{ name: "output", parameters: { binary_data: false } }],
    });
    expect(outputOf(await infer(json.bytes, { "inference-header-content-length": json.length }))).toEqual(replay([1]));
  });

  it("are refused where lengths do not fit", async () => {
    const { bytes, length } = binary([1, 2]);
    for (const [sent, header] of [
      [bytes, String(Number(length) - 1)],
      [bytes, String(Number(length) + 1)],
      [bytes, "99999999"],
      [bytes, "-1"],
      [bytes, "1e2"],
      [bytes.subarray(0, bytes.length - 1), length],
      [Buffer.concat([bytes, Buffer.from([0])]), length],
    ] as const) {
      expect((await infer(sent as Buffer, { "inference-header-content-length": header as string })).status).toBe(400);
    }
  });
});

describe("hostile bodies", () => {
  it("are refused with a text, and change nothing", async () => {
    const sequence = '"calm"';
    await infer(body([1], { sequence, start: true }));
    const parameters = `"parameters":{"sequence_id":${sequence}}`;
    for (const text of [
      "",
      "[]",
      "null",
      "{",
      `{${parameters}}`,
      `{${parameters},"inputs":{}}`,
      `{${parameters},"inputs":[[]]}`,
      `{${parameters},"inputs":[{"name":"input","shape":[1,1,1],"datatype":"FP32","data":[NaN]}]}`,
      `{${parameters},"inputs":[{"name":"input","shape":[1,1,1],"datatype":"FP32","data":[1e39]}]}`,
      `{${parameters},"inputs":[{"name":"input","shape":[1,1,1],"datatype":"FP32","data":["1"]}]}`,
      `{${parameters},"inputs":[{"name":"input","shape":[1,-1,1],"datatype":"FP32","data":[1]}]}`,
      `{${parameters},"inputs":[{"name":"input","shape":[1,1.5,1],"datatype":"FP32","data":[1]}]}`,
      `{${parameters},"inputs":[{"name":"input","shape":[4294967296,4294967296,1],"datatype":"FP32","data":[1]}]}`,
      `{${parameters},"inputs":[{"name":"__proto__","shape":[1,1],"datatype":"FP32","data":[1]}]}`,
      `{"__proto__":{"inputs":[]},${parameters}}`,
      `{${parameters},"inputs":[{"name":"input","shape":[1,1,1],"datatype":"constructor","data":[1]}]}`,
      `{"parameters":{"sequence_id":${sequence},"sequence_start":"true"},"inputs":[]}`,
      "[".repeat(1_000_000),
      `{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`,
      `{"a":${"1".repeat(1_000_000)},"inputs":[]}`,
      "\u00ff\u00fe",
    ]) {
      const answer = await infer(text);
      expect([text.slice(0, 120), answer.status >= 400 && answer.status < 500]).toEqual([text.slice(0, 120), true]);
      expect(typeof JSON.parse(answer.text).error).toBe("string");
    }
    expect(outputOf(await infer(body([2], { sequence })))).toEqual(last([1, 2]));
  });

  it("of types that a foreign page can send are refused", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      expect((await infer(body([1]), { "content-type": type })).status).toBe(415);
    }
    expect((await infer(body([1]), { "content-encoding": "gzip" })).status).toBe(415);
    expect((await infer(body([1]), { "content-type": "application/json" })).status).toBe(200);
  });
});
