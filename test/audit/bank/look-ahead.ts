/**
 * @file Broken pipelines whose inputs know rows that come later.
 */

import type { Series } from "../../../src/data/series.js";
import { type BrokenEntry, between, classifying, forecasting, tagging } from "./entry.js";
import { type Derived, feature, mean, pipeline, plain, quantile, raw, TRAIN } from "./pipeline.js";
import { autoregressive, made, noise, seasonal, states, walk, withGaps } from "./signal.js";

const LOOK_AHEAD = (column: string) => ({ checks: ["causality"], status: "leak" as const, names: [new RegExp(column)] });

/** Straight lines over the gaps of the first feature, whatever part their ends are in. */
function interpolated(name: string): (series: Series) => Derived {
  return (series) => {
    const values = feature(series);
    for (let i = 1; i < values.length; i++) {
      if (!Number.isNaN(values[i])) continue;
      let right = i;
      while (right < values.length && Number.isNaN(values[right])) right++;
      const end = right < values.length ? values[right] : values[i - 1];
      values[i] = values[i - 1] + (end - values[i - 1]) / (right - i + 1);
    }
    return { [name]: values };
  };
}

export const lookAhead: BrokenEntry[] = [
  {
    name: "centred-average-3",
    what: "a moving average of width 3 is centred, so it holds the next row",
    expect: LOOK_AHEAD("load\\.smooth"),
    make: (rng) => ({
      ...forecasting(rng, { load: seasonal(rng, between(rng, 600, 1400)) }),
      pipeline: plain("smooth.ts", (series) => {
        const load = feature(series);
        const at = (i: number) => load[Math.max(0, Math.min(load.length - 1, i))];
        return { load, "load.smooth": load.map((value, i) => (at(i - 1) + value + at(i + 1)) / 3) };
      }),
    }),
  },
  {
    name: "backward-fill-in-gaps",
    what: "a fill that runs backwards, but only where a value is missing",
    expect: LOOK_AHEAD("load"),
    make: (rng) => ({
      ...forecasting(
        rng,
        { load: withGaps(rng, seasonal(rng, between(rng, 700, 1500)), 0.06, between(rng, 2, 5)) },
        { missing: { policy: "forwardFill", flag: true } },
      ),
      pipeline: plain("fill.ts", (series) => {
        const load = feature(series);
        let next = 0;
        for (let i = load.length - 1; i >= 0; i--) {
          if (Number.isNaN(load[i])) load[i] = next;
          else next = load[i];
        }
        return { load };
      }),
    }),
  },
  {
    name: "difference-of-negative-lag",
    what: "the change to the next row instead of from the last one",
    expect: LOOK_AHEAD("heat\\.change"),
    make: (rng) => {
      const count = between(rng, 500, 1200);
      return {
        ...forecasting(rng, { load: seasonal(rng, count), heat: walk(rng, count) }),
        pipeline: plain("change.ts", (series) => {
          const heat = feature(series, 1);
          const change = heat.map((value, i) => (i + 1 < heat.length ? heat[i + 1] - value : 0));
          return { load: feature(series), "heat.change": change };
        }),
      };
    },
  },
  {
    name: "forward-backward-filter",
    what: "a zero-phase filter runs over the series once in each direction",
    expect: LOOK_AHEAD("vibration\\.filtered"),
    make: (rng) => {
      const count = between(rng, 600, 1200);
      const share = rng.uniform(0.4, 0.7);
      return {
        ...forecasting(rng, { load: seasonal(rng, count), vibration: autoregressive(rng, count, 0.8) }),
        pipeline: plain("filter.ts", (series) => {
          const filtered = feature(series, 1);
          for (let i = 1; i < filtered.length; i++) filtered[i] = share * filtered[i] + (1 - share) * filtered[i - 1];
          for (let i = filtered.length - 2; i >= 0; i--) filtered[i] = share * filtered[i] + (1 - share) * filtered[i + 1];
          return { load: feature(series), "vibration.filtered": filtered };
        }),
      };
    },
  },
  {
    name: "day-mean-removed",
    what: "each row less the mean of its whole day, evening included",
    expect: LOOK_AHEAD("load\\.relative"),
    make: (rng) => ({
      ...forecasting(rng, { load: seasonal(rng, between(rng, 700, 1500)) }),
      pipeline: plain("relative.ts", (series) => {
        const load = feature(series);
        const relative = load.map((value, i) => {
          const day = Math.floor(i / 24);
          return value - mean(load.subarray(24 * day, 24 * day + 24));
        });
        return { load, "load.relative": relative };
      }),
    }),
  },
  {
    name: "spike-removal-reads-next",
    what: "only a row that looks like a spike is compared with its next row: one row in some hundred",
    expect: LOOK_AHEAD("load\\.clean"),
    make: (rng) => {
      const load = seasonal(rng, between(rng, 900, 1500)).map((value) => (rng.uniform() < 0.02 ? value + 15 : value));
      return {
        ...forecasting(rng, { load }),
        pipeline: pipeline("spikes.ts", (series, parts) => {
          const training = series.flatMap((one, s) => [...feature(one)].filter((_, i) => parts[s][i] === TRAIN));
          const high = quantile(training, 0.5) + 9;
          return (one) => {
            const values = feature(one);
            const clean = values.map((value, i) => (value > high && values[i + 1] < high ? values[i + 1] : value));
            return { load: values, "load.clean": clean };
          };
        }),
      };
    },
  },
  {
    name: "own-statistics-per-series",
    what: "each series is standardised by its own mean and deviation, its future included",
    expect: LOOK_AHEAD("flow"),
    make: (rng) => {
      const machines = made(between(rng, 5, 8), (m) => m).map((m) => {
        const count = between(rng, 120, 220);
        const state = states(rng, count, { states: 2, stay: 15 });
        const level = rng.uniform(-5, 5);
        return {
          entity: `machine-${m}`,
          columns: { flow: state.map((on) => level + on + 0.7 * rng.normal()), label: state.map((on) => (on ? "run" : "idle")) },
        };
      });
      return {
        ...tagging(rng, machines),
        pipeline: plain("own.ts", (series) => {
          const flow = feature(series);
          const middle = mean(flow);
          const spread = Math.sqrt(mean(flow.map((value) => (value - middle) ** 2)));
          return { flow: flow.map((value) => (value - middle) / spread) };
        }),
      };
    },
  },
  {
    name: "share-of-the-whole",
    what: "a counter divided by its final total, which only the end of the series knows",
    expect: LOOK_AHEAD("done\\.share"),
    make: (rng) => {
      const count = between(rng, 500, 900);
      let total = 0;
      const done = made(count, () => (total += rng.uniform(0, 2)));
      return {
        ...forecasting(rng, { load: seasonal(rng, count), done }),
        pipeline: plain("share.ts", (series) => {
          const counter = feature(series, 1);
          return { load: feature(series), "done.share": counter.map((value) => value / counter[counter.length - 1]) };
        }),
      };
    },
  },
  {
    name: "look-ahead-understated",
    what: "it declares one row of look-ahead and reads four",
    expect: LOOK_AHEAD("flow\\.ahead"),
    make: (rng) => {
      const count = between(rng, 700, 1100);
      const state = states(rng, count, { states: 3, stay: 12 });
      const flow = state.map((s) => s + 0.8 * rng.normal());
      return {
        ...tagging(rng, [{ entity: "machine-1", columns: { flow, label: state.map((s) => `state-${s}`) } }]),
        pipeline: plain(
          "ahead.ts",
          (series) => {
            const values = feature(series);
            const ahead = values.map((_, i) => mean(values.subarray(i, Math.min(values.length, i + 5))));
            return { flow: values, "flow.ahead": ahead };
          },
          1,
        ),
      };
    },
  },
  {
    name: "interpolation-across-split",
    what: "gaps are interpolated, those over the border of two parts as well: a training row is made of a validation row",
    expect: { checks: ["causality", "fit-scope", "window-overlap"], status: "leak", names: [/load/] },
    make: (rng) => {
      const count = between(rng, 700, 1300);
      const load = withGaps(rng, seasonal(rng, count), 0.03, 3);
      const subject = forecasting(rng, { load }, { missing: { policy: "interpolate" }, mode: "offline" });
      const border = subject.parts[0].indexOf(2);
      subject.series[0].features.fill(Number.NaN, border - 3, border + 2);
      return {
        ...subject,
        pipeline: plain("interpolate.ts", interpolated("load")),
      };
    },
  },
  {
    name: "offline-across-split",
    what: "it says that it interpolates, which tags permit offline; but a gap over the border fills training rows from validation rows",
    expect: { checks: ["causality", "fit-scope", "window-overlap"], status: "fault", names: [/flow/] },
    make: (rng) => {
      const count = between(rng, 700, 1100);
      const state = states(rng, count, { states: 2, stay: 15 });
      const flow = withGaps(
        rng,
        state.map((on) => on + 0.5 * rng.normal()),
        0.05,
        3,
      );
      const subject = tagging(
        rng,
        [{ entity: "machine-1", columns: { flow, label: state.map((on) => (on ? "run" : "idle")) } }],
        { missing: { policy: "interpolate" }, mode: "offline" },
      );
      const border = subject.parts[0].indexOf(2);
      subject.series[0].features.fill(Number.NaN, border - 4, border + 3);
      return { ...subject, pipeline: plain("interpolate.ts", interpolated("flow"), Number.POSITIVE_INFINITY) };
    },
  },
  {
    name: "interpolated-forecast",
    what: "a configuration with missing: interpolate for a forecast: the last input row is made of the first target",
    expect: LOOK_AHEAD("load"),
    make: (rng) =>
      forecasting(
        rng,
        { load: withGaps(rng, walk(rng, between(rng, 700, 1200)), 0.05, 2) },
        { missing: { policy: "interpolate" }, mode: "offline" },
      ),
  },
  {
    name: "label-of-the-next-row",
    what: "user code puts the one-hot of the next row's label among the inputs",
    expect: { checks: ["causality", "target-proxy"], status: "leak", names: [/label\.next|run|idle/] },
    make: (rng) => {
      const count = between(rng, 600, 1000);
      const state = states(rng, count, { states: 2, stay: 20 });
      return {
        ...tagging(rng, [
          {
            entity: "machine-1",
            columns: { flow: state.map((on) => on + 1.5 * rng.normal()), label: state.map((on) => (on ? "run" : "idle")) },
          },
        ]),
        pipeline: plain("label.ts", (series) => ({
          flow: feature(series),
          "label.next": Float64Array.from({ length: series.rows }, (_, i) => (series.labels?.[i + 1] === "run" ? 1 : 0)),
        })),
      };
    },
  },
  {
    name: "next-value-of-a-covariate",
    what: "six honest features, and one that is read one row too early",
    expect: LOOK_AHEAD("pressure"),
    make: (rng) => {
      const count = between(rng, 500, 900);
      const names = ["load", "heat", "wind", "flow", "speed", "noise", "pressure"];
      const columns = Object.fromEntries(names.map((name) => [name, autoregressive(rng, count, rng.uniform(0.3, 0.9))]));
      return {
        ...forecasting(rng, { ...columns, load: columns.load, noise: noise(rng, count) }),
        pipeline: plain("early.ts", (series) => {
          const derived = raw(series, names);
          const pressure = feature(series, 6);
          derived.pressure = pressure.map((_, i) => pressure[Math.min(pressure.length - 1, i + 1)]);
          return derived;
        }),
      };
    },
  },
  {
    name: "event-of-the-next-row",
    what: "user code encodes the name of the next event instead of this one",
    expect: LOOK_AHEAD("event"),
    make: (rng) => {
      const names = ["open", "read", "write", "retry", "close"];
      const sessions = made(between(rng, 60, 90), (s) => s).map((s) => {
        const bad = s % 2;
        const events = made(between(rng, 15, 30), () => (rng.uniform() < (bad ? 0.4 : 0.1) ? 3 : rng.integer(5)));
        return { entity: `s${s}`, label: bad ? "failed" : "done", columns: { event: events.map((e) => names[e]) } };
      });
      const subject = classifying(rng, sessions, { features: [], categories: { event: { kind: "vocabulary", as: "oneHot" } } });
      return {
        ...subject,
        pipeline: plain("events.ts", (series) => ({
          "event.code": Float64Array.from({ length: series.rows }, (_, i) => names.indexOf(series.texts?.[0][i + 1] ?? "")),
        })),
      };
    },
  },
  {
    name: "time-to-the-next-row",
    what: "the seconds until the next reading, instead of those since the last one",
    expect: LOOK_AHEAD("wait"),
    make: (rng) => {
      const count = between(rng, 700, 1200);
      let at = Date.UTC(2023, 4, 1);
      const time = made(count, () => (at += Math.ceil(1000 * rng.uniform(20, 90)))).map((ms) => new Date(ms).toISOString());
      return {
        ...forecasting(rng, { time, load: autoregressive(rng, count, 0.9) }),
        pipeline: plain("wait.ts", (series) => {
          const clock = series.time as Float64Array;
          return { load: feature(series), wait: clock.map((ms, i) => (i + 1 < clock.length ? (clock[i + 1] - ms) / 1000 : 0)) };
        }),
      };
    },
  },
];
