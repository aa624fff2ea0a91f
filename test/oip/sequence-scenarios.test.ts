/**
 * The scenarios by which Triton tests its sequence batcher (`qa/L0_sequence_batcher`), where they apply to a server without slots and
 * backlogs: here every sequence has its own state, so what waits there for a slot runs at once.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, connect, type InferenceClient, inferRequest, openStream, outputOf, type Step, type Wire } from "./grpc-client.js";
import { replay } from "./replay.js";
import { openStack, type Stack } from "./stack.js";

let stack: Stack;
let client: InferenceClient;
let ids = 1000;

beforeAll(async () => {
  stack = await openStack();
  client = connect(stack.grpcAddress);
});

afterAll(async () => {
  client.close();
  await stack.close();
  expect(stack.faults).toEqual([]);
});

const MISSING_START = /must specify the START flag on the first request of the sequence/;
const nextId = () => ({ uint64: String(++ids) });
const infer = async (value: number, step: Step): Promise<number[]> =>
  outputOf(await call(client, "ModelInfer", inferRequest([value], step)));

/** Steps of a sequence, one request each; `flags` as "S", "E", "SE" or "". */
async function run(sequence: Step["sequence"], steps: readonly (readonly [string, number])[]): Promise<number[]> {
  const outputs: number[] = [];
  for (const [flags, value] of steps) {
    const step: Step = { sequence };
    if (flags.includes("S")) step.start = true;
    if (flags.includes("E")) step.end = true;
    outputs.push(...(await infer(value, step)));
  }
  return outputs;
}

