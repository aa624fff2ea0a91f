import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { NATIVE_ENGINES } from "../../test/support/native-engines.js";
import fingerprint from "./wasm/fingerprint.js";

/** A module of its own each time, because the engine is made once per process. */
const freshly = () => import("./engine.js");
const built = NATIVE_ENGINES.length > 0;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-engine-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of addons, the only one that is looked at. */
function addons(name: string, files: Record<string, string | Uint8Array> = {}): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
  vi.stubEnv("OSTINATO_NATIVE_FOLDER", path);
  return path;
}

const isa = process.arch === "arm64" ? "neon" : "x86-64";

let warn: ReturnType<typeof vi.spyOn>;
beforeEach(() => {
  vi.resetModules();
  for (const name of ["ENGINE", "ISA", "THREADS", "NATIVE_FOLDER"]) vi.stubEnv(`OSTINATO_${name}`, "");
  warn = vi.spyOn(console, "warn").mockImplementation(() => {});
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe("defaultEngine", () => {
  it.skipIf(!built)("is native where it is built, one per process, and says nothing", async () => {
    const { defaultEngine } = await freshly();
    expect(`native ${defaultEngine().isa}`).toBe(NATIVE_ENGINES[0][0]);
    expect(defaultEngine().detail).toBe(defaultEngine().isa);
    expect(defaultEngine()).toBe(defaultEngine());
    expect(warn).not.toHaveBeenCalled();
  });

  it("is WebAssembly where no addon is, and says so with the repair, without a warning", async () => {
    addons("none");
    const { defaultEngine } = await freshly();
    expect(defaultEngine().name).toBe("wasm");
    expect(defaultEngine().detail).toMatch(/^(relaxed-simd|simd128); native not built: ostinato build-native$/);
    expect(warn).not.toHaveBeenCalled();
  });

  it("is the reference when the environment says so", async () => {
    vi.stubEnv("OSTINATO_ENGINE", "reference");
    const engine = (await freshly()).defaultEngine();
    expect(engine.name).toBe("reference");
    expect(engine.memory.floatType).toBe("float32");
  });

  it("is WebAssembly when the environment says so, of either variant, and then tells of no other", async () => {
    vi.stubEnv("OSTINATO_ENGINE", "wasm");
    vi.stubEnv("OSTINATO_ISA", "simd128");
    const { name, detail } = (await freshly()).defaultEngine();
    expect([name, detail]).toEqual(["wasm", "simd128"]);
    vi.resetModules();
    vi.stubEnv("OSTINATO_ISA", "avx2");
    expect((await freshly()).defaultEngine).toThrow(/OST_ENGINE[\s\S]*no avx2[\s\S]*relaxed-simd or simd128/);
  });

  it.each(NATIVE_ENGINES)("is %s when the environment says so, with the threads it says", async (name) => {
    vi.stubEnv("OSTINATO_ISA", name.slice("native ".length));
    vi.stubEnv("OSTINATO_THREADS", "3");
    const engine = (await freshly()).defaultEngine();
    expect([`${engine.name} ${engine.isa}`, engine.threads, engine.detail]).toEqual([name, 3, `${engine.isa}, 3 threads`]);
  });

  it("refuses names and numbers that it does not know", async () => {
    vi.stubEnv("OSTINATO_ENGINE", "wsam");
    expect((await freshly()).defaultEngine).toThrow(/OST_ENGINE[\s\S]*set it to wasm/);
    vi.stubEnv("OSTINATO_ENGINE", "wasm");
    vi.stubEnv("OSTINATO_THREADS", "two");
    expect((await freshly()).defaultEngine).toThrow(/OST_ENGINE.*OSTINATO_THREADS.*expected 1 \.\. 64, or auto, got two/);
    vi.stubEnv("OSTINATO_THREADS", "");
    vi.stubEnv("OSTINATO_ENGINE", "native");
    vi.stubEnv("OSTINATO_ISA", "avx1024");
    expect((await freshly()).defaultEngine).toThrow(/OST_ENGINE[\s\S]*no avx1024[\s\S]*one of/);
  });

  it("does not stand in for native when native is asked for", async () => {
    addons("none");
    vi.stubEnv("OSTINATO_ENGINE", "native");
    expect((await freshly()).defaultEngine).toThrow(/OST_ENGINE[\s\S]*not available[\s\S]*not built[\s\S]*ostinato build-native/);
  });

  it("falls back loudly where WebAssembly lacks SIMD", async () => {
    addons("none");
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false);
    const { defaultEngine } = await freshly();
    expect(defaultEngine().name).toBe("reference");
    expect(defaultEngine().detail).toMatch(/in place of wasm.*cannot run/);
    expect(warn).toHaveBeenCalledTimes(1);
  });
});

describe("an addon that cannot be used is refused, with a warning that names it and the repair", () => {
  it("when it is no addon", async () => {
    const path = addons("garbage", { [`ostinato-${isa}.node`]: "this is no shared library" });
    const { defaultEngine } = await freshly();
    expect([defaultEngine().name, defaultEngine().detail]).toEqual(["wasm", expect.stringContaining("; native refused: ")]);
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/cannot be loaded \(.+\); ostinato build-native makes it anew/)]]);
    expect(warn.mock.calls[0][0]).toContain(join(path, `ostinato-${isa}.node`));
  });

  it.skipIf(!built)("when it was built from other sources, although another instruction set was not", async () => {
    const { nativeSets } = await import("./native.js");
    const files = nativeSets().filter(({ reason }) => reason === null);
    const stale = files[0];
    const bytes = readFileSync(stale.path as string);
    const at = bytes.indexOf(fingerprint);
    expect(at).toBeGreaterThan(0);
    bytes.write("0123456789abcdef", at, "latin1");
    const current = files.slice(1).map(({ isa, path }) => [`ostinato-${isa}.node`, readFileSync(path as string)]);

    addons("stale", { [`ostinato-${stale.isa}.node`]: bytes });
    const { defaultEngine, engineChoices } = await freshly();
    expect(defaultEngine().name).toBe("wasm");
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/was built from other sources; ostinato build-native/)]]);
    const choice = engineChoices().find(({ engine, isa }) => engine === "native" && isa === stale.isa);
    expect(choice?.reason).toBe("was built from other sources");

    vi.resetModules();
    warn.mockClear();
    addons("stale", Object.fromEntries(current));
    const engine = (await freshly()).defaultEngine();
    expect(engine.name).toBe(files.length > 1 ? "native" : "wasm");
    expect(warn).toHaveBeenCalledTimes(1);
  });
});

