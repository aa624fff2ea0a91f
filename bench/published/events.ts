/**
 * @file Anomalies. Log-key sessions of HDFS, a session judged whole, those of fewer than eleven keys anomalous by rule; and three groups of files
 * of the Numenta Anomaly Benchmark, a network for each file.
 */
import { type ResultRow, scripted, trained } from "./row.js";

function sessions(name: string, own: Pick<ResultRow, "metric" | "higherIsBetter" | "bar">, metric: string): ResultRow {
  return {
    name,
    data: "events-deeplog-hdfs",
    ...own,
    published: "recall 0.964, precision 0.951 (DeepLog, all 553,366 normal sessions)",
    run: ({ data, seed }) =>
      trained("examples/detect/hdfs.yaml", {
        set: [`data.source=${data}/hdfs_*.txt`, "evaluation.rivals=false"],
        seed,
        metric,
        higherIsBetter: own.higherIsBetter,
        rank: { metric: "f1", higherIsBetter: true },
      }),
  };
}

/** Counts of one detector, as `examples/detect/nab.ts` prints them. */
interface Tally {
  windows: number;
  hit: number;
  alarms: number;
  outside: number;
  trainSeconds: number;
}

function windows(
  name: string,
  own: Pick<ResultRow, "metric" | "higherIsBetter" | "bar">,
  figure: (tally: Tally) => number,
): ResultRow {
  return {
    name,
    data: "anomaly-nab",
    ...own,
    published: "none of recurrent networks; the official scoreboard weighs hits by their time",
    run({ data, seed }) {
      const [[, network], ...others] = Object.entries(
        scripted<Record<string, Tally>>("examples/detect/nab.ts", [data, String(seed)]),
      );
      const [rival, best] = others.sort(([, a], [, b]) => b.hit - a.hit)[0];
      return {
        value: figure(network),
        trainSeconds: network.trainSeconds,
        baseline: `${rival.trim()} ${figure(best).toFixed(3)}`,
      };
    },
  };
}

export const rows: ResultRow[] = [
  sessions("HDFS recall", { metric: "share of abnormal sessions found", higherIsBetter: true, bar: 0.95 }, "recall"),
  sessions(
    "HDFS false alarms",
    { metric: "share of normal sessions called anomalous", higherIsBetter: false, bar: 0.01 },
    "falsePositiveRate",
  ),
  windows(
    "NAB windows",
    { metric: "share of labelled windows hit", higherIsBetter: true, bar: 0.6 },
    ({ hit, windows }) => hit / windows,
  ),
  windows(
    "NAB false alarms",
    { metric: "alarms outside of windows per 1,000 steps", higherIsBetter: false, bar: 2 },
    ({ alarms, outside }) => (1000 * alarms) / outside,
  ),
];
