/**
 * @file Broken data: a column knows the answer.
 */
import { type BrokenEntry, between, classifying, forecasting, tagging } from "./entry.js";
import { feature, plain } from "./pipeline.js";
import { type Cells, made, noise, seasonal, states, walk } from "./signal.js";

const PROXY = (column: string, status: "warning" | "fault" | "leak" = "fault") => ({
  checks: ["target-proxy"],
  status,
  names: [new RegExp(column)],
});

export const proxy: BrokenEntry[] = [
  {
    name: "target-one-row-early-with-noise",
    what: "a feature is the target of the next row with a little noise",
    expect: PROXY("meter"),
    make: (rng) => {
      const count = between(rng, 600, 1300);
      const load = seasonal(rng, count + 1, { white: rng.uniform(0.6, 1.2) });
      const blur = noise(rng, count, 0.1);
      return forecasting(rng, { load: load.slice(0, count), meter: blur.map((error, i) => load[i + 1] + error) }, { horizon: 1 });
    },
  },
  {
    name: "target-of-the-horizon",
    what: "a feature is the target as many rows ahead as the horizon is long, in another unit",
    expect: PROXY("plan"),
    make: (rng) => {
      const count = between(rng, 600, 1200);
      const horizon = between(rng, 4, 8);
      const load = seasonal(rng, count + horizon, { white: 1 });
      const plan = made(count, (i) => 1.8 * load[i + horizon] + 32);
      const wind = walk(rng, count);
      return forecasting(rng, { load: load.slice(0, count), wind, plan }, { horizon });
    },
  },
  {
    name: "sign-of-the-next-change",
    what: "a flag says whether the next value is higher: one bit of the answer",
    expect: PROXY("rising", "warning"),
    make: (rng) => {
      const count = between(rng, 800, 1400);
      const load = walk(rng, count + 1);
      const rising = made(count, (i) => (load[i + 1] > load[i] ? 1 : 0));
      return forecasting(rng, { load: load.slice(0, count), rising }, { horizon: 1 });
    },
  },
  {
    name: "one-hot-of-the-next-label",
    what: "a 0/1 column holds whether the next row's label is a fault",
    expect: PROXY("alarm"),
    make: (rng) => {
      const machines = made(between(rng, 3, 5), (m) => m).map((m) => {
        const count = between(rng, 250, 400);
        const state = states(rng, count + 1, { states: 2, stay: 12 });
        return {
          entity: `machine-${m}`,
          columns: {
            flow: made(count, (i) => state[i] + 1.5 * rng.normal()),
            alarm: made(count, (i) => state[i + 1]),
            label: made(count, (i) => i).map((i) => (state[i] ? "fault" : "good")),
          },
        };
      });
      return tagging(rng, machines);
    },
  },
  {
    name: "rolling-share-of-the-label",
    what: "a rolling share of faults over five rows that includes the row's own label",
    expect: PROXY("fault_rate", "warning"),
    make: (rng) => {
      const machines = made(between(rng, 3, 5), (m) => m).map((m) => {
        const count = between(rng, 260, 420);
        const state = made(count, () => (rng.uniform() < 0.3 ? 1 : 0));
        const rate = state.map((_, i) => {
          const last = state.slice(Math.max(0, i - 4), i + 1);
          return last.reduce((sum, one) => sum + one, 0) / last.length;
        });
        return {
          entity: `machine-${m}`,
          columns: { flow: noise(rng, count), fault_rate: rate, label: state.map((one) => (one ? "fault" : "good")) },
        };
      });
      return tagging(rng, machines);
    },
  },
  {
    name: "rolling-quantile-with-the-target",
    what: "user code: the highest load of the last rows, the row to be predicted among them",
    expect: { checks: ["causality", "target-proxy"], status: "leak", names: [/load\.highest/] },
    make: (rng) => ({
      ...forecasting(rng, { load: seasonal(rng, between(rng, 600, 1200)) }, { horizon: 1 }),
      pipeline: plain("quantile.ts", (series) => {
        const load = feature(series);
        const highest = load.map((_, i) => {
          const last = [...load.subarray(Math.max(0, i - 4), i + 2)].sort((a, b) => a - b);
          return last[last.length - 1];
        });
        return { load, "load.highest": highest };
      }),
    }),
  },
  {
    name: "id-sorted-by-class",
    what: "an id counts up through the file, which is sorted by class",
    expect: { checks: ["id-column", "target-proxy"], status: "fault", names: [/record/] },
    make: (rng) => {
      const count = between(rng, 60, 90);
      let id = between(rng, 1000, 9000);
      const sessions = made(count, (s) => s).map((s) => {
        const rows = between(rng, 15, 25);
        const kind = Math.floor((3 * s) / count);
        id += between(rng, 1, 4);
        const record = id;
        return {
          entity: `s${s}`,
          label: ["a", "b", "c"][kind],
          columns: {
            value: noise(rng, rows).map((error, i) => error + Math.sin((i * (kind + 1)) / 3)),
            record: made(rows, () => record),
          },
        };
      });
      return classifying(rng, sessions);
    },
  },
  {
    name: "outcome-code",
    what: "a code that is given once the outcome is known, wrong in one session of thirty",
    expect: PROXY("code"),
    make: (rng) => {
      const sessions = made(between(rng, 80, 120), (s) => s).map((s) => {
        const rows = between(rng, 12, 30);
        const bad = rng.uniform() < 0.4;
        const code = (rng.uniform() < 1 / 30 ? !bad : bad) ? 17 : 4;
        return {
          entity: `s${s}`,
          label: bad ? "failed" : "done",
          columns: { value: noise(rng, rows).map((error) => error + (bad ? 0.3 : 0)), code: made(rows, () => code) },
        };
      });
      return classifying(rng, sessions);
    },
  },
  {
    name: "missingness-tells",
    what: "a column is only filled in once a fault was found: that it is missing tells the class",
    expect: PROXY("repair_minutes"),
    make: (rng) => {
      const sessions = made(between(rng, 70, 110), (s) => s).map((s) => {
        const rows = between(rng, 15, 30);
        const bad = rng.uniform() < 0.4;
        return {
          entity: `s${s}`,
          label: bad ? "fault" : "good",
          columns: {
            value: noise(rng, rows).map((error) => error + (bad ? 0.4 : 0)),
            repair_minutes: made(rows, (i) => i).map((i) => (bad && i > 2 ? rng.uniform(5, 60) : "")),
          },
        };
      });
      return classifying(rng, sessions, { missing: { policy: "value", value: 30, flag: true } });
    },
  },
  {
    name: "length-tells-the-class",
    what: "sessions that failed were cut short: their length is the class",
    expect: { checks: ["length-label"], status: "warning", names: [/length|row/i] },
    make: (rng) => {
      const sessions = made(between(rng, 70, 110), (s) => s).map((s) => {
        const bad = rng.uniform() < 0.4;
        const rows = bad ? between(rng, 8, 14) : between(rng, 16, 40);
        return { entity: `s${s}`, label: bad ? "failed" : "done", columns: { value: noise(rng, rows) } };
      });
      return classifying(rng, sessions);
    },
  },
  {
    name: "length-tells-without-order",
    what: "failed sessions are either cut short or retried for long: the length tells the class, though neither class is the longer one",
    expect: { checks: ["length-label"], status: "warning", names: [/length|row/i] },
    make: (rng) => {
      const sessions = made(between(rng, 110, 160), (s) => s).map((s) => {
        const bad = rng.uniform() < 0.5;
        const rows = bad ? (rng.uniform() < 0.5 ? between(rng, 6, 12) : between(rng, 34, 44)) : between(rng, 16, 30);
        return { entity: `s${s}`, label: bad ? "failed" : "done", columns: { value: noise(rng, rows) } };
      });
      return classifying(rng, sessions);
    },
  },
  {
    name: "position-tells-the-label",
    what: "every session was recorded until its fault: the label is a matter of how far the end is",
    expect: { checks: ["position-label"], status: "warning", names: [/position|row|step/i] },
    make: (rng) => {
      const sessions = made(between(rng, 30, 45), (s) => s).map((s) => {
        const rows = 40;
        const onset = between(rng, 29, 31);
        return {
          entity: `m${s}`,
          columns: {
            value: noise(rng, rows),
            label: made(rows, (i) => i).map((i) => (i >= onset ? "fault" : "good")),
          },
        };
      });
      return tagging(rng, sessions, { length: 40, split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2, seed: 1 } });
    },
  },
  {
    name: "proxy-among-thirty",
    what: "thirty honest features, and one that is the next target with half its noise",
    expect: PROXY("f17"),
    make: (rng) => {
      const count = between(rng, 700, 1200);
      const load = seasonal(rng, count + 1, { white: 1.5 });
      const columns: Cells & { load: number[] } = { load: load.slice(0, count) };
      for (let f = 0; f < 30; f++) {
        columns[`f${f}`] = f === 17 ? made(count, (i) => load[i + 1] + 0.3 * rng.normal()) : walk(rng, count);
      }
      return forecasting(rng, columns, { horizon: 1, length: 8 });
    },
  },
  {
    name: "target-known-ahead",
    what: "the configuration says that the target itself is known ahead: load.ahead is the answer",
    expect: { checks: ["target-proxy", "label-time"], status: "fault", names: [/load/] },
    make: (rng) => {
      const count = between(rng, 700, 1200);
      const load = seasonal(rng, count);
      const horizon = between(rng, 1, 3);
      const columns = { load, wind: walk(rng, count) };
      return forecasting(rng, columns, {
        features: ["wind"],
        known: { columns: ["load"], steps: horizon },
        missing: "forwardFill",
        horizon,
      });
    },
  },
  {
    name: "turned-and-half-missing",
    what: "a feature is the next target with its sign turned, and half of its rows are missing",
    expect: PROXY("dual"),
    make: (rng) => {
      const count = between(rng, 900, 1400);
      const load = seasonal(rng, count + 1, { white: 1 });
      const dual = made(count, (i) => i).map((i) => (rng.uniform() < 0.5 ? "" : -load[i + 1]));
      const columns = { load: load.slice(0, count), dual };
      return forecasting(rng, columns, { horizon: 1, missing: { policy: "forwardFill", flag: true } });
    },
  },
  {
    name: "monotone-but-not-linear",
    what: "a feature is the exponential of the target of the row to be predicted: hardly correlated, the same in order",
    expect: PROXY("index"),
    make: (rng) => {
      const count = between(rng, 800, 1300);
      const load = seasonal(rng, count + 1, { white: 1.5 });
      const index = made(count, (i) => Math.exp(1.5 * (load[i + 1] - 20)));
      return forecasting(rng, { load: load.slice(0, count), index }, { horizon: 1, scale: "robust" });
    },
  },
  {
    name: "square-of-the-next-value",
    what: "a feature is the square of the target of the row to be predicted: its size is known, not its sign",
    expect: PROXY("power", "warning"),
    make: (rng) => {
      const count = between(rng, 900, 1500);
      const load = noise(rng, count + 1, 2);
      const power = made(count, (i) => load[i + 1] ** 2);
      return forecasting(rng, { load: load.slice(0, count), power }, { horizon: 1 });
    },
  },
  {
    name: "code-of-the-next-label-of-five",
    what: "five states, and a number that stands for the state of the next row, in no order and wrong in one row of thirty",
    expect: PROXY("code", "warning"),
    make: (rng) => {
      const codes = [40, 10, 50, 20, 30];
      const machines = made(between(rng, 4, 6), (m) => m).map((m) => {
        const count = between(rng, 300, 450);
        const state = states(rng, count + 1, { states: 5, stay: 6 });
        return {
          entity: `machine-${m}`,
          columns: {
            flow: made(count, (i) => state[i] + 1.5 * rng.normal()),
            code: made(count, (i) => codes[rng.uniform() < 1 / 30 ? rng.integer(5) : state[i + 1]]),
            label: made(count, (i) => i).map((i) => `state-${state[i]}`),
          },
        };
      });
      return tagging(rng, machines);
    },
  },
];
