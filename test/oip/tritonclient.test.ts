/** The real Python tritonclient against this server. Its interpreter: `TRITONCLIENT_PYTHON`, default python3. */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { openStack } from "./stack.js";

const PYTHON = process.env["TRITONCLIENT_PYTHON"] ?? "python3";
const SCRIPT = fileURLToPath(new URL("./triton_client.py", import.meta.url));

const probe = spawnSync(PYTHON, ["-W", "ignore", "-c", "import tritonclient.http, tritonclient.grpc.aio"], { encoding: "utf8" });
const isThere = probe.status === 0;
if (!isThere) {
  console.warn(
    `SKIPPED: the real tritonclient is not run: ${PYTHON} has no tritonclient[http,grpc] (${(probe.stderr ?? "").trim().split("\n").at(-1)})`,
  );
}

it.skipIf(!isThere)("answers the real tritonclient over HTTP, gRPC and streams", { timeout: 180_000 }, async () => {
  const stack = await openStack();
  try {
    const child = spawn(PYTHON, ["-W", "ignore", SCRIPT, stack.httpAddress, stack.grpcAddress], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(said).not.toContain("FAILED");
    expect(code, said).toBe(0);
    expect(said.match(/^ok /gm)?.length).toBe(17);
    expect(stack.faults).toEqual([]);
  } finally {
    await stack.close();
  }
});