describe("scenarios of Triton's sequence batcher", () => {
  it("simple: START, steps, END", async () => {
    expect(
      await run(nextId(), [
        ["S", 1],
        ["", 2],
        ["", 3],
        ["E", 4],
      ]),
    ).toEqual(replay([1, 2, 3, 4]));
  });

  it("length 1: START and END in one request, again and again under one id", async () => {
    const sequence = nextId();
    for (const value of [42, 43, 44]) expect(await run(sequence, [["SE", value]])).toEqual(replay([value]));
  });

  it("batch size: more than one sequence in a request is refused", async () => {
    const request = { ...inferRequest([1, 2], { sequence: nextId(), start: true }) };
    request.inputs = [{ name: "input", datatype: "FP32", shape: [2, 1, 1] }];
    await expect(call(client, "ModelInfer", request)).rejects.toThrow(/unexpected shape/);
  });

  it("no correlation id: START without an id is refused", async () => {
    await expect(infer(1, { start: true })).rejects.toThrow(/must specify a non-zero or non-empty correlation ID/);
  });

  it("no START: the first request is refused", async () => {
    const sequence = nextId();
    await expect(run(sequence, [["", 1]])).rejects.toThrow(MISSING_START);
    await expect(run(sequence, [["E", 1]])).rejects.toThrow(MISSING_START);
  });

  it("no START 2: what follows an END without START is refused", async () => {
    const sequence = nextId();
    expect(
      await run(sequence, [
        ["S", 1],
        ["", 2],
        ["E", 3],
      ]),
    ).toEqual(replay([1, 2, 3]));
    await expect(run(sequence, [["", 4]])).rejects.toThrow(MISSING_START);
    expect(
      await run(sequence, [
        ["S", 5],
        ["E", 6],
      ]),
    ).toEqual(replay([5, 6]));
  });

  it("no END: the next START begins afresh", async () => {
    const sequence = nextId();
    expect(
      await run(sequence, [
        ["S", 1],
        ["", 2],
        ["S", 42],
        ["", 9],
        ["E", 10],
      ]),
    ).toEqual([...replay([1, 2]), ...replay([42, 9, 10])]);
  });

  it("half, full and skipped batches: sequences of different lengths and pauses, side by side", async () => {
    const rows: [string, number][][] = [
      [
        ["S", 1],
        ["", 2],
        ["", 3],
        ["E", 4],
      ],
      [
        ["S", 11],
        ["E", 14],
      ],
      [
        ["S", 111],
        ["", 112],
        ["E", 113],
      ],
      [["SE", 1111]],
      Array.from({ length: 60 }, (_, t): [string, number] => [t === 0 ? "S" : t === 59 ? "E" : "", t]),
    ];
    const outputs = await Promise.all(rows.map((steps) => run(nextId(), steps)));
    for (const [i, steps] of rows.entries()) expect(outputs[i]).toEqual(replay(steps.map(([, value]) => value)));
  });

  it("backlog: far more sequences than any batch, each of its own length", async () => {
    const sequences = Array.from({ length: 300 }, (_, i) => ({
      sequence: nextId(),
      values: Array.from({ length: 1 + (i % 5) }, (_, t) => i * 10 + t),
    }));
    const { write, until, answers, stream } = openStream(client);
    let total = 0;
    for (let t = 0; t < 5; t++) {
      for (const [i, { sequence, values }] of sequences.entries()) {
        if (t >= values.length) continue;
        write(inferRequest([values[t]], { sequence, start: t === 0, end: t === values.length - 1, id: String(i) }));
        total++;
      }
    }
    await until(total);
    stream.end();
    const outputs = sequences.map(() => [] as number[]);
    for (const { error_message, infer_response } of answers) {
      expect(error_message ?? "").toBe("");
      outputs[Number(infer_response.id)].push(...outputOf(infer_response));
    }
    for (const [i, { values }] of sequences.entries()) expect(outputs[i]).toEqual(replay(values));
  });

  it("same id: a sequence that comes while one of its id is under way follows it, with END before it and without", async () => {
    for (const flag of ["E", ""]) {
      const { write, until, answers, stream } = openStream(client);
      const sequence = nextId();
      const steps: [string, number][] = [
        ["S", 1],
        ["", 2],
        [flag, 3],
        ["S", 9],
        ["E", 8],
      ];
      for (const [flags, value] of steps)
        write(inferRequest([value], { sequence, start: flags.includes("S"), end: flags.includes("E") }));
      await until(steps.length);
      stream.end();
      expect(answers.flatMap(({ infer_response }: Wire) => outputOf(infer_response))).toEqual([
        ...replay([1, 2, 3]),
        ...replay([9, 8]),
      ]);
    }
  });

  it("timeout: a sequence that pauses keeps its state", async () => {
    const sequence = nextId();
    expect(await run(sequence, [["S", 1]])).toEqual(replay([1]));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await run(sequence, [["E", 2]])).toEqual(replay([1, 2]).slice(2));
  });

  it("long: a thousand steps on a stream", async () => {
    const { write, until, answers, stream } = openStream(client);
    const sequence = nextId();
    const values = Array.from({ length: 1000 }, (_, t) => t % 97);
    for (const [t, value] of values.entries()) write(inferRequest([value], { sequence, start: t === 0, end: t === 999 }));
    await until(1000);
    stream.end();
    expect(answers.flatMap(({ infer_response }: Wire) => outputOf(infer_response))).toEqual(replay(values));
  });

  it("text ids: any of 1 to 256 bytes", async () => {
    for (const sequence of ["dev-ä-1", "x".repeat(256), " ", "1", "01", "/../", "日本語"]) {
      expect(
        await run(sequence, [
          ["S", 1],
          ["E", 2],
        ]),
      ).toEqual(replay([1, 2]));
    }
    await expect(run("x".repeat(257), [["S", 1]])).rejects.toThrow(/id/);
  });

  it("cancellation: a cancelled call leaves whole steps only", async () => {
    const sequence = nextId();
    await run(sequence, [["S", 0]]);
    const { write, stream, ended } = openStream(client);
    for (let t = 1; t <= 100; t++) write(inferRequest([t], { sequence }));
    stream.cancel();
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const answer = await call(client, "ModelInfer", inferRequest([7], { sequence }));
    const applied = Number(answer.parameters.ostinato_seq.int64_param) - 2;
    const values = [0, ...Array.from({ length: applied }, (_, t) => t + 1), 7];
    expect(outputOf(answer)).toEqual(replay(values).slice(-2));
  });
});
