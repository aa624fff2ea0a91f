import { mkdtempSync, rmSync } from "node:fs";
import { MUTANTS } from "/work/main/test/proof/mutants/bank.ts";
import { runLive } from "/work/main/test/proof/mutants/live.ts";
import { runSuite } from "/work/main/test/proof/mutants/suite.ts";
import { Tree } from "/work/main/test/proof/mutants/tree.ts";
const [mode, filter] = process.argv.slice(2);
const folder = mkdtempSync("/tmp/ostinato-mut-");
const tree = new Tree(folder + "/tree");
const t = () => new Date().toISOString().slice(14, 19);
try {
  if (mode === "control") console.log(t(), JSON.stringify(await runLive(tree, Number(filter ?? 20) * 1000)));
  else if (mode === "base") console.log(t(), JSON.stringify(await runSuite(tree)));
  else for (const m of MUTANTS.filter((m) => (mode === "live" ? m.leaks : true) && (!filter || m.name.includes(filter)))) {
    try { const r = await tree.with(m, () => mode === "live" ? runLive(tree, 60000) : runSuite(tree)) as any;
    console.log(t(), mode === "live" ? (r.seconds !== null && !r.ready && r.counted > 0 ? "seen" : "UNSEEN") : r.caughtBy ? "caught" : "SURVIVED", m.name, JSON.stringify(r).slice(0, 300)); }
    catch (e) { console.log(t(), "BROKEN", m.name, String(e).slice(0, 500)); }
  }
} finally { rmSync(folder, { recursive: true, force: true }); }
