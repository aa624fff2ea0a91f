import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, connect, type InferenceClient, inferRequest, openStream, outputOf, type Step, type Wire } from "./grpc-client.js";
import { replay } from "./replay.js";
import { openStack, type Stack } from "./stack.js";

let stack: Stack;
let client: InferenceClient;

beforeAll(async () => {
  stack = await openStack();
  client = connect(stack.grpcAddress);
});

afterAll(async () => {
  client.close();
  await stack.close();
  expect(stack.faults).toEqual([]);
});

let names = 0;
const fresh = () => `sequence-${++names}`;
const infer = (values: number[], step?: Step): Promise<Wire> => call(client, "ModelInfer", inferRequest(values, step));
const last = (values: number[]) => replay(values).slice(-2);

const NEAR = ["1706549649780891136", "1706549649780891200"];

describe("facts", () => {
  it("tells the server, its models and their tensors", async () => {
    expect(await call(client, "ServerLive", {})).toEqual({ live: true });
    expect(await call(client, "ServerReady", {})).toEqual({ ready: true });
    expect(await call(client, "ModelReady", { name: "probe" })).toEqual({ ready: true });
    const server = await call(client, "ServerMetadata", {});
    expect(server.extensions).toEqual(expect.arrayContaining(["sequence", "sequence(string_id)", "binary_tensor_data"]));
    const model = await call(client, "ModelMetadata", { name: "probe" });
    expect(model.inputs).toEqual([{ name: "input", datatype: "FP32", shape: ["1", "-1", "1"] }]);
    expect(model.outputs).toEqual([{ name: "output", datatype: "FP32", shape: ["1", "-1", "2"] }]);
    const { config } = await call(client, "ModelConfig", { name: "probe" });
    expect(config).toMatchObject({
      name: "probe",
      max_batch_size: 1,
      input: [{ name: "input", data_type: "TYPE_FP32", dims: ["-1", "1"] }],
    });
    expect(config.sequence_batching.direct).toEqual({});
    expect(config.parameters.streaming.string_value).toBe("carried");
    const index = await call(client, "RepositoryIndex", {});
    expect(index.models).toMatchObject([{ name: "probe", version: model.versions[0], state: "READY" }]);
  });

  it("counts what was inferred", async () => {
    const counted = async () => (await call(client, "ModelStatistics", { name: "probe" })).model_stats[0];
    const before = await counted();
    await infer([1, 2, 3]);
    const after = await counted();
    expect(Number(after.inference_count) - Number(before.inference_count ?? 0)).toBe(3);
    expect(Number(after.inference_stats.success.count) - Number(before.inference_stats.success?.count ?? 0)).toBe(1);
  });

  it("answers for unknown models and calls with their status", async () => {
    await expect(call(client, "ModelMetadata", { name: "none" })).rejects.toMatchObject({ code: status.NOT_FOUND });
    await expect(call(client, "ModelReady", { name: "probe", version: "7" })).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
    });
    const unlisted = new Promise((_resolve, reject) =>
      client.makeUnaryRequest(
        "/inference.GRPCInferenceService/LogSettings",
        (x: Buffer) => x,
        (x: Buffer) => x,
        Buffer.alloc(0),
        reject,
      ),
    );
    await expect(unlisted).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });
});

