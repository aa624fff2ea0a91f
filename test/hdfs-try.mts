import { loadConfig } from "/work/main/src/cli/config-file.ts";
import { readExperimentFiles } from "/work/main/src/cli/data-file.ts";
import { parseConfig } from "/work/main/src/tasks/index.ts";
import { prepareExperiment } from "/work/main/src/tasks/experiment.ts";
import { fitNetwork, evaluationBatches } from "/work/main/src/tasks/fit-network.ts";
import { taskOf } from "/work/main/src/tasks/task.ts";
import { fitDetection, scoreAlerts, surprisesOf } from "/work/main/src/tasks/detection.ts";
import { networkPredictor } from "/work/main/src/model/index.ts";
const sets = ["data.source=/work/shared/data/events-deeplog-hdfs/hdfs_*.txt"];
const { config: base } = await loadConfig("/work/main/examples/detect/hdfs.yaml", { set: sets });
const { table } = await readExperimentFiles(base);
const variants: [string, string[]][] = [
  ["LSTM 64", []],
  ["GRU 32", ["model.cell=gru", "model.hiddenSize=32"]],
  ["LSTM 32", ["model.hiddenSize=32"]],
  ["LSTM 2x64 window 10", ["model.numLayers=2", "window.length=10"]],
  ["GRU 32 drop .2", ["model.cell=gru", "model.hiddenSize=32", "model.dropout=0.2"]],
  ["LSTM 64 smooth", ["train.labelSmoothing=0.1"]],
];
for (const [name, set] of variants) {
  for (const seed of [7, 8]) {
    const { config } = await loadConfig("/work/main/examples/detect/hdfs.yaml", { set: [...sets, ...set, `train.seed=${seed}`] });
    const { prepared, spec } = prepareExperiment(config, table);
    const fitted = await fitNetwork(config, prepared, spec, taskOf(config).architecture(spec));
    const predictor = networkPredictor(name, fitted.network, spec);
    const val = surprisesOf((b) => predictor.predict(b), evaluationBatches(config, prepared, "validation"), spec);
    const test = surprisesOf((b) => predictor.predict(b), evaluationBatches(config, prepared, "test"), spec);
    const out: string[] = [];
    for (const detect of [{ rank: 9 }, { rank: undefined, threshold: { per1000: 10 } }, { rank: undefined, threshold: { per1000: 3 } }]) {
      for (const shortest of [11, 1]) {
        const c = { ...config, detect: { ...config.detect!, ...detect, shortest } };
        const d = fitDetection(c, prepared, "validation", val);
        const m = scoreAlerts(prepared, "test", test, d).metrics as any;
        out.push(`${d.threshold}/${shortest}: ${(100 * m.falsePositiveRate).toFixed(2)}% ${m.recall.toFixed(3)}`);
      }
    }
    console.log(name, seed, out.join(" | "));
  }
}
