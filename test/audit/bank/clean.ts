/**
 * @file Honest pipelines over different data, some of which look suspicious: an audit must let them pass.
 */
import type { Rng } from "../../../src/core/rng.js";
import { type BankEntry, between, classifying, configured, forecasting, tagging } from "./entry.js";
import { deviation, feature, gathered, mean, pipeline, plain, TRAIN } from "./pipeline.js";
import { quickModel } from "./quick-model.js";
import { autoregressive, type Cells, HOUR, heavyTailed, made, noise, seasonal, states, times, walk, withGaps } from "./signal.js";

/** Sessions of one of several shapes, of lengths that say nothing of the shape. */
function shapes(rng: Rng, count: number, classOf: (s: number) => number, blur = 0.6) {
  return made(count, (s) => s).map((s) => {
    const rows = between(rng, 20, 48);
    const kind = classOf(s);
    const phase = rng.uniform(0, 6);
    return {
      entity: `s${s}`,
      label: `shape-${kind}`,
      columns: {
        value: made(rows, (i) => Math.sin(phase + (i * (kind + 1)) / 3) + blur * rng.normal()),
        other: noise(rng, rows),
      },
    };
  });
}

export const clean: (BankEntry & { expect: null })[] = [
  {
    name: "random-walk",
    what: "nothing predicts it but its last value",
    expect: null,
    make: (rng) => forecasting(rng, { load: walk(rng, between(rng, 1500, 3000)) }, { length: 8, horizon: 1 }),
  },
  {
    name: "seasonal-load",
    what: "a load curve with two covariates and honest scaling",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2400);
      const heat = seasonal(rng, count, { cycle: 4 });
      const load = seasonal(rng, count).map((value, i) => value + 0.3 * heat[i]);
      return forecasting(rng, { load, heat, wind: autoregressive(rng, count, 0.8) });
    },
  },
  {
    name: "autoregressive",
    what: "an AR(1) process of any memory, its own value as the only input",
    expect: null,
    make: (rng) => forecasting(rng, { load: autoregressive(rng, between(rng, 1200, 2500), rng.uniform(0.2, 0.95)) }),
  },
  {
    name: "strongly-autocorrelated",
    what: "the last value says nearly all of the next one: memory 0.995, which is no leak",
    expect: null,
    make: (rng) => forecasting(rng, { load: autoregressive(rng, between(rng, 2500, 4000), 0.995) }, { length: 10, horizon: 1 }),
  },
  {
    name: "smooth-and-noiseless",
    what: "two pure sines: the next value follows from the last ones exactly",
    expect: null,
    make: (rng) => {
      const [a, b] = [rng.uniform(20, 30), rng.uniform(150, 190)];
      const load = made(between(rng, 1500, 2500), (i) => Math.sin((2 * Math.PI * i) / a) + 0.5 * Math.sin((2 * Math.PI * i) / b));
      return forecasting(rng, { load }, { length: 12, horizon: 1 });
    },
  },
  {
    name: "heavy-tailed",
    what: "Student's t with three degrees of freedom, scaled robustly",
    expect: null,
    make: (rng) => {
      const shocks = heavyTailed(rng, between(rng, 1200, 2000));
      const load = shocks.map((shock, i) => shock + 0.5 * (shocks[i - 1] ?? 0));
      return forecasting(rng, { load }, { scale: "robust" });
    },
  },
  {
    name: "persistence-like-features",
    what: "features that are the target one, two and 24 rows before",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const load = seasonal(rng, count);
      const lag = (rows: number) => made(count, (i) => load[Math.max(0, i - rows)]);
      return forecasting(rng, { load, lag1: lag(1), lag2: lag(2), lag24: lag(24) }, { horizon: 2 });
    },
  },
  {
    name: "leading-indicator",
    what: "an input that honestly leads the target by three rows, with noise of its own",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const orders = autoregressive(rng, count, 0.7);
      const load = made(count, (i) => 0.6 * orders[Math.max(0, i - 3)] + 0.8 * rng.normal());
      return forecasting(rng, { load, orders }, { length: 12, horizon: 1 });
    },
  },
  {
    name: "uptime-and-counters",
    what: "two features that only ever grow: uptime and an odometer",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2200);
      let driven = 0;
      const load = seasonal(rng, count);
      return forecasting(rng, {
        load,
        uptime: made(count, (i) => 3600 * i),
        odometer: made(count, (i) => (driven += Math.abs(load[i]) * rng.uniform(0.5, 1.5))),
      });
    },
  },
  {
    name: "calendar-of-the-wrong-zone",
    what: "hour of the day as sine and cosine, computed in another zone: clumsy, no leak",
    expect: null,
    make: (rng) => {
      const offset = between(rng, -9, 9);
      return {
        ...forecasting(rng, { load: seasonal(rng, between(rng, 1200, 2000)) }),
        pipeline: plain("calendar.ts", (series) => {
          const hour = (series.time as Float64Array).map((time) => (((time / HOUR + offset) % 24) + 24) % 24);
          return {
            load: feature(series),
            "hour.sin": hour.map((h) => Math.sin((2 * Math.PI * h) / 24)),
            "hour.cos": hour.map((h) => Math.cos((2 * Math.PI * h) / 24)),
          };
        }),
      };
    },
  },
  {
    name: "causal-fill-with-flags",
    what: "a fifth of the values missing in runs, filled forwards with a limit, flags and times since seen",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const heat = withGaps(rng, autoregressive(rng, count, 0.9), 0.12, between(rng, 2, 6));
      return forecasting(
        rng,
        { load: seasonal(rng, count), heat },
        { missing: { policy: "forwardFill", limit: 4, flag: true, sinceSeen: true }, scale: "robust" },
      );
    },
  },
  {
    name: "irregular-times-resampled",
    what: "readings every few seconds to minutes, brought to a grid by the mean",
    expect: null,
    make: (rng) => {
      const count = between(rng, 4000, 7000);
      let at = Date.UTC(2023, 4, 1);
      const time = made(count, () => (at += Math.ceil(1000 * rng.uniform(5, 90)))).map((ms) => new Date(ms).toISOString());
      return forecasting(
        rng,
        { time, load: autoregressive(rng, count, 0.95) },
        { resample: { everyMs: 120_000 }, missing: { policy: "forwardFill", flag: true }, length: 10, horizon: 1 },
      );
    },
  },
  {
    name: "logged-and-differenced",
    what: "log and difference of a growing series: the transforms look back only",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const steps = noise(rng, count, 0.05);
      let level = 3;
      const load = steps.map((step) => Math.exp((level += step - 0.02 * (level - 3))));
      return forecasting(rng, { load }, { log: ["load"], difference: ["load"] });
    },
  },
  {
    name: "gap-between-parts",
    what: "a split by time with a gap as long as the horizon",
    expect: null,
    make: (rng) => {
      const split = { by: "time", train: 0.6, validation: 0.2, test: 0.2, gap: 12 } as const;
      return forecasting(rng, { load: seasonal(rng, between(rng, 1200, 1800)) }, { split, horizon: 12, length: 24 });
    },
  },
  {
    name: "own-causal-code",
    what: "hand-written trailing average and exponential smoothing, scaled by training rows",
    expect: null,
    make: (rng) => {
      const share = rng.uniform(0.1, 0.5);
      return {
        ...forecasting(rng, { load: seasonal(rng, between(rng, 1000, 2000)) }),
        pipeline: pipeline("trailing.ts", (series, parts) => {
          const seen = gathered(series, parts, 0, (code) => code === TRAIN);
          const [middle, spread] = [mean(seen), deviation(seen)];
          return (one) => {
            const load = feature(one).map((value) => (value - middle) / spread);
            const trailing = load.map((_, i) => mean(load.subarray(Math.max(0, i - 5), i + 1)));
            const smoothed = load.slice();
            for (let i = 1; i < smoothed.length; i++) smoothed[i] = share * load[i] + (1 - share) * smoothed[i - 1];
            return { load, trailing, smoothed };
          };
        }),
      };
    },
  },
  {
    name: "tags-with-sharp-changes",
    what: "the label is nearly a threshold of the flow: a strong but honest instantaneous correlation",
    expect: null,
    make: (rng) => {
      const machines = made(between(rng, 6, 10), (m) => m).map((m) => {
        const count = between(rng, 350, 500);
        const state = states(rng, count, { states: 3, stay: 14 });
        return {
          entity: `machine-${m}`,
          columns: {
            flow: state.map((s) => 2 * s + 0.6 * rng.normal()),
            heat: walk(rng, count, 0.3),
            label: state.map((s) => ["idle", "run", "burst"][s]),
          },
        };
      });
      return tagging(rng, machines);
    },
  },
  {
    name: "tags-of-delayed-effect",
    what: "heat follows the state with inertia: the best lag is spread over some rows, and none is declared wrong",
    expect: null,
    make: (rng) => {
      const machines = made(between(rng, 5, 8), (m) => m).map((m) => {
        const count = between(rng, 400, 600);
        const state = states(rng, count, { states: 2, stay: 30 });
        let heat = 0;
        return {
          entity: `machine-${m}`,
          columns: {
            power: state.map((on) => on + 0.4 * rng.normal()),
            heat: state.map((on) => (heat = 0.8 * heat + 0.2 * on) + 0.1 * rng.normal()),
            label: state.map((on) => (on ? "run" : "idle")),
          },
        };
      });
      return tagging(rng, machines);
    },
    options: () => ({ quick: quickModel }),
  },
  {
    name: "classes-by-shape",
    what: "three shapes in sessions of varying length, as many of each",
    expect: null,
    make: (rng) =>
      classifying(
        rng,
        shapes(rng, between(rng, 110, 170), (s) => s % 3),
      ),
    options: () => ({ quick: quickModel }),
  },
  {
    name: "imbalanced-classes",
    what: "one session in twelve is of the rare class",
    expect: null,
    make: (rng) =>
      classifying(
        rng,
        shapes(rng, between(rng, 220, 320), (s) => (s % 12 === 0 ? 1 : 0)),
      ),
  },
  {
    name: "nearly-perfect-feature",
    what: "an honest sensor separates the classes at first sight in most sessions",
    expect: null,
    make: (rng) => {
      const sessions = made(between(rng, 120, 180), (s) => s).map((s) => {
        const rows = between(rng, 20, 40);
        const hot = s % 2;
        return {
          entity: `s${s}`,
          label: hot ? "hot" : "cold",
          columns: { degrees: noise(rng, rows).map((error) => 20 + error + (hot ? 1.2 : 0)), other: noise(rng, rows) },
        };
      });
      return classifying(rng, sessions);
    },
  },
  {
    name: "discrete-sessions",
    what: "event sessions over six event types: many share their beginning, as protocols do",
    expect: null,
    make: (rng) => {
      const sessions = made(between(rng, 100, 150), (s) => s).map((s) => {
        const bad = s % 3 === 0;
        const middle = made(between(rng, 12, 26), () => (rng.uniform() < (bad ? 0.35 : 0.15) ? 5 : 2 + rng.integer(3)));
        return { entity: `s${s}`, label: bad ? "failed" : "done", columns: { event: [0, 1, ...middle] } };
      });
      return classifying(rng, sessions);
    },
  },
  {
    name: "many-entities",
    what: "two hundred short series, whole series drawn into parts",
    expect: null,
    make: (rng) => {
      const cells: Cells = { time: [], meter: [], heat: [], load: [] };
      const meters = between(rng, 160, 220);
      for (let m = 0; m < meters; m++) {
        const rows = between(rng, 25, 45);
        const heat = autoregressive(rng, rows, 0.8);
        cells.time.push(...times(rows));
        cells.meter.push(...made(rows, () => 0).map(() => `meter-${m}`));
        cells.heat.push(...heat);
        cells.load.push(...autoregressive(rng, rows, 0.7).map((value, i) => value + 0.5 * heat[i]));
      }
      const split = { by: "entity", train: 0.7, validation: 0.15, test: 0.15, seed: rng.integer(100) } as const;
      return configured(
        cells,
        { targetKind: "values", time: "time", entity: "meter", split, target: "load" },
        { length: 10, horizon: 2 },
      );
    },
  },
  {
    name: "entities-split-by-time",
    what: "each of twelve sites is in all parts, as a split by time means it",
    expect: null,
    make: (rng) => {
      const cells: Cells = { time: [], site: [], load: [] };
      for (let m = 0; m < 12; m++) {
        const rows = between(rng, 200, 300);
        cells.time.push(...times(rows));
        cells.site.push(...made(rows, () => 0).map(() => `site-${m}`));
        cells.load.push(...seasonal(rng, rows));
      }
      const split = { by: "time", train: 0.6, validation: 0.2, test: 0.2 } as const;
      return configured(
        cells,
        { targetKind: "values", time: "time", entity: "site", split, target: "load" },
        { length: 12, horizon: 3 },
      );
    },
  },
  {
    name: "rare-spikes",
    what: "a count that is zero but for rare bursts: windows of zeros repeat by nature",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1500, 2500);
      let burst = 0;
      const load = made(count, () => {
        burst = rng.uniform() < 0.03 ? 1 + rng.integer(9) : Math.max(0, burst - 1);
        return burst;
      });
      return forecasting(rng, { load, wind: walk(rng, count) }, { length: 12, horizon: 1 });
    },
  },
  {
    name: "perfect-square-wave",
    what: "a noiseless pattern of twenty hours: every window of test was in training, by its nature",
    expect: null,
    make: (rng) => {
      const on = between(rng, 6, 12);
      const load = made(between(rng, 1200, 2000), (i) => (i % 20 < on ? 8 : 2));
      return forecasting(rng, { load }, { length: 12, horizon: 1 });
    },
  },
  {
    name: "coarse-readings",
    what: "a sensor that rounds to whole degrees: many windows are alike",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1500, 2500);
      const load = autoregressive(rng, count, 0.9).map((value) => Math.round(20 + 2 * value));
      return forecasting(rng, { load, wind: noise(rng, count) }, { length: 10, horizon: 1 });
    },
  },
  {
    name: "same-in-two-units",
    what: "the load in kilowatts, in watts and in percent: clumsy, no leak",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const load = seasonal(rng, count);
      return forecasting(rng, { load, watts: load.map((kw) => 1000 * kw), percent: load.map((kw) => kw / 0.4) });
    },
  },
  {
    name: "previous-label-as-input",
    what: "the label of the row before, which is known by then, and sticky: it alone is right nineteen times in twenty",
    expect: null,
    make: (rng) => {
      const machines = made(between(rng, 5, 8), (m) => m).map((m) => {
        const count = between(rng, 400, 600);
        const state = states(rng, count + 1, { states: 2, stay: 20 });
        return {
          entity: `machine-${m}`,
          columns: {
            flow: made(count, (i) => state[i + 1] + rng.normal()),
            state_before: state.slice(0, count),
            label: made(count, (i) => i).map((i) => (state[i + 1] ? "run" : "idle")),
          },
        };
      });
      return tagging(rng, machines);
    },
  },
  {
    name: "tariff-known-ahead",
    what: "the tariff of the hour to be predicted is published the day before, and the load follows it",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const tariff = made(count, (i) => 10 + 5 * Number(i % 24 > 16) + rng.integer(4));
      const load = seasonal(rng, count).map((value, i) => value - 0.3 * tariff[i]);
      const horizon = between(rng, 1, 4);
      return forecasting(
        rng,
        { load, tariff },
        { features: ["load"], known: { columns: ["tariff"], steps: horizon }, missing: "forwardFill", horizon },
      );
    },
  },
  {
    name: "business-days",
    what: "daily closes without weekends: a gap every five rows that is none",
    expect: null,
    make: (rng) => {
      const days = made(between(rng, 1500, 2200), (i) => Date.UTC(2016, 0, 1) + 24 * i * HOUR).filter(
        (at) => new Date(at).getUTCDay() % 6 !== 0,
      );
      const time = days.map((at) => new Date(at).toISOString().slice(0, 10));
      return forecasting(rng, { time, load: walk(rng, days.length).map((value) => 100 + value) }, { length: 10, horizon: 1 });
    },
  },
  {
    name: "across-daylight-saving-in-utc",
    what: "two years of hours with their offset: no hour is missing when the clocks change",
    expect: null,
    make: (rng) => {
      const count = between(rng, 9000, 12_000);
      const time = times(count, HOUR, Date.UTC(2021, 0, 1));
      return forecasting(rng, { time, load: seasonal(rng, count) }, { stride: 5 });
    },
  },
  {
    name: "scaled-per-site",
    what: "sites of very different size, each scaled by its own training rows",
    expect: null,
    make: (rng) => {
      const cells: Cells = { time: [], site: [], load: [] };
      for (let m = 0; m < 8; m++) {
        const rows = between(rng, 200, 320);
        const size = 10 ** rng.uniform(0, 3);
        cells.time.push(...times(rows));
        cells.site.push(...made(rows, () => 0).map(() => `site-${m}`));
        cells.load.push(...seasonal(rng, rows).map((value) => size * value));
      }
      const split = { by: "time", train: 0.6, validation: 0.2, test: 0.2 } as const;
      return configured(
        cells,
        { targetKind: "values", time: "time", entity: "site", split, perEntity: true, target: "load" },
        { length: 12, horizon: 2 },
      );
    },
  },
  {
    name: "event-types-as-text",
    what: "sessions of event names from a vocabulary of training sessions; some names occur in test alone and are unknown there",
    expect: null,
    make: (rng) => {
      const names = ["open", "read", "write", "retry", "close", "seek"];
      const sessions = made(between(rng, 110, 160), (s) => s).map((s) => {
        const bad = s % 3 === 0;
        const events = made(between(rng, 12, 28), () => (rng.uniform() < (bad ? 0.3 : 0.1) ? 3 : rng.integer(6))).map((e) =>
          rng.uniform() < 0.004 ? `rare-${s}` : names[e],
        );
        return { entity: `s${s}`, label: bad ? "failed" : "done", columns: { event: events } };
      });
      return classifying(rng, sessions, { features: [], categories: { event: { kind: "vocabulary", as: "oneHot" } } });
    },
  },
  {
    name: "upstream-sensor",
    what: "a meter upstream shows what the meter downstream shows some rows later, with noise of its own",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1500, 2500);
      const delay = between(rng, 2, 6);
      const upstream = autoregressive(rng, count + delay, 0.9);
      const load = made(count, (i) => 10 + upstream[i] + 0.3 * rng.normal());
      return forecasting(
        rng,
        { load, upstream: upstream.slice(delay).map((value) => value + 0.1 * rng.normal()) },
        { horizon: 1 },
      );
    },
  },
  {
    name: "early-warning",
    what: "vibration rises two rows before a fault is reported: an honest early sign, not a label out of place",
    expect: null,
    make: (rng) => {
      const machines = made(between(rng, 5, 8), (m) => m).map((m) => {
        const count = between(rng, 400, 600);
        const state = states(rng, count + 2, { states: 2, stay: 18 });
        return {
          entity: `machine-${m}`,
          columns: {
            vibration: made(count, (i) => state[i + 2] + 0.8 * state[i] + 0.5 * rng.normal()),
            heat: autoregressive(rng, count, 0.9),
            label: made(count, (i) => i).map((i) => (state[i] ? "fault" : "good")),
          },
        };
      });
      return tagging(rng, machines);
    },
  },
  {
    name: "twin-sensor",
    what: "a second meter on the same line shows the load of the same row, to a hundredth",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 2000);
      const load = seasonal(rng, count);
      return forecasting(rng, { load, twin: load.map((value) => value + 0.02 * rng.normal()) });
    },
  },
  {
    name: "scaled-by-training-before-the-file",
    what: "the file was written standardised, by training rows alone",
    expect: null,
    make: (rng) => {
      const count = between(rng, 1200, 1800);
      const heat = autoregressive(rng, count, 0.9);
      const training = heat.slice(0, Math.floor(0.6 * count));
      const [middle, spread] = [mean(training), deviation(training)];
      const split = { by: "time", train: 0.6, validation: 0.2, test: 0.2 } as const;
      return forecasting(rng, { load: seasonal(rng, count), heat: heat.map((value) => (value - middle) / spread) }, { split });
    },
  },
  {
    name: "events-with-clock-and-place",
    what: "events of users cut into sessions at idle gaps, with time deltas, positions and a calendar",
    expect: null,
    make: (rng) => {
      const cells: Cells = { time: [], user: [], size: [], label: [] };
      for (let u = 0; u < between(rng, 12, 18); u++) {
        let at = Date.UTC(2024, 2, 1) + rng.integer(20) * HOUR;
        let bad = 0;
        for (let i = 0; i < between(rng, 140, 220); i++) {
          at += Math.ceil(1000 * (rng.uniform() < 0.05 ? 7200 : rng.uniform(2, 60)));
          if (rng.uniform() < 0.12) bad = 1 - bad;
          cells.time.push(new Date(at).toISOString());
          cells.user.push(`user-${u}`);
          cells.size.push(bad + rng.normal());
          cells.label.push(bad ? "probe" : "use");
        }
      }
      const split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2, seed: rng.integer(100) } as const;
      return configured(
        cells,
        {
          targetKind: "tags",
          time: "time",
          entity: "user",
          features: ["size"],
          target: "label",
          sessions: { idleMs: HOUR },
          timeDelta: { bins: 4 },
          position: true,
          calendar: { parts: ["hourOfDay"], zone: "Europe/Berlin" },
          split,
        },
        { length: 24 },
      );
    },
  },
  {
    name: "run-to-failure",
    what: "machines recorded until they fail, after lives of very different length: the label is at the end by nature",
    expect: null,
    make: (rng) => {
      const machines = made(between(rng, 24, 36), (m) => m).map((m) => {
        const rows = between(rng, 40, 120);
        const onset = rows - between(rng, 5, 30);
        return {
          entity: `m${m}`,
          columns: {
            wear: made(rows, (i) => (i >= onset ? 1.5 : 0) + 0.5 * rng.normal()),
            other: noise(rng, rows),
            label: made(rows, (i) => i).map((i) => (i >= onset ? "worn" : "good")),
          },
        };
      });
      const split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2, seed: rng.integer(100) } as const;
      return tagging(rng, machines, { length: between(rng, 16, 30), split });
    },
    options: () => ({ quick: quickModel }),
  },
  {
    name: "noise-until-failure",
    what: "as before with inputs that say nothing: hopeless, but no label is out of place",
    expect: null,
    make: (rng) => {
      const machines = made(between(rng, 24, 36), (m) => m).map((m) => {
        const rows = between(rng, 40, 120);
        const onset = rows - between(rng, 5, 30);
        const label = made(rows, (i) => i).map((i) => (i >= onset ? "worn" : "good"));
        return { entity: `m${m}`, columns: { one: noise(rng, rows), other: noise(rng, rows), label } };
      });
      const split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2, seed: rng.integer(100) } as const;
      return tagging(rng, machines, { length: between(rng, 16, 30), split });
    },
  },
];
