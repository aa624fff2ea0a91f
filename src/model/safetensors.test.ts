import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSafetensors, type SafetensorsTensor, writeSafetensors } from "./safetensors.js";

function float32(shape: number[], values: number[]): SafetensorsTensor {
  return { dtype: "F32", shape, data: new Uint8Array(new Float32Array(values).buffer) };
}

const tensors = new Map<string, SafetensorsTensor>([
  ["layer.weight", float32([2, 3], [1, -2, 3.5, 0, -0, 1e-30])],
  ["scalar", float32([], [7])],
  ["empty", float32([0, 4], [])],
  ["flags", { dtype: "U8", shape: [3], data: new Uint8Array([1, 2, 255]) }],
  ["exact", { dtype: "F64", shape: [1], data: new Uint8Array(new Float64Array([Math.PI]).buffer) }],
  ['größe ☃ "quoted"', float32([1], [4])],
]);
const metadata = { format: "ostinato/1", text: "line\nbreak \u0000 ☃", "10": "ten", "9": "nine" };

describe("writing and reading", () => {
  it("gives back every tensor and every string of the metadata", () => {
    const read = readSafetensors(writeSafetensors({ metadata, tensors }));
    expect(read.metadata).toEqual(metadata);
    expect(new Map([...read.tensors].sort())).toEqual(new Map([...tensors].sort()));
  });

  it("writes equal content to equal bytes whatever the order of insertion", () => {
    const reversed = new Map([...tensors].reverse());
    const shuffled = Object.fromEntries(Object.entries(metadata).reverse());
    expect(writeSafetensors({ metadata: shuffled, tensors: reversed })).toEqual(writeSafetensors({ metadata, tensors }));
  });

  it("writes again what it has read, byte for byte", () => {
    const bytes = writeSafetensors({ metadata, tensors });
    expect(writeSafetensors(readSafetensors(bytes))).toEqual(bytes);
  });

  it("pads the header to 8 bytes and aligns every tensor to its element", () => {
    const bytes = writeSafetensors({ metadata, tensors });
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    for (const { data, dtype } of readSafetensors(bytes).tensors.values()) {
      expect(data.byteOffset % (dtype === "F64" ? 8 : dtype === "F32" ? 4 : 1)).toBe(0);
      if (data.length > 0) expect(data.buffer).toBe(bytes.buffer);
    }
  });

  it("copies a tensor that is not aligned, so that a typed array can lie over it", () => {
    const bytes = writeSafetensors({ tensors: new Map([["a", float32([2], [1, 2])]]) });
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const { data } = readSafetensors(shifted.subarray(1)).tensors.get("a")!;
    expect(data.byteOffset % 4).toBe(0);
    expect([...new Float32Array(data.buffer, data.byteOffset, 2)]).toEqual([1, 2]);
  });

  it("takes a file without tensors and without metadata", () => {
    const read = readSafetensors(writeSafetensors({ tensors: new Map() }));
    expect(read.tensors.size).toBe(0);
    expect(read.metadata).toEqual({});
  });

  it("keeps a key named __proto__ as an ordinary key", () => {
    const hostile = Object.fromEntries([["__proto__", "harmless"]]);
    const read = readSafetensors(writeSafetensors({ metadata: hostile, tensors: new Map([["__proto__", float32([1], [1])]]) }));
    expect(Object.keys(read.metadata)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(read.metadata)).toBe(Object.prototype);
    expect(read.tensors.has("__proto__")).toBe(true);
  });

  it("refuses to write what it could not read", () => {
    const write = (name: string, tensor: SafetensorsTensor) => () => writeSafetensors({ tensors: new Map([[name, tensor]]) });
    expect(write("__metadata__", float32([1], [1]))).toThrow(/reserved/);
    expect(write("a", float32([3], [1]))).toThrow(/12 bytes/);
    expect(write("\ud800", float32([1], [1]))).toThrow(/OST_MODEL_FILE/);
    expect(write("a", { ...float32([1], [1]), shape: [-1, -1] })).toThrow(/integers >= 0/);
    expect(write("a", { ...float32([1], [1]), dtype: "F128" as never })).toThrow(/F128/);
  });
});

const python = spawnSync("python3", ["-c", "import struct, json"]).status === 0;
const pythonSafetensors = python && spawnSync("python3", ["-c", "import safetensors"]).status === 0;

describe("other readers", () => {
  const inFile = (check: (path: string) => void) => {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-safetensors-"));
    try {
      const path = join(folder, "model.safetensors");
      writeFileSync(path, writeSafetensors({ metadata, tensors }));
      check(path);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  it.skipIf(!python)("a ten-line Python script finds the same tensors (needs python3)", () => {
    const script = `
import json, struct, sys
raw = open(sys.argv[1], "rb").read()
(n,) = struct.unpack("<Q", raw[:8])
header = json.loads(raw[8:8 + n].decode("utf-8"))
meta = header.pop("__metadata__")
begin, end = header["layer.weight"]["data_offsets"]
values = struct.unpack("<6f", raw[8 + n + begin:8 + n + end])
begin, end = header["exact"]["data_offsets"]
(exact,) = struct.unpack("<d", raw[8 + n + begin:8 + n + end])
print(json.dumps({"meta": meta, "names": sorted(header), "values": values, "exact": exact, "shape": header["empty"]["shape"]}))`;
    inFile((path) => {
      const seen = JSON.parse(execFileSync("python3", ["-c", script, path], { encoding: "utf8" }));
      expect(seen.meta).toEqual(metadata);
      expect(seen.names).toEqual([...tensors.keys()].sort());
      expect(seen.values).toEqual([...new Float32Array([1, -2, 3.5, 0, -0, 1e-30])]);
      expect(seen.exact).toBe(Math.PI);
      expect(seen.shape).toEqual([0, 4]);
    });
  });

  it.skipIf(!pythonSafetensors)("Python's safetensors opens the file (needs the safetensors module)", () => {
    const script = `
import json, sys
from safetensors import deserialize
found = dict(deserialize(open(sys.argv[1], "rb").read()))
print(json.dumps({name: [info["dtype"], info["shape"], list(info["data"])] for name, info in found.items()}))`;
    inFile((path) => {
      const seen = JSON.parse(execFileSync("python3", ["-c", script, path], { encoding: "utf8" }));
      for (const [name, { dtype, shape, data }] of tensors) expect(seen[name]).toEqual([dtype, shape, [...data]]);
    });
  });
});
