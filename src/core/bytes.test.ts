import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { crc32, sha256 } from "./bytes.js";

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe("sha256", () => {
  it.each([
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ],
    ["a".repeat(1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"],
  ])("gives the published digest of %.20s", (text, digest) => {
    expect(sha256(bytesOf(text))).toBe(digest);
  });

  it("agrees with another implementation at every length around a block's end", () => {
    for (let length = 0; length < 200; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 151 + length) & 255);
      expect(sha256(bytes)).toBe(createHash("sha256").update(bytes).digest("hex"));
    }
  });
});

describe("crc32", () => {
  it("gives the published check value", () => {
    expect(crc32(bytesOf("123456789"))).toBe(0xcbf43926);
  });
});
