import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServer, type Server } from "../../src/serve/server.js";
import { Browser, findChromium } from "../support/chromium.js";
import { ProbeModel } from "../support/probe-model.js";

// @ts-expect-error: a build script without declarations
const { buildStudio } = (await import("../../studio/build.mjs")) as { buildStudio: (folder: string) => Promise<void> };

/** A busy machine may be slow; a failing law fails all the same. */
const PATIENT = { timeout: 20_000 };
const chromium = findChromium();
const key = "page-key";

const CLASSES = ["idle", "busy", "odd", "late"];

/** A probe with many inputs, a smooth state and a changing mind, so that the pictures have something to show. */
class PageModel extends ProbeModel {
  override readonly columns = Array.from({ length: 20 }, (_, i) => (i === 0 ? "value" : `column${i}`));

  constructor() {
    super();
    Object.assign(this, { task: "tag", classes: CLASSES, targets: [], horizon: 0, outputSize: CLASSES.length });
  }

  override advance(items: Parameters<ProbeModel["advance"]>[0]): ReturnType<ProbeModel["advance"]> {
    return super.advance(items).map((result) => {
      if (!("state" in result)) return result;
      const predictions = result.predictions.map(({ time, values: [, low] }) => ({
        time,
        values: Float64Array.from(CLASSES, (_, c) => (c === low % CLASSES.length ? 0.7 : 0.1)),
      }));
      return { ...result, predictions };
    });
  }

  override view(state: ReturnType<ProbeModel["initialState"]>): Float32Array {
    return Float32Array.from({ length: 48 }, (_, unit) => Math.sin(state.steps / (5 + unit)) * Math.min(1, state.steps / 20));
  }
}

describe.skipIf(!chromium)("the live page (needs Chromium)", () => {
  let server: Server;
  let url: string;
  let folder: string;
  let browser: Browser;
  let port: number;

  const start = async () => {
    const models = new Map([["probe", new PageModel()]]);
    server = await createServer({ models, port, studioFolder: folder, engineName: "reference", logger: false, sentinel: false });
    url = (await server.listen()).http;
    port = Number(new URL(url).port);
    await post("/v1/models/probe/sessions", { id: "this machine" });
  };
  const post = async (path: string, body: unknown) => {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(response.ok).toBe(true);
  };
  const push = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const record = Object.fromEntries(new PageModel().columns.map((name, k) => [name, Math.sin(i / (3 + k)) + k]));
      await post("/v1/models/probe/sessions/this%20machine/steps", { record });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const text = (id: string) => browser.evaluate<string>(`document.getElementById(${JSON.stringify(id)}).textContent`);
  const picture = async (name: string) => {
    const target = process.env["OSTINATO_SCREENSHOTS"];
    if (target) await writeFile(join(target, `${name}.png`), await browser.screenshot());
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ostinato-studio-"));
    await buildStudio(folder);
    port = 0;
    await start();
    browser = await Browser.open(chromium as string, { width: 1280, height: 760 });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("asks for session and key where the address names none", async () => {
    await browser.goto(`${url}/`);
    await expect.poll(() => browser.evaluate<boolean>("!document.getElementById('open')?.hidden"), PATIENT).toBe(true);
  });

  it("shows what the model thinks now, inputs, probabilities, hidden state and facts, without scrolling on a laptop", async () => {
    await browser.goto(`${url}/#${new URLSearchParams({ session: "this machine", key })}`);
    await expect.poll(() => text("status"), PATIENT).toBe("live");
    await push(60);
    await expect.poll(() => text("word"), PATIENT).toMatch(/^(idle|busy|odd|late) 0\.70$/);
    await expect
      .poll(() => text("facts"), PATIENT)
      .toMatch(/this machine.*owner [0-9a-f]{12}.*60 steps old.*resets 0.*µs.*reference/);
    expect(await browser.evaluate<number>("document.querySelectorAll('#inputs canvas').length")).toBe(20);
    const painted = (id: string) =>
      browser.evaluate<number>(
        `(() => { const c = document.getElementById("${id}"); return new Set(new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer)).size; })()`,
      );
    expect(await painted("band")).toBeGreaterThan(3);
    expect(await painted("heat")).toBeGreaterThan(20);
    expect(await browser.evaluate<boolean>("document.documentElement.scrollHeight <= innerHeight")).toBe(true);
    await picture("laptop");
  });

  it("shows everything at the instant pointed at, and goes back to now", async () => {
    const { x, y } = await browser.evaluate<{ x: number; y: number }>(
      "(({ right, top }) => ({ x: right - 6, y: top + 10 }))(document.getElementById('band').getBoundingClientRect())",
    );
    await browser.movePointer(x, y);
    await expect.poll(() => text("when"), PATIENT).toMatch(/s earlier · step \d+/);
    await picture("hover");
    await browser.movePointer(2, 2);
    await expect.poll(() => text("when"), PATIENT).toBe("now");
  });

  it("resets the state on demand and shows it", async () => {
    await browser.evaluate("document.getElementById('reset').click()");
    await expect.poll(() => text("facts"), PATIENT).toMatch(/ 0 steps old.*resets 1/);
    await push(3);
    await expect.poll(() => text("facts"), PATIENT).toMatch(/ 3 steps old/);
  });

  it("says that the server is gone, keeps what it has, and comes back by itself", async () => {
    await server.close();
    await expect.poll(() => text("status"), PATIENT).toMatch(/no answer since/);
    expect(await text("word")).toMatch(/0\.70/);
    await picture("dead");
    await start();
    await expect.poll(() => text("status"), PATIENT).toBe("live");
    await push(2);
    await expect.poll(() => text("facts"), PATIENT).toMatch(/ 2 steps old/);
  });

  it("breaks no policy of its own, and sends the key in no address", async () => {
    expect(browser.errors).toEqual([]);
    const addresses = await browser.evaluate<string[]>("performance.getEntriesByType('resource').map(({ name }) => name)");
    expect(addresses.length).toBeGreaterThan(0);
    expect(addresses.join("\n")).not.toContain(key);
  });

  it("fits a phone", async () => {
    const phone = await Browser.open(chromium as string, { width: 390, height: 844, mobile: true });
    try {
      await phone.goto(`${url}/#${new URLSearchParams({ session: "this machine", key })}`);
      await expect.poll(() => phone.evaluate<string>("document.getElementById('status').textContent"), PATIENT).toBe("live");
      await push(5);
      expect(await phone.evaluate<boolean>("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      const target = process.env["OSTINATO_SCREENSHOTS"];
      if (target) await writeFile(join(target, "phone.png"), await phone.screenshot());
    } finally {
      await phone.close();
    }
  });
});
