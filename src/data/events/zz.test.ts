import { readFileSync } from "node:fs";
import { parse } from "csv-parse/sync";
import { it } from "vitest";
import { LogMiner } from "./log-miner.js";
function ga(cs: (string | number)[], ev: string[]) {
  const m = new Map<any, Set<string>>(), n = new Map<string, Set<any>>();
  cs.forEach((c, i) => { m.set(c, (m.get(c) ?? new Set()).add(ev[i])); n.set(ev[i], (n.get(ev[i]) ?? new Set()).add(c)); });
  return cs.filter((c, i) => m.get(c)!.size === 1 && n.get(ev[i])!.size === 1).length / cs.length;
}
it("x", () => {
  const sum = new Map<string, number>();
  for (const name of "HDFS Hadoop Spark Zookeeper BGL HPC Thunderbird Windows Linux Android HealthApp Apache Proxifier OpenSSH OpenStack Mac".split(" ")) {
    const rows = parse(readFileSync(`/tmp/loghub/${name}_2k.log_structured.csv`), { columns: true, relax_quotes: true }) as any[];
    const ev = rows.map((r) => r.EventId), lines = rows.map((r) => r.Content);
    const o: string[] = [];
    for (const depth of [4, 5]) for (const similarity of [0.4, 0.5, 0.6, 0.7]) {
      const m = new LogMiner({ depth, similarity }); const c = lines.map((l) => m.learn(l));
      const g = ga(c, ev); o.push(g.toFixed(3)); const k = `${depth} ${similarity}`; sum.set(k, (sum.get(k) ?? 0) + g / 16);
    }
    console.log(name.padEnd(12), o.join(" "));
  }
  console.log(sum);
});
