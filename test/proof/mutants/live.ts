/** @file A live server of a tree, in a process of its own, until its leak sentinel sees something. */
import { mkdtempSync } from "node:fs";
import { Child } from "../child.js";
import type { LiveJob, LiveReport } from "./live-server.js";
import type { Tree } from "./tree.js";

export async function runLive(tree: Tree, patienceMs: number): Promise<LiveReport> {
  const job: LiveJob = { folder: mkdtempSync(tree.path("served-")), patienceMs };
  const execArgv = ["--conditions=ostinato-source", "--import", import.meta.resolve("tsx")];
  const child = new Child(tree.path("test/proof/mutants/live-server.ts"), job, { execArgv });
  try {
    return (await child.next<{ report: LiveReport }>("report")).report;
  } finally {
    await child.end();
  }
}
