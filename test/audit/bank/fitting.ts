/**
 * @file Broken pipelines whose statistics were fitted on more than the training part.
 */
import { type BrokenEntry, between, configured, forecasting, tagging } from "./entry.js";
import { deviation, feature, gathered, mean, pipeline, quantile, TEST, TRAIN, VALIDATION } from "./pipeline.js";
import { autoregressive, type Cells, heavyTailed, made, seasonal, states, times, withGaps } from "./signal.js";

const FITTED = (column: string) => ({ checks: ["fit-scope"], status: "leak" as const, names: [new RegExp(column)] });

export const fitting: BrokenEntry[] = [
  {
    name: "scaled-on-train-and-validation",
    what: "mean and deviation fitted on train and validation",
    expect: FITTED("load"),
    make: (rng) => ({
      ...forecasting(rng, { load: seasonal(rng, between(rng, 600, 1400)) }),
      pipeline: pipeline("scale.ts", (series, parts) => {
        const seen = gathered(series, parts, 0, (code) => code === TRAIN || code === VALIDATION);
        const [middle, spread] = [mean(seen), deviation(seen)];
        return (one) => ({ load: feature(one).map((value) => (value - middle) / spread) });
      }),
    }),
  },
  {
    name: "median-of-all-rows",
    what: "median and quartiles of all rows, the robust scaling of the whole file",
    expect: FITTED("heat"),
    make: (rng) => {
      const count = between(rng, 500, 1100);
      const heat = heavyTailed(rng, count).map((value, i) => value + (i > 0.8 * count ? 1 : 0));
      return {
        ...forecasting(rng, { load: seasonal(rng, count), heat }),
        pipeline: pipeline("robust.ts", (series, parts) => {
          const seen = gathered(series, parts, 1, () => true);
          const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(seen, share));
          return (one) => ({ load: feature(one), heat: feature(one, 1).map((value) => (value - middle) / (high - low)) });
        }),
      };
    },
  },
  {
    name: "largest-of-test",
    what: "only the upper bound of a min-max scaling comes from all rows; everything else from training rows",
    expect: FITTED("flow"),
    make: (rng) => {
      const count = between(rng, 600, 1200);
      const flow = autoregressive(rng, count, 0.6).map((value, i) => value * (1 + i / count));
      return {
        ...forecasting(rng, { load: seasonal(rng, count), flow }),
        pipeline: pipeline("bounds.ts", (series, parts) => {
          const low = quantile(
            gathered(series, parts, 1, (code) => code === TRAIN),
            0,
          );
          const high = quantile(
            gathered(series, parts, 1, () => true),
            1,
          );
          return (one) => ({ load: feature(one), flow: feature(one, 1).map((value) => (value - low) / (high - low)) });
        }),
      };
    },
  },
  {
    name: "mean-per-machine-over-all",
    what: "the mean of each machine over its whole life, as a static feature",
    expect: FITTED("flow\\.mean"),
    make: (rng) => {
      const machines = made(between(rng, 4, 7), (m) => m).map((m) => {
        const count = between(rng, 150, 260);
        const state = states(rng, count, { states: 2, stay: 12 });
        const level = rng.uniform(-4, 4);
        return {
          entity: `machine-${m}`,
          columns: { flow: state.map((on) => level + on + rng.normal()), label: state.map((on) => (on ? "run" : "idle")) },
        };
      });
      return {
        ...tagging(rng, machines),
        pipeline: pipeline("static.ts", (series) => {
          const means = new Map(series.map((one) => [one.entity, mean(feature(one))]));
          return (one) => ({
            flow: feature(one),
            "flow.mean": new Float64Array(one.rows).fill(means.get(one.entity) ?? 0),
          });
        }),
      };
    },
  },
  {
    name: "target-encoding-over-all",
    what: "a category is encoded by the mean target of all rows, test included",
    expect: FITTED("product"),
    make: (rng) => {
      const count = between(rng, 700, 1300);
      const kinds = between(rng, 5, 12);
      const product = made(count, () => rng.integer(kinds));
      const effect = made(kinds, () => 2 * rng.normal());
      const load = seasonal(rng, count).map((value, i) => value + effect[product[i]]);
      return {
        ...forecasting(rng, { load, product }),
        pipeline: pipeline("encode.ts", (series) => {
          const sums = new Map<number, [sum: number, count: number]>();
          for (const one of series) {
            const codes = feature(one, 1);
            codes.forEach((code, i) => {
              const [sum, seen] = sums.get(code) ?? [0, 0];
              sums.set(code, [sum + (one.target as Float64Array)[i], seen + 1]);
            });
          }
          return (one) => ({
            load: feature(one),
            "product.encoded": feature(one, 1).map((code) => {
              const [sum, seen] = sums.get(code) ?? [0, 1];
              return sum / seen;
            }),
          });
        }),
      };
    },
  },
  {
    name: "fill-value-of-all-rows",
    what: "a gap is filled with the mean of all rows: only filled cells know the future",
    expect: FITTED("heat"),
    make: (rng) => {
      const count = between(rng, 700, 1300);
      const heat = withGaps(rng, autoregressive(rng, count, 0.9), 0.08, 3);
      return {
        ...forecasting(rng, { load: seasonal(rng, count), heat }, { missing: { policy: "value" } }),
        pipeline: pipeline("fill-mean.ts", (series, parts) => {
          const middle = mean(gathered(series, parts, 1, () => true));
          return (one) => ({
            load: feature(one),
            heat: feature(one, 1).map((value) => (Number.isNaN(value) ? middle : value)),
          });
        }),
      };
    },
  },
  {
    name: "rank-among-all-rows",
    what: "each value becomes its rank among all rows of the file",
    expect: FITTED("price"),
    make: (rng) => {
      const count = between(rng, 500, 900);
      const price = heavyTailed(rng, count);
      return {
        ...forecasting(rng, { load: seasonal(rng, count), price }),
        pipeline: pipeline("rank.ts", (series, parts) => {
          const sorted = gathered(series, parts, 1, () => true).sort((a, b) => a - b);
          const rank = (value: number) => {
            let at = 0;
            while (at < sorted.length && sorted[at] < value) at++;
            return at / sorted.length;
          };
          return (one) => ({ load: feature(one), "price.rank": feature(one, 1).map(rank) });
        }),
      };
    },
  },
  {
    name: "frequency-of-test-machines",
    what: "an event is encoded by how often it occurs in all sessions, the held-out ones included",
    expect: FITTED("event"),
    make: (rng) => {
      const cells: Cells = { time: [], session: [], event: [], load: [] };
      const sessions = between(rng, 24, 40);
      for (let s = 0; s < sessions; s++) {
        const rows = between(rng, 30, 60);
        const value = autoregressive(rng, rows, 0.7);
        cells.time.push(...times(rows, 60_000, Date.UTC(2022, 0, 1 + s)));
        for (let i = 0; i < rows; i++) {
          cells.session.push(`s-${s}`);
          cells.event.push(rng.integer(6 + Math.floor(s / 4)));
          cells.load.push(value[i]);
        }
      }
      const split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2, seed: rng.integer(100) } as const;
      return {
        ...configured(
          cells,
          { targetKind: "values", time: "time", entity: "session", split, target: "load" },
          { length: between(rng, 5, 12), horizon: between(rng, 1, 3) },
        ),
        pipeline: pipeline("frequency.ts", (series, parts) => {
          const counts = new Map<number, number>();
          const events = gathered(series, parts, 0, () => true);
          for (const event of events) counts.set(event, (counts.get(event) ?? 0) + 1);
          return (one) => ({
            "event.frequency": feature(one).map((event) => (counts.get(event) ?? 0) / events.length),
            load: feature(one, 1),
          });
        }),
      };
    },
  },
  {
    name: "scale-of-last-tenth",
    what: "the deviation is fitted on training rows and on a tenth of the test rows",
    expect: FITTED("load"),
    make: (rng) => ({
      ...forecasting(rng, { load: seasonal(rng, between(rng, 800, 1600)) }),
      pipeline: pipeline("tenth.ts", (series, parts) => {
        const tests = gathered(series, parts, 0, (code) => code === TEST);
        const training = gathered(series, parts, 0, (code) => code === TRAIN);
        const spread = deviation([...training, ...tests.slice(0, Math.ceil(tests.length / 10))]);
        return (one) => ({ load: feature(one).map((value) => value / spread) });
      }),
    }),
  },
  {
    name: "clipped-at-a-quantile-of-all",
    what: "the largest thousandth is clipped at a quantile of all rows: a handful of rows know test",
    expect: FITTED("flow"),
    make: (rng) => {
      const count = between(rng, 900, 1600);
      return {
        ...forecasting(rng, { load: seasonal(rng, count), flow: heavyTailed(rng, count) }),
        pipeline: pipeline("clip.ts", (series, parts) => {
          const seen = gathered(series, parts, 1, () => true);
          const bound = quantile(seen, 0.995);
          return (one) => ({ load: feature(one), flow: feature(one, 1).map((value) => Math.min(bound, value)) });
        }),
      };
    },
  },
  {
    name: "scaled-before-the-file",
    what: "the file was written standardised: over all rows, test included, a column has mean 0 and deviation 1 exactly",
    expect: { checks: ["fit-scope"], status: "warning", names: [/heat/] },
    make: (rng) => {
      const count = between(rng, 900, 1600);
      const heat = seasonal(rng, count, { level: 2 }).map((value, i) => value + (3 * i) / count);
      const [middle, spread] = [mean(heat), deviation(heat)];
      return forecasting(rng, { load: seasonal(rng, count), heat: heat.map((value) => (value - middle) / spread) });
    },
  },
];
