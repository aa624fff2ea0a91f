import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import type { ModelVersion } from "./engine.js";
import { parseCreate, parseRestore, parseSteps as parseStepsOf } from "./request.js";

const parseSteps = (body: unknown) => parseStepsOf(body, { columns: ["a", "b"] } as unknown as ModelVersion);
const recordsOf = (body: unknown) => (parseSteps(body).input as { records: Record<string, unknown>[] }).records;

describe("a request's body", () => {
  it("gives records without a prototype, so that no inherited name is a value", () => {
    const [record] = recordsOf({ record: { value: 1 } });
    expect(record["toString"]).toBeUndefined();
    expect(Object.getPrototypeOf(record)).toBeNull();
    expect({ ...record }).toEqual({ value: 1 });
  });

  it("is never changed into numbers or bytes it does not hold", () => {
    expect(parseSteps({ records: [{ a: "1", b: null }, {}], seq: 7 })).toEqual({
      input: { records: [{ a: "1", b: null }, {}] },
      seq: 7,
    });
    expect(parseCreate({ id: "7", snapshot: "AQID" })).toMatchObject({ id: { text: "7" }, snapshot: new Uint8Array([1, 2, 3]) });
    expect(parseCreate(undefined)).toEqual({});
    expect(parseCreate({ id: { number: "18446744073709551615" } })).toMatchObject({ id: { number: "18446744073709551615" } });
    expect(parseSteps({ rows: [[1, null]] }).input).toEqual({ rows: Float64Array.of(1, Number.NaN), count: 1 });
  });

  it("of any JSON is read or refused with a code, and never fails otherwise", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (body) => {
        for (const parse of [parseSteps, parseCreate, parseRestore]) {
          try {
            parse(body);
          } catch (error) {
            expect(error).toBeInstanceOf(OstinatoError);
            expect((error as OstinatoError).code).toMatch(/^OST_(REQUEST|RECORD|SNAPSHOT)$/);
          }
        }
      }),
    );
  });

  it("names the nearest key where one is misspelt", () => {
    expect(() => parseSteps({ recrods: [] })).toThrow(/did you mean "records"/);
  });
});
