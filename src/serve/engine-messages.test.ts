import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, type ErrorCode, OstinatoError } from "../core/errors.js";
import { carryError, landError, packOperations, packOutcomes, unpackOperations, unpackOutcomes } from "./engine-messages.js";
import { DURABILITIES, type Operation, type Outcome } from "./operation.js";

const number = fc.oneof(fc.double(), fc.constantFrom(-0, 0, Number.NaN, Number.MAX_VALUE, -Infinity));
const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const text = fc.oneof(fc.constantFrom("tenant\nmodel\nsid", "ä\u{1f600}", ""), fc.string());
const few = fc.constantFrom("a", "b", "version");
const floats = (most: number) => fc.array(number, { maxLength: most }).map((values) => Float64Array.from(values));
const attributes = fc.dictionary(few, text);
const durability = fc.constantFrom(...DURABILITIES);

const begin = fc.record({
  version: few,
  durability,
  ttlMs: fc.option(whole),
  attributes,
  creator: few,
  onLive: fc.constantFrom("refuse" as const, "restart" as const),
  limits: fc.record({ tenant: whole, total: whole }),
});
const target = { key: text, incarnation: whole, watched: fc.boolean(), creator: text };
const step = fc.record(
  {
    ...target,
    kind: fc.constant("step" as const),
    seq: whole,
    end: fc.boolean(),
    input: fc.record({ rows: floats(40), count: whole }),
  },
  { requiredKeys: ["key", "kind", "input"] },
);
const other = fc.oneof(
  fc.record(
    { ...target, kind: fc.constantFrom("get" as const, "end" as const, "hibernate" as const) },
    { requiredKeys: ["key", "kind"] },
  ),
  fc.record({ kind: fc.constant("create" as const), key: text, begin }),
  fc.record({ kind: fc.constant("step" as const), key: text, begin, input: fc.record({ rows: floats(4), count: whole }) }),
  fc.record({
    kind: fc.constant("step" as const),
    key: text,
    input: fc.record({ records: fc.array(fc.dictionary(few, fc.oneof(text, whole))) }),
  }),
  fc.record({ kind: fc.constant("restore" as const), key: text, snapshot: fc.uint8Array({ maxLength: 20 }) }),
);
const operations = fc.array(fc.oneof({ weight: 4, arbitrary: step }, other)) as fc.Arbitrary<Operation[]>;

const session = fc.record({
  status: fc.constantFrom("active" as const, "quarantined" as const),
  version: few,
  incarnation: whole,
  seq: whole,
  steps: whole,
  resets: whole,
  durability,
  creator: few,
  attributes,
  createdAt: number,
  ageMs: number,
  stateAgeMs: number,
  idleMs: number,
});
const predictions = fc.tuple(fc.array(fc.tuple(whole, number), { maxLength: 5 }), floats(40)).map(([made, values]) => ({
  count: made.length,
  seq: Float64Array.from(made, ([seq]) => seq),
  time: Float64Array.from(made, ([, time]) => time),
  values,
}));
const plain = fc.record({
  applied: fc.constantFrom("yes" as const, "no" as const, "unknown" as const),
  count: whole,
  session: fc.option(session),
  predictions: fc.option(predictions),
  repeated: fc.boolean(),
  error: fc.constant(null),
  expectedSeq: fc.constant(null),
  lifecycle: fc.constant([]),
  snapshot: fc.constant(null),
  view: fc.constant(null),
  computeMs: number,
  commitMs: number,
});
const eventful = fc
  .tuple(plain, fc.constantFrom("error", "expectedSeq", "lifecycle", "snapshot", "view"))
  .map(([outcome, part]) => {
    const parts: Record<string, unknown> = {
      error: { code: "OST_GAP", message: "m", what: "w", index: 2 },
      expectedSeq: 7,
      lifecycle: [
        {
          kind: "reset",
          key: "k",
          version: "v",
          incarnation: { from: 1, to: 2 },
          seq: 3,
          steps: 4,
          reason: "marker",
          attributes: {},
        },
      ],
      snapshot: Uint8Array.of(1, 2),
      view: Float32Array.of(0.5),
    };
    return { ...outcome, [part]: parts[part] };
  });
const outcomes = fc.array(fc.oneof({ weight: 4, arbitrary: plain }, eventful)) as fc.Arbitrary<unknown> as fc.Arbitrary<
  Outcome[]
>;

/** As a thread gets it. */
function cross<T extends { numbers: Float64Array }>(packed: T): T {
  return structuredClone(packed, { transfer: [packed.numbers.buffer as ArrayBuffer] });
}

describe("operations between threads", () => {
  it("arrive as clones would, each with its id", () => {
    const ids = fc.record({ firstId: whole, retried: fc.boolean() });
    fc.assert(
      fc.property(operations, ids, (given, { firstId, retried }) => {
        const expected = structuredClone(given).map((operation, i) => ({ ...operation, operationId: firstId + i, retried }));
        expect(unpackOperations(cross(packOperations(given, { firstId, retried })))).toEqual(expected);
        expect(structuredClone(given).map((operation, i) => ({ ...operation, operationId: firstId + i, retried }))).toEqual(
          expected,
        );
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  it("keep the bits of every number, those of NaNs included", () => {
    const bits = new BigUint64Array([0x7ff8000000000001n, 0xfff0dead00000001n, 0x8000000000000000n, 1n]);
    for (const count of [1, 20]) {
      const rows = new Float64Array(Array.from({ length: count }, () => [...bits]).flat().length);
      const words = new BigUint64Array(rows.buffer);
      for (let i = 0; i < words.length; i++) words[i] = bits[i % 4];
      const [back] = unpackOperations(
        cross(packOperations([{ kind: "step", key: "k", input: { rows, count } }], { firstId: 1, retried: false })),
      ) as unknown as [{ input: { rows: Float64Array } }];
      const { buffer, byteOffset, length } = back.input.rows;
      expect([...new BigUint64Array(buffer.slice(byteOffset, byteOffset + length * 8))]).toEqual([...words]);
    }
  });
});

describe("outcomes between threads", () => {
  it("arrive as clones would", () => {
    fc.assert(
      fc.property(outcomes, (given) => {
        expect(unpackOutcomes(cross(packOutcomes(given)))).toEqual(structuredClone(given));
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  it("share what is equal, and not more", () => {
    const [a, b] = [{ device_class: "a" }, { device_class: "b" }];
    const given = fc.sample(
      plain.filter((one) => one.session !== null),
      { numRuns: 4, seed: 3 },
    );
    const mixed = given.map((outcome, i) => ({
      ...outcome,
      session: { ...outcome.session, attributes: { ...(i % 2 ? a : b) } },
    })) as unknown as Outcome[];
    const packed = packOutcomes(mixed);
    expect(packed.attributes).toHaveLength(2);
    expect(unpackOutcomes(packed).map(({ session }) => session?.attributes)).toEqual([b, a, b, a]);
  });
});

describe("errors between threads", () => {
  it("keep their code and facts", () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const error = new OstinatoError(code, { what: "w", expected: "e", got: "g", where: "h", repair: "r" });
      const landed = landError(structuredClone(carryError(error)), "engine");
      expect([landed.code, landed.detail, landed.message]).toEqual([code, error.detail, error.message]);
    }
  });

  it("of others are faults of the program, with the error as the cause", () => {
    const landed = landError(structuredClone(carryError(new TypeError("odd"))), "engine");
    expect(landed.code).toBe("OST_INTERNAL");
    expect((landed.cause as Error).message).toBe("odd");
    expect((landed.cause as Error).stack).toContain("engine-messages.test");
  });
});