describe("sequences", () => {
  it("carries the state from step to step and says the numbers", async () => {
    const sequence = fresh();
    const first = await infer([1], { sequence, start: true, id: "a" });
    expect(outputOf(first)).toEqual(replay([1]));
    expect(first.id).toBe("a");
    expect(first.parameters.sequence_id).toMatchObject({ string_param: sequence });
    expect(first.parameters.ostinato_seq).toMatchObject({ int64_param: "1" });
    const second = await infer([2, 3], { sequence });
    expect(outputOf(second)).toEqual(replay([1, 2, 3]).slice(2));
    expect(second.outputs).toEqual([{ name: "output", datatype: "FP32", shape: ["1", "2", "2"] }]);
    expect(second.parameters.ostinato_seq).toMatchObject({ int64_param: "3" });
    expect(second.parameters.incarnation).toEqual(first.parameters.incarnation);
  });

  it("refuses a first request without START in Triton's words, also after END", async () => {
    const text =
      /inference request for sequence 77 to model 'probe' must specify the START flag on the first request of the sequence/;
    const refused = { code: status.INVALID_ARGUMENT, details: expect.stringMatching(text) };
    const sequence = { uint64: "77" };
    await expect(infer([1], { sequence })).rejects.toMatchObject(refused);
    await infer([1], { sequence, start: true });
    await infer([2], { sequence, end: true });
    await expect(infer([3], { sequence })).rejects.toMatchObject(refused);
  });

  it("runs START and END in one request, and begins the id afresh afterwards", async () => {
    const sequence = fresh();
    expect(outputOf(await infer([5], { sequence, start: true, end: true }))).toEqual(replay([5]));
    await expect(infer([5], { sequence })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(outputOf(await infer([6], { sequence, start: true }))).toEqual(replay([6]));
  });

  it("begins a live sequence afresh at START, under a new incarnation", async () => {
    const sequence = fresh();
    const first = await infer([1, 2], { sequence, start: true });
    const again = await infer([1], { sequence, start: true });
    expect(outputOf(again)).toEqual(replay([1]));
    expect(Number(again.parameters.incarnation.int64_param)).toBeGreaterThan(Number(first.parameters.incarnation.int64_param));
  });

  it("tells near integers and the same digits as text apart", async () => {
    const sequences = [{ uint64: NEAR[0] }, { uint64: NEAR[1] }, NEAR[0], NEAR[1]];
    for (const [i, sequence] of sequences.entries()) await infer([i], { sequence, start: true });
    for (const [i, sequence] of sequences.entries()) expect(outputOf(await infer([9], { sequence }))).toEqual(last([i, 9]));
  });

  it("takes an integer of 64 bits however the client's language signs it", async () => {
    await infer([1], { sequence: { uint64: "18446744073709551615" }, start: true });
    const answer = await infer([2], { sequence: { int64: "-1" } });
    expect(outputOf(answer)).toEqual(last([1, 2]));
    expect(answer.parameters.sequence_id).toMatchObject({ uint64_param: "18446744073709551615" });
  });

  it("answers a repeated number with the stored answer, and refuses other records under it", async () => {
    const sequence = fresh();
    await infer([1], { sequence, start: true, seq: 1 });
    const once = await infer([2], { sequence, seq: 2 });
    const twice = await infer([2], { sequence, seq: 2 });
    expect(outputOf(twice)).toEqual(outputOf(once));
    expect(twice.parameters.ostinato_repeated).toMatchObject({ bool_param: true });
    expect(outputOf(await infer([3], { sequence, seq: 3 }))).toEqual(last([1, 2, 3]));
    await expect(infer([4], { sequence, seq: 3 })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("runs a request without an id alone; half a sequence without an id is refused", async () => {
    for (const step of [{}, { sequence: { int64: "0" } }, { sequence: "" }]) {
      const answer = await infer([4], step);
      expect(outputOf(answer)).toEqual(replay([4]));
      expect(answer.parameters ?? {}).not.toHaveProperty("sequence_id");
    }
    const refused = {
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining("must specify a non-zero or non-empty correlation ID"),
    };
    await expect(infer([4], { start: true })).rejects.toMatchObject(refused);
    await expect(infer([4], { end: true })).rejects.toMatchObject(refused);
  });

  it("refuses bad tensors and leaves the sequence as it was", async () => {
    const sequence = fresh();
    await infer([1], { sequence, start: true });
    for (const inputs of [
      [],
      [{ name: "input", datatype: "FP32", shape: [1, -1, 1] }],
      [{ name: "input", datatype: "FP32", shape: ["4611686018427387904", 4, 1] }],
      [{ name: "input", datatype: "FP32", shape: [1, 2, 1] }],
      [{ name: "input", datatype: "FP16", shape: [1, 1, 1] }],
      [{ name: "other", datatype: "FP32", shape: [1, 1, 1] }],
    ]) {
      const bad = { ...inferRequest([7], { sequence }), inputs };
      await expect(call(client, "ModelInfer", bad)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    }
    await expect(infer([Number.POSITIVE_INFINITY], { sequence })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(outputOf(await infer([2], { sequence }))).toEqual(last([1, 2]));
  });

  it("takes typed contents as well as raw ones", async () => {
    for (const [datatype, contents] of [
      ["FP32", { fp32_contents: [5] }],
      ["FP64", { fp64_contents: [5] }],
      ["INT64", { int64_contents: ["5"] }],
      ["INT32", { int_contents: [5] }],
      ["UINT64", { uint64_contents: ["5"] }],
    ]) {
      const request = { model_name: "probe", inputs: [{ name: "value", datatype, shape: [1, 1], contents }] };
      expect(outputOf(await call(client, "ModelInfer", request))).toEqual(replay([5]));
    }
  });
});

describe("a stream", () => {
  it("answers errors in their place and goes on", async () => {
    const { write, until, answers, stream, ended } = openStream(client);
    const sequence = fresh();
    write(inferRequest([1], { sequence, id: "early" }));
    write(inferRequest([1], { sequence, start: true, id: "1" }));
    write({ ...inferRequest([1], { sequence, id: "bad" }), inputs: [] });
    write(inferRequest([2], { sequence, id: "2", end: true }));
    await until(4);
    stream.end();
    expect(await ended).toBeNull();
    expect(answers.map(({ infer_response: { id } }) => id)).toEqual(["early", "1", "bad", "2"]);
    expect(answers[0].error_message).toMatch(/must specify the START flag/);
    expect(answers[2].error_message).toMatch(/input/);
    expect(answers[2].infer_response.parameters.ostinato_applied).toMatchObject({ string_param: "no" });
    expect(outputOf(answers[3].infer_response)).toEqual(last([1, 2]));
  });

  it("keeps many interleaved sequences in order and apart", async () => {
    const { write, until, answers, stream } = openStream(client);
    const sequences = Array.from({ length: 40 }, (_, i) => (i % 2 ? `many-${i}` : { uint64: String(2n ** 60n + BigInt(i)) }));
    const STEPS = 30;
    for (let t = 0; t < STEPS; t++) {
      for (const [i, sequence] of sequences.entries()) {
        write(inferRequest([i * 1000 + t], { sequence, start: t === 0, end: t === STEPS - 1, id: `${i}/${t}` }));
      }
    }
    await until(STEPS * sequences.length);
    stream.end();
    const seen = sequences.map(() => [] as number[]);
    const outputs = sequences.map(() => [] as number[]);
    for (const { error_message, infer_response } of answers) {
      expect(error_message ?? "").toBe("");
      const [i, t] = infer_response.id.split("/").map(Number);
      seen[i].push(t);
      outputs[i].push(...outputOf(infer_response));
    }
    for (const [i] of sequences.entries()) {
      expect(seen[i]).toEqual(Array.from({ length: STEPS }, (_, t) => t));
      expect(outputs[i]).toEqual(replay(seen[i].map((t) => i * 1000 + t)));
    }
  });

  it("answers what came before the client's half of it closed", async () => {
    const { write, answers, stream, ended } = openStream(client);
    const sequence = fresh();
    for (let t = 0; t < 50; t++) write(inferRequest([t], { sequence, start: t === 0 }));
    stream.end();
    expect(await ended).toBeNull();
    expect(answers.length).toBe(50);
    expect(outputOf(answers[49].infer_response)).toEqual(last(Array.from({ length: 50 }, (_, t) => t)));
  });
});
