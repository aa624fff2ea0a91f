import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { Browser, findChromium } from "../../test/support/chromium.js";
import { startStreamServer } from "../../test/support/stream-server.js";
import { probeReference } from "../model/probe.js";

const chromium = findChromium();
if (!chromium) console.warn("skipped: the client in a browser; no Chromium is installed");

it.skipIf(!chromium)("runs in a browser, credential and all", { timeout: 60_000 }, async () => {
  const entry = fileURLToPath(new URL("./index.ts", import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, format: "esm", platform: "browser" });
  const [{ text }] = outputFiles;
  const server = await startStreamServer();
  const pages = createServer((request, response) => {
    const script = request.url === "/client.js";
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ? text : "<!doctype html><title>client</title>");
  });
  await new Promise<void>((resolve) => pages.listen(0, "127.0.0.1", resolve));
  const page = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  const browser = await Browser.open(chromium as string, { width: 400, height: 300 });
  try {
    await browser.goto(page);
    const run = (key: string) => `(async () => {
      const { connect } = await import("${page}/client.js");
      const client = await connect("${server.url}", { key: ${JSON.stringify(key)}, firstMs: 1000 });
      const sessions = await Promise.all([1, 2, 3].map((n) => client.session("probe", { id: { number: "1844674407370955161" + n } })));
      const answers = await Promise.all(sessions.flatMap((s, n) => [s.step([n]), s.step({ value: 2 }), s.step(Float32Array.of(3, 4))]));
      client.close();
      return { ids: sessions.map((s) => s.id.number), hashes: answers.map((a) => [...a.numbers.values].slice(-2)) };
    })().catch((error) => ({ code: error.code }))`;
    await expect.poll(() => browser.evaluate("location.href")).toBe(`${page}/`);
    const { ids, hashes } = await browser.evaluate<{ ids: string[]; hashes: number[][] }>(run("secret"));
    expect(ids).toEqual(["18446744073709551611", "18446744073709551612", "18446744073709551613"]);
    const expected = [0, 1, 2].flatMap((n) => {
      const all = probeReference([n, 2, 3, 4]);
      return [all[0], all[1], all[3]];
    });
    expect(hashes).toEqual(expected);
    // A browser hides why a handshake failed.
    expect(await browser.evaluate(run("wrong"))).toEqual({ code: "OST_DEADLINE" });
    expect(server.side.connections).toBe(0);
  } finally {
    await browser.close();
    pages.close();
    await server.close();
  }
});
