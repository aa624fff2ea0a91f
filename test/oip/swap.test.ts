/** Sequences that stay on an older version of a model, beside those on the present one: each is read and answered by its own. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { columnModel } from "../support/column-model.js";
import { call, connect, type InferenceClient, type Wire } from "./grpc-client.js";
import { openStack, type Stack } from "./stack.js";

let stack: Stack;
let client: InferenceClient;

beforeAll(async () => {
  stack = await openStack({ models: { m: { model: columnModel(["low", "high"]) } } });
  client = connect(stack.grpcAddress);
});

afterAll(async () => {
  client.close();
  await stack.close();
  expect(stack.faults).toEqual([]);
});

/** By column: a tensor each. As a list: one tensor. */
async function infer(id: string, input: Record<string, number> | number[], { start = false, end = false, ...ask }: Wire = {}) {
  const parameters: Wire = { sequence_id: { string_param: id } };
  if (start) parameters.sequence_start = { bool_param: true };
  if (end) parameters.sequence_end = { bool_param: true };
  const tensor = (name: string, shape: number[], values: number[]) => ({
    name,
    datatype: "FP32",
    shape,
    contents: { fp32_contents: values },
  });
  const inputs = Array.isArray(input)
    ? [tensor("input", [1, 1, input.length], input)]
    : Object.entries(input).map(([name, value]) => tensor(name, [1, 1], [value]));
  const answer = await call(client, "ModelInfer", { model_name: "m", parameters, inputs, ...ask });
  const tensors = Object.fromEntries(
    answer.outputs.map((output: Wire, i: number) => [output.name, { ...output, raw: answer.raw_output_contents[i] }]),
  );
  return {
    version: answer.model_version,
    width: Number(tensors.output?.shape[2]),
    label: tensors.label?.raw.subarray(4).toString(),
    parameters: answer.parameters,
  };
}

it("reads and names by the version that a sequence is on", async () => {
  const { engine, served } = stack;
  const old = served.get("m")?.current.version;
  for (const id of ["a", "b"])
    expect(await infer(id, [1, 2], { start: true })).toMatchObject({ version: old, label: "high", width: 2 });
  const current = await engine.load({ model: columnModel(["none", "high", "low"]) });
  await engine.route("m", { version: current.version, policy: "pin" });
  served.set("m", { name: "m", current, others: [(served.get("m") as { current: typeof current }).current] });

  expect(await infer("a", [2, 1])).toMatchObject({ version: old, label: "low", width: 2 });
  expect(await infer("a", { high: 7, low: 3 })).toMatchObject({ version: old, label: "high", width: 2 });
  expect(await infer("b", [2, 1], { outputs: [{ name: "label" }], model_version: old })).toMatchObject({ label: "low" });
  await expect(infer("a", [1, 2, 3])).rejects.toThrow(/unexpected shape/);
  await expect(infer("a", { none: 1, high: 1, low: 1 })).rejects.toThrow(/unexpected inference input 'none'/);
  await expect(infer("a", [1, 2], { model_version: current.version })).rejects.toThrow(/on another version/);

  const { version } = current;
  expect(await infer("c", [1, 2, 3], { start: true })).toMatchObject({ version, label: "low", width: 3 });
  expect(await infer("c", { low: 1, none: 9, high: 2 })).toMatchObject({ version, label: "none", width: 3 });
  await expect(infer("absent", [1, 2, 3])).rejects.toThrow(/must specify the START flag/);
  await expect(infer("d", [1, 2], { start: true, model_version: old })).rejects.toThrow(/begins on the model's present version/);

  const last = await infer("a", [2, 1], { end: true });
  expect(last).toMatchObject({ version: old, label: "low" });
  expect(Number(last.parameters.ostinato_seq.int64_param)).toBe(4);
  expect(await infer("a", [2, 1, 3], { start: true })).toMatchObject({ version, label: "low", width: 3 });
  expect(await infer("e", [2, 1, 3], { start: true, end: true })).toMatchObject({ version, label: "low", width: 3 });
});
