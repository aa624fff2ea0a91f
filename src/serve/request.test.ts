import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import { bearerKey, parseCreate, parseRestore, parseSteps } from "./request.js";

describe("a request's body", () => {
  it("gives records without a prototype, so that no inherited name is a value", () => {
    const [record] = parseSteps({ record: { value: 1 } }).records;
    expect(record["toString"]).toBeUndefined();
    expect(Object.getPrototypeOf(record)).toBeNull();
    expect({ ...record }).toEqual({ value: 1 });
  });

  it("is never changed into numbers or bytes it does not hold", () => {
    expect(parseSteps({ records: [{ a: "1", b: null }, {}], seq: 7 })).toEqual({ records: [{ a: "1", b: null }, {}], seq: 7 });
    expect(parseCreate({ id: "7", snapshot: "AQID" })).toEqual({ id: "7", snapshot: new Uint8Array([1, 2, 3]) });
    expect(parseCreate(undefined)).toEqual({ id: undefined, snapshot: undefined });
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

describe("the owner key", () => {
  it("is the one word after Bearer", () => {
    expect(bearerKey("Bearer abc")).toBe("abc");
    expect(bearerKey("bearer  abc ")).toBe("abc");
    for (const header of [undefined, "", "Bearer", "Bearer ", "Bearer a b", "Basic abc", "abc", "Bearerabc"])
      expect(bearerKey(header)).toBeUndefined();
  });
});
