import { it } from "vitest";
import { seed } from "/work/main/src/core/rng.js";
import { Preprocessing, toSeries, tableFromRecords } from "/work/main/src/data/index.js";
import { buildNetwork, networkPredictor, recurrentSpec, toStream, type LoadedModel } from "/work/main/src/model/index.js";
import { defaultEngine, describeEngine } from "/work/main/src/kernels/index.js";

const features = Array.from({ length: 16 }, (_, i) => `f${i}`);
function make(scale: "none" | "standard", task: "tag"|"forecast"): LoadedModel {
  const rng = seed(1);
  const rows = 200;
  const series = { entity: "a", rows, row: Int32Array.from({length: rows}, (_, i) => i), time: null, features: Float64Array.from({ length: rows * 16 }, () => rng.normal()), target: Float64Array.from({length: rows}, () => rng.normal()), labels: null, split: null } as any;
  const P = Preprocessing as any;
  const base = new P({ roles: { time: null, entity: null, features, target: ["f0"] }, targetKind: "values", categories: [], transforms: [], targetScaler: null, classes: [] });
  let preprocessing = base;
  if (scale === "standard") preprocessing = Preprocessing.fit([series], { roles: { time: null, entity: null, features, target: ["f0"] }, targetKind: "values", scale } as any, [new Uint8Array(rows)]);
  if (task === "tag") preprocessing = new P({ roles: { time: null, entity: null, features, target: ["f0"] }, targetKind: "tags", categories: [], transforms: preprocessing.transforms, targetScaler: null, classes: Array.from({length: 12}, (_, i) => `c${i}`) });
  else if (scale === "none") preprocessing = new P({ roles: base.roles, targetKind: "values", categories: [], transforms: [], targetScaler: { invert: (v: number) => v, toJSON: () => null }, classes: [] });
  const spec = { ...preprocessing.spec({ length: 1, horizon: task === "forecast" ? 12 : 0, everyStep: true }) };
  const architecture = recurrentSpec({ cell: "gru", inputSize: 16, hiddenSize: 64, outputSize: 12 });
  const network = buildNetwork(architecture, { rng: seed(2) });
  const header = { name: "t", task, mode: "streaming", streaming: "carried", windowLength: 0, architecture, spec, normalize: "none", preprocessing: null, report: null, provenance: null } as any;
  return { header, preprocessing, network, predictor: networkPredictor("t", network, spec), weights: "float32", hash: "0".repeat(64), bytes: 0 };
}
it("time", () => {
  console.log(describeEngine(defaultEngine()));
  for (const scale of ["none", "standard"] as const) for (const task of ["forecast", "tag"] as const) {
    const stream = toStream(make(scale, task));
    const rng = seed(3);
    const out: string[] = [];
    for (const batch of [1, 16, 64, 256]) {
      let states = Array.from({ length: batch }, () => stream.initialState());
      const rows = Array.from({ length: batch }, () => stream.readValues(Float64Array.from({ length: 16 }, () => rng.normal())));
      const flat = Float64Array.from({ length: 16*batch }, () => rng.normal());
      const run = (n: number) => {
        for (let k = 0; k < n; k++) {
          const items = states.map((state, i) => ({ row: stream.readValues(flat, i * 16), state }));
          const r = stream.advance(items);
          states = r.map((x) => (x as any).state);
        }
      };
      run(Math.ceil(20000 / batch));
      let best = 0;
      for (let rep = 0; rep < 5; rep++) {
        const n = Math.ceil(60000 / batch);
        const t0 = performance.now();
        run(n);
        best = Math.max(best, (n * batch) / ((performance.now() - t0) / 1000));
      }
      out.push(`${batch}: ${Math.round(best / 1000)}k`);
    }
    console.log(scale, task, out.join("  "));
  }
}, 120000);
