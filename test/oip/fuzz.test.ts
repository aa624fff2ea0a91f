/** Requests of any shape, over both protocols: each is answered, none with a fault of the program, and none touches another's sequence. */
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { call, connect, type InferenceClient, inferRequest, outputOf } from "./grpc-client.js";
import { replay } from "./replay.js";
import { openStack, type Stack } from "./stack.js";

let stack: Stack;
let client: InferenceClient;

beforeAll(async () => {
  stack = await openStack();
  client = connect(stack.grpcAddress);
  await call(client, "ModelInfer", inferRequest([1], { sequence: "witness", start: true }));
});

afterAll(async () => {
  const witness = await call(client, "ModelInfer", inferRequest([2], { sequence: "witness" }));
  expect(outputOf(witness)).toEqual(replay([1, 2]).slice(-2));
  client.close();
  await stack.close();
  expect(stack.faults).toEqual([]);
});

/** No fault of the program: not 500. */
const MINE = [400, 404, 409, 413, 415, 422, 429, 503];

const scalar = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom("FP32", "INT64", "BYTES", "input", "value"),
);
const parameters = fc.dictionary(
  fc.constantFrom(
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "ostinato_seq",
    "incarnation",
    "binary_data_output",
    "ostinato_ttl_seconds",
    "__proto__",
    "x",
  ),
  scalar,
);
const tensor = fc.record(
  {
    name: fc.oneof(fc.constantFrom("input", "value"), scalar),
    datatype: fc.oneof(fc.constantFrom("FP32", "FP64", "INT64", "BOOL", "BYTES"), scalar),
    shape: fc.oneof(fc.constantFrom([1, 1, 1], [1, 2, 1], [1, 1]), fc.array(scalar, { maxLength: 4 })),
    data: fc.oneof(fc.constantFrom([1], [[1]], [1, 2]), fc.array(scalar, { maxLength: 3 }), scalar),
    parameters: fc.dictionary(fc.constantFrom("binary_data_size", "binary_data", "shared_memory_region"), scalar),
  },
  { requiredKeys: [] },
);
const body = fc.record(
  {
    id: fc.oneof(fc.string(), scalar),
    parameters: fc.oneof(parameters, scalar),
    inputs: fc.oneof({ weight: 5, arbitrary: fc.array(tensor, { maxLength: 3 }) }, { weight: 1, arbitrary: fc.anything() }),
    outputs: fc.oneof(
      fc.constant(undefined),
      fc.array(fc.record({ name: fc.oneof(fc.constant("output"), scalar) }), { maxLength: 2 }),
    ),
  },
  { requiredKeys: [] },
);

async function post(bytes: Uint8Array, header?: string): Promise<number> {
  const headers: Record<string, string> = header === undefined ? {} : { "inference-header-content-length": header };
  const reply = await fetch(`http://${stack.httpAddress}/v2/models/probe/infer`, {
    method: "POST",
    body: new Uint8Array(bytes),
    headers,
  });
  const text = await reply.text();
  if (reply.status !== 200) expect(typeof JSON.parse(text).error).toBe("string");
  return reply.status;
}

const stringify = (value: unknown) =>
  JSON.stringify(value, (_key, held) => (typeof held === "bigint" ? String(held) : held)) ?? "";

it("HTTP answers any JSON", { timeout: 120_000 }, async () => {
  const property = fc.asyncProperty(body, async (json) => {
    const code = await post(Buffer.from(stringify(json)));
    expect([200, ...MINE]).toContain(code);
  });
  await fc.assert(property, { numRuns: 600 });
});

it("HTTP answers any bytes under any header length", { timeout: 120_000 }, async () => {
  const header = fc.oneof(
    fc.constant(undefined),
    fc.nat({ max: 60 }).map(String),
    fc.string({ unit: fc.constantFrom(..."0123456789-+.eE x") }),
  );
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), header, async (bytes, length) => {
    expect(MINE).toContain(await post(bytes, length?.trim()));
  });
  await fc.assert(property, { numRuns: 300 });
});

it("gRPC answers any bytes", { timeout: 120_000 }, async () => {
  const raw = (bytes: Buffer) => bytes;
  const good = Buffer.from(
    client.ModelInfer.requestSerialize(inferRequest([1, 2], { sequence: "fuzzed", start: true, end: true, id: "x" })),
  );
  const mutated = fc.tuple(fc.nat(), fc.nat({ max: 255 })).map(([at, byte]) => {
    const bytes = Buffer.from(good);
    bytes[at % bytes.length] = byte;
    return bytes;
  });
  const bytes = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 80 }).map((list) => Buffer.from(list)),
  );
  const property = fc.asyncProperty(
    bytes,
    fc.constantFrom("ModelInfer", "ModelMetadata", "ModelConfig", "RepositoryIndex"),
    async (sent, method) => {
      const code = await new Promise<number>((resolve) => {
        client.makeUnaryRequest(`/inference.GRPCInferenceService/${method}`, raw, raw, sent, (error: { code: number } | null) =>
          resolve(error?.code ?? 0),
        );
      });
      // OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION.
      expect([0, 3, 5, 9]).toContain(code);
    },
  );
  await fc.assert(property, { numRuns: 1500 });
});
