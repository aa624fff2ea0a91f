import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

/** A module of its own each time, because the engine is made once per process. */
async function defaultEngine() {
  return (await import("./engine.js")).defaultEngine;
}

describe("defaultEngine", () => {
  beforeEach(() => {
    vi.resetModules();
    vi.stubEnv("OSTINATO_ENGINE", "");
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  it("is WebAssembly, one per process", async () => {
    const get = await defaultEngine();
    expect(get().name).toBe("wasm");
    expect(get()).toBe(get());
  });

  it("is the reference when the environment says so", async () => {
    vi.stubEnv("OSTINATO_ENGINE", "reference");
    const engine = (await defaultEngine())();
    expect(engine.name).toBe("reference");
    expect(engine.memory.floatType).toBe("float32");
  });

  it("refuses a name it does not know and proposes the nearest", async () => {
    vi.stubEnv("OSTINATO_ENGINE", "wsam");
    const get = await defaultEngine();
    expect(get).toThrow(/OST_ENGINE[\s\S]*set it to wasm/);
  });

  it("falls back loudly where WebAssembly lacks SIMD", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false);
    const get = await defaultEngine();
    expect(get().name).toBe("reference");
    expect(get().detail).toMatch(/in place of wasm.*cannot run/);
    expect(warn).toHaveBeenCalledTimes(1);
  });
});