describe("engineChoices", () => {
  it("lists what there is and why not, with the reason that a build left", async () => {
    addons("unbuilt", { "not-built.txt": "no C compiler found (`cc`)\n" });
    const { engineChoices } = await freshly();
    const choices = engineChoices();
    expect(choices.at(-1)).toEqual({ engine: "reference", isa: "none", reason: null });
    expect(choices.filter(({ engine }) => engine === "wasm").map(({ isa }) => isa)).toEqual(["relaxed-simd", "simd128"]);
    const native = choices.filter(({ engine }) => engine === "native");
    expect(native.length).toBeGreaterThan(0);
    for (const { reason } of native) expect(reason).toBe("not built: no C compiler found (`cc`)");
  });
});

describe("the name of an arithmetic", () => {
  const engine = (name: string, isa: string, threads = 1) => ({ name, isa, threads, memory: { floatType: "float32" } as never });

  it("tells engines and instruction sets apart, neither threads nor what adds integers only", async () => {
    const { arithmeticOf, describeEngine } = await freshly();
    expect(arithmeticOf(engine("native", "avx512vnni", 4))).toBe("native avx512");
    expect(arithmeticOf(engine("native", "avx512"))).toBe("native avx512");
    expect(arithmeticOf(engine("native", "avx2"))).toBe("native avx2");
    expect(arithmeticOf(engine("wasm", "relaxed-simd"))).toBe("wasm relaxed-simd");
    expect(arithmeticOf(engine("reference", "none"))).toBe("reference float32");
    expect(describeEngine(engine("native", "avx512", 2))).toBe("native (avx512, 2 threads)");
    expect(describeEngine(engine("wasm", "simd128"))).toBe("wasm (simd128)");
  });

  it.skipIf(NATIVE_ENGINES.filter(([name]) => name.includes("avx512")).length < 2)("is that of the bits", async () => {
    const { lossTrace } = await import("../../test/golden/loss-trace.js");
    const [vnni, plain] = NATIVE_ENGINES.filter(([name]) => name.includes("avx512")).map(([, create]) => create());
    for (const cell of ["rnn", "lstm", "gru"] as const) expect(lossTrace(vnni, cell)).toEqual(lossTrace(plain, cell));
  });
});
