import { describe, expect, it } from "vitest";
import { contest } from "./contest.js";
import type { Launch } from "./contestant.js";

/** A contender that computes nothing and answers from a table. */
function actor(name: string, answers: Record<string, object>, about: object = {}): Launch {
  const script = `
    const answers = ${JSON.stringify(answers)};
    const say = (value) => console.log(JSON.stringify(value));
    say({ name: ${JSON.stringify(name)}, version: "1", engine: "wasm", isa: "simd128", threads: 1, ...${JSON.stringify(about)} });
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const answer = answers[line.split(" ")[0]];
      if (!answer) process.exit(1);
      say(answer);
    });`;
  return { name, threads: 1, env: {}, command: [process.execPath, "-e", script] };
}

const limits = { peak: { gflops: 40, how: "" }, "read:1000000": { gbps: 10 } };
const work = { steps: 1, flops: 10e6, bytes: 1e6 };

async function run(own: Launch[], peers: Launch[], workload = "W1") {
  const missed: string[] = [];
  const rows = await contest(workload, {
    own,
    peers: peers.map((peer) => ({ ...peer, workloads: { W1: "W1", W5gru: "W5gru" } })),
    rounds: 3,
    note: () => {},
    miss: (text) => missed.push(text),
  });
  return { rows, missed };
}

describe("contest", () => {
  it("reports a peer's time over ours, and ours against the limits", async () => {
    const ours = actor("ours", { ...limits, W1: { ...work, ms: 2 } });
    const { rows, missed } = await run([ours], [actor("them", { W1: { ms: 5, steps: 1 } })]);
    expect(missed).toEqual([]);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ workload: "W1", engine: "wasm", isa: "simd128", ms: 2, gflops: 5, peakShare: 0.125 });
    expect(rows[0].bandwidthShare).toBeCloseTo(0.05);
    expect(rows[0].peers).toEqual({ them: { ms: 5, ratio: 2.5, low: 2.5, high: 2.5 } });
  });

  it("counts the median of single steps where a workload is a stream, and names a peer's variant", async () => {
    const ours = actor("ours", { ...limits, W5gru: { ...work, ms: 9, p50: 4e-3, p99: 6e-3 } });
    const them = actor("them", { W5gru: { steps: 1, ms: 9, p50: 0.08, p99: 0.2, variant: "frozen" } });
    const { rows } = await run([ours], [them], "W5gru");
    expect(rows[0]).toMatchObject({ ms: 4e-3, p99: 6e-3 });
    expect(rows[0].peers["them"]).toMatchObject({ ms: 0.08, variant: "frozen" });
    expect(rows[0].peers["them"].ratio).toBeCloseTo(20);
  });

  it("gives our engine in a browser a row of its own, and a column in the others' rows", async () => {
    const ours = actor("ours", { ...limits, W5gru: { ...work, ms: 9, p50: 4e-3, p99: 6e-3 } });
    const paged = actor("paged", { ...limits, W5gru: { ...work, ms: 9, p50: 5e-3 } }, { runtime: "Chromium 1.2" });
    const { rows } = await run([ours, paged], [actor("them", { W5gru: { steps: 1, ms: 9, p50: 0.02, p99: 0.2 } })], "W5gru");
    expect(rows.map(({ runtime }) => runtime)).toEqual([undefined, "Chromium 1.2"]);
    expect(Object.keys(rows[0].peers)).toEqual(["paged", "them"]);
    expect(rows[0].peers["paged"].ratio).toBeCloseTo(1.25);
    expect(rows[1]).not.toHaveProperty("p99");
    expect(Object.keys(rows[1].peers)).toEqual(["them"]);
    expect(rows[1].peers["them"].ratio).toBeCloseTo(4);
  });

  it("measures what the public interface costs over the kernels", async () => {
    const ours = actor("ours", { ...limits, W4: { ...work, ms: 1.2 }, W4raw: { ...work, ms: 1 } });
    const { rows } = await run([ours], [], "W4");
    expect(rows[0].overRaw).toBeCloseTo(1.2);
  });

  it("names whoever refuses, dies or does not come up, and goes on with the others", async () => {
    const ours = actor("ours", { ...limits, W1: { ...work, ms: 2 } });
    const refuses = actor("refuses", { W1: { error: "no such thing here" } });
    const dies = actor("dies", {});
    const absent: Launch = { name: "absent", threads: 1, env: {}, command: [process.execPath, "no-such-file.js"] };
    const { rows, missed } = await run([ours], [refuses, dies, absent]);
    expect(rows[0].peers).toEqual({});
    expect(missed.map((text) => text.split(":")[0])).toEqual(["refuses on W1", "dies on W1", "absent on W1"]);
    expect(missed[0]).toContain("no such thing here");
    expect(missed[2]).toContain("no-such-file.js");
  });
});
