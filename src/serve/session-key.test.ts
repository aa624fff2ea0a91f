import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numberId, parseSessionKey, type SessionName, sessionKey, textId } from "./session-key.js";

const texts = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme-ascii" }).filter((text) => text !== "." && text !== "..");
const names: fc.Arbitrary<SessionName> = fc.record({
  tenant: fc.constantFrom("acme", "acme2", "b", "~sentinel"),
  model: fc.constantFrom("m", "m2", "smodel"),
  id: fc.oneof(
    texts.map(textId),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(numberId),
    fc.nat(30).map((digits) => textId(String(digits))),
    fc.nat(30).map((digits) => numberId(String(digits))),
  ),
});

describe("a session's key", () => {
  it("is its own: two names have one key only if they are the same, and a key gives its name back", () => {
    fc.assert(
      fc.property(names, names, (a, b) => {
        expect(sessionKey(a) === sessionKey(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
        expect(parseSessionKey(sessionKey(a))).toEqual(a);
      }),
      { numRuns: 500 },
    );
  });

  it("tells near integers of 64 bits apart, and an integer from its digits", () => {
    const ids = ["9007199254740992", "9007199254740993", "18446744073709551614", "18446744073709551615"];
    const keys = [
      ...ids.map((digits) => numberId(digits)),
      ...ids.map((digits) => numberId(BigInt(digits))),
      ...ids.map(textId),
    ].map((id) => sessionKey({ tenant: "t", model: "m", id }));
    expect(new Set(keys).size).toBe(2 * ids.length);
    for (const digits of ids) expect(numberId(digits)).toEqual({ number: digits });
  });
});
